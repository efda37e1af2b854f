"""train: one model learns from the training sessions; the validation sessions say when to stop.

With train.refit it then learns again, for as long, with the validation sessions too; the figures stay those from before.

in   data/etl                                            sessions as flat columns, split by time
     params.yaml: train, zoo.<model>
out  data/train/<model>/weights.safetensors, model.json  the best epoch
                        history.csv                      one row per epoch, for `dvc plots`
                        metrics.json                     validation metrics, the same for the same seed
                        run.json                         the MLflow run, timings
                        checkpoint/                      while it lasts: where it stands after an epoch
     MLflow: settings, curves, system metrics, data set, lineage
"""

from pipelines.stage import Report
from pipelines.train.params import TrainParams


def run(train: TrainParams, model: str) -> Report:
    from pipelines.train.work import work  # imports torch

    return work(train, model)
