"""register: the best model on the validation sessions becomes a version of the registry, alias `challenger`.

in   data/etl, data/train/<model>, data/evaluate/<model>
     params.yaml: register, serve, models
out  data/register/package/     what the version holds: model.onnx, weights.safetensors, model.json, vocabulary.parquet,
                                config.pbtxt, input_example.json, golden.json, card.md, plots, MLmodel, manifest.json,
                                params.yaml and data.json: of this run, for the next gate to say what has changed
     data/register/version.json which version it is; what the rehearsal in Triton measured, the champion beside it
     MLflow: a version with description, hashes and lineage in its tags; the same package twice is one version
     Triton: both loaded under other names, measured in turns, removed. Triton away: nothing measured, and the gate refuses
"""

from pipelines.register.params import RegisterParams, ServeParams
from pipelines.stage import Report


def run(register: RegisterParams, serve: ServeParams) -> Report:
    from pipelines.register.work import work  # imports torch

    return work(register, serve)
