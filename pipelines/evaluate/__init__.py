"""evaluate: a trained model ranks all items for every prediction of the test sessions.

in   data/etl, data/train/<model>
     params.yaml: evaluate
out  data/evaluate/<model>/metrics.json    recall, MRR, NDCG at 1, 5, 10, 20; what the lists shown are like; unseen share
                           slices.json     recall, MRR, NDCG at 20 by session length, popularity and category of the target, day
                           ranks.parquet   one row per prediction: session, position, target, rank, and its slice of each kind
     MLflow: the metrics with the prefix test_, in the model's run

`evaluate champion` ranks the champion's weights (data/train/champion, put there by another action) on the same
predictions; without a champion it says so: metrics.json is {"absent": true}. A champion that cannot be read or scored any
more is {"unmeasured": why}: the run goes on to the gate, which refuses.
"""

from pipelines.evaluate.params import EvaluateParams
from pipelines.stage import Report


def run(evaluate: EvaluateParams, model: str) -> Report:
    from pipelines.evaluate.work import work  # imports torch

    return work(evaluate, model)
