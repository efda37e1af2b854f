"""What every model promises. A model is tested by being there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.core.base import CountingModel, SessionModel
from models.core.batch import SessionBatch
from pipelines.stores import weights

Batch = Callable[..., SessionBatch]
Train = Callable[..., SessionModel]

PREFIXES = [[1, 2], [2, 3, 4, 5], [6], [9, 9, 1, 2, 9, 9]]


def test_every_item_has_a_score_and_padding_has_none(name: str, train: Train, batch: Batch) -> None:
    scores = train(name).scores(batch(*PREFIXES))
    assert scores.shape == (4, 10)
    assert scores.dtype == torch.float32
    assert torch.isfinite(scores[:, 1:]).all()
    assert (scores[:, 0] == float("-inf")).all()


def test_padding_changes_nothing(name: str, train: Train, batch: Batch) -> None:
    model = train(name)
    torch.testing.assert_close(model.scores(batch([1, 2, 3])), model.scores(batch([1, 2, 3], pad_to=6)))


def test_alone_as_in_company(name: str, train: Train, batch: Batch) -> None:
    model = train(name)
    together = model.scores(batch(*PREFIXES))
    for row, prefix in enumerate(PREFIXES):
        torch.testing.assert_close(model.scores(batch(prefix))[0], together[row])


def test_the_order_of_the_batch_does_not_matter(name: str, train: Train, batch: Batch) -> None:
    model = train(name)
    torch.testing.assert_close(model.scores(batch(*PREFIXES)).flip(0), model.scores(batch(*PREFIXES[::-1])))


def test_scores_everywhere_are_the_scores_of_the_prefixes(name: str, train: Train, batch: Batch) -> None:
    model, whole = train(name), batch([1, 2, 3], [4], [9, 9, 1, 2, 9, 9], [5, 6])
    one_by_one = batch([1], [1, 2], [9], [9, 9], [9, 9, 1], [9, 9, 1, 2], [9, 9, 1, 2, 9], [5])
    torch.testing.assert_close(model.scores_everywhere(whole), model.scores(one_by_one))


def test_a_saved_model_scores_the_same(name: str, train: Train, batch: Batch, tmp_path: Path) -> None:
    model = train(name)
    weights.save(name, model, tmp_path)
    torch.testing.assert_close(weights.load(tmp_path).scores(batch(*PREFIXES)), model.scores(batch(*PREFIXES)), rtol=0, atol=0)


def test_two_sessions_are_learned_by_heart(name: str, train: Train, batch: Batch) -> None:
    """A trained model knows what comes next; a counted one ranks it above what it has never seen."""
    learned = [[1, 2, 3, 4], [5, 3, 6, 1]]
    model = train(name, learned, steps=200)
    whole = batch(*learned)
    scores, targets = model.scores_everywhere(whole), whole.targets()
    if isinstance(model, CountingModel):
        never_seen = scores[:, 7:].max(1).values
        assert (scores.gather(1, targets[:, None]).squeeze(1) > never_seen).all()
    else:
        assert scores.argmax(1).tolist() == targets.tolist()


def test_same_seed_same_result(name: str, train: Train, batch: Batch) -> None:
    first, second = (train(name, seed=7).scores(batch(*PREFIXES)) for _ in range(2))
    assert torch.equal(first, second)


def test_the_rows_that_are_bounded_by_memory_are_at_least_one_vocabulary_wide(name: str, train: Train) -> None:
    assert train(name).numbers_per_row() >= 10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch about itself
def test_scores_become_one_onnx_graph_for_any_batch_size(name: str, train: Train, batch: Batch, tmp_path: Path) -> None:
    import onnxruntime

    class Scores(torch.nn.Module):
        def __init__(self, model: SessionModel) -> None:
            super().__init__()
            self.model = model

        def forward(self, items: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            return self.model.scores(SessionBatch(items, lengths))

    model, example = train(name), batch(*PREFIXES)
    program = torch.onnx.export(
        Scores(model),
        (example.items, example.lengths),
        dynamo=True,
        opset_version=18,
        verbose=False,
        input_names=["items", "lengths"],
        dynamic_shapes={"items": {0: "batch"}, "lengths": {0: "batch"}},
    )
    program.save(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    asked = {entry.name for entry in session.get_inputs()}
    for rows in (1, 3, 4):
        feed = {"items": example.items[:rows].numpy(), "lengths": example.lengths[:rows].numpy()}
        (found,) = session.run(None, {key: value for key, value in feed.items() if key in asked})
        torch.testing.assert_close(torch.from_numpy(found), model.scores(batch(*PREFIXES[:rows], pad_to=6)), rtol=0, atol=1e-4)
