from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.core.base import SessionModel
from models.core.batch import SessionBatch
from models.core.masking import VISIBLE
from models.core.relative import LONGEST_WAVE, RelativeLayer, by_pair, waves
from models.core.sampling import draw
from models.xlnet import replaced, visible

Batch = Callable[..., SessionBatch]
Build = Callable[..., SessionModel]

HIDING = ["masked", "permutation", "replaced_tokens"]


def test_hidden_events_are_seen_by_hidden_ones_of_a_higher_rank_only() -> None:
    rank = torch.tensor([[VISIBLE, 1, 0, VISIBLE, VISIBLE]])
    happened = torch.tensor([[True, True, True, True, False]])
    assert visible(rank, happened)[0].int().tolist() == [
        [1, 0, 0, 1, 0],
        [1, 0, 1, 1, 0],  # rank 1 sees rank 0
        [1, 0, 0, 1, 0],
        [1, 0, 0, 1, 0],
        [1, 0, 0, 1, 0],
    ]


def test_a_permutations_target_never_sees_itself_nor_later_ones(build: Build, batch: Batch) -> None:
    torch.manual_seed(0)
    model = build("xlnet", objective="permutation").eval()
    rank = torch.tensor([[VISIBLE, 1, 0, 2, VISIBLE]])
    before = model.about(batch([1, 2, 3, 4, 5]), rank)[0]
    for place, blind, seeing in ((2, [2], [1, 3]), (1, [1, 2], [3]), (3, [1, 2, 3], [])):
        items = [1, 2, 3, 4, 5]
        items[place] = 9
        change = (model.about(batch(items), rank)[0] - before).abs().amax(1)
        assert (change[blind] == 0).all(), place
        assert (change[seeing] > 1e-5).all(), place
    other = (model.about(batch([1, 2, 3, 4, 9]), rank)[0] - before).abs().amax(1)
    assert (other[[1, 2, 3]] > 1e-5).all()  # what is visible is seen by all


def test_a_masked_target_is_known_from_both_sides_and_not_from_itself(build: Build, batch: Batch) -> None:
    torch.manual_seed(0)
    model = build("xlnet", objective="masked").eval()
    rank = torch.tensor([[VISIBLE, 0, VISIBLE]])
    known = model.about(batch([1, 2, 3]), rank)[0, 1]
    assert torch.equal(known, model.about(batch([1, 8, 3]), rank)[0, 1])
    for items in ([9, 2, 3], [1, 2, 9]):
        assert (known - model.about(batch(items), rank)[0, 1]).abs().max() > 1e-5


def test_causal_states_have_not_seen_what_follows(build: Build, batch: Batch) -> None:
    torch.manual_seed(0)
    model = build("xlnet", objective="causal").eval()
    before, after = (model.states(batch(items))[0] for items in ([1, 2, 3, 4], [1, 2, 9, 4]))
    assert torch.equal(before[:2], after[:2])
    assert ((before - after)[2:].abs().amax(1) > 1e-5).all()


def test_a_replaced_event_is_told_by_its_item_and_one_drawn_as_it_was_is_not_replaced(build: Build, batch: Batch) -> None:
    whole, hidden = batch([1, 2, 3], [4, 5]), torch.tensor([[False, True, True], [True, False, False]])
    seen = replaced(whole, hidden, torch.tensor([7, 3, 9]))
    assert seen.items.tolist() == [[1, 7, 3], [9, 5, 0]]
    model = build("xlnet", objective="replaced_tokens").eval()
    with torch.no_grad():
        model.replaced.weight.zero_()
        model.replaced.bias.fill_(math.log(3))  # every event is replaced with probability 3/4
    # replaced: 2 -> 7 and 4 -> 9; not replaced: 1, 3 and 5; the padded place takes no part
    expected = -(2 * math.log(0.75) + 3 * math.log(0.25)) / 5
    assert model.told(whole, seen).item() == pytest.approx(expected, rel=1e-5)


def test_items_are_drawn_by_the_softmax_of_their_scores(build: Build) -> None:
    torch.manual_seed(0)
    model = build("xlnet", similarity="dot")
    with torch.no_grad():
        model.head.table.weight.zero_()
        model.head.bias[1:] = torch.tensor([0.1, 0.2, 0.05, 0.05, 0.3, 0.1, 0.1, 0.05, 0.05]).log()
        model.head.bias[0] = 50.0  # padding is never drawn
    drawn = draw(model.head, torch.zeros(20_000, model.config.hidden_size))
    shares = torch.bincount(drawn, minlength=10).float() / 20_000
    torch.testing.assert_close(shares[1:], model.head.bias[1:].exp().detach(), rtol=0, atol=0.015)
    assert shares[0] == 0


@pytest.mark.parametrize("objective", HIDING)
def test_two_sessions_are_learned_by_heart_whatever_is_hidden(build: Build, batch: Batch, objective: str) -> None:
    torch.manual_seed(0)
    model = build("xlnet", objective=objective)
    whole = batch([1, 2, 3, 4], [5, 3, 6, 1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.001)
    for _ in range(200):
        optimizer.zero_grad()
        model.loss(whole).backward()
        optimizer.step()
    assert model.eval().scores_everywhere(whole).argmax(1).tolist() == whole.targets().tolist()


@pytest.mark.parametrize("objective", HIDING)
def test_padding_and_company_change_nothing_whatever_is_hidden(build: Build, batch: Batch, objective: str) -> None:
    torch.manual_seed(0)
    model = build("xlnet", objective=objective).eval()
    together = model.scores(batch([1, 2, 3], [4, 5, 6, 7, 8]))
    torch.testing.assert_close(model.scores(batch([1, 2, 3]))[0], together[0])
    torch.testing.assert_close(model.scores(batch([1, 2, 3], pad_to=6))[0], together[0])
    empty = SessionBatch(torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    assert torch.isfinite(model.scores(empty)[:, 1:]).all()


def test_the_distance_of_each_pair_is_picked() -> None:
    distances = torch.arange(3, -3, -1.0).expand(1, 1, 3, 6)  # as in `waves`: 3, 2, 1, 0, -1, -2
    assert by_pair(distances)[0, 0].tolist() == [[0, -1, -2], [1, 0, -1], [2, 1, 0]]


def test_relative_attention_is_its_papers_formula(build: Build) -> None:
    """Dai et al., 2019, section 3.3: (q + u) k + (q + v) W r, r the sines and cosines of i - j."""
    torch.manual_seed(0)
    config = build("xlnet").config.model_copy(update={"hidden_size": 8, "heads": 2, "hidden_dropout": 0.0})
    layer = RelativeLayer(config).double()
    torch.nn.init.normal_(layer.to_content)
    torch.nn.init.normal_(layer.to_distance)
    asking, events = (torch.randn(1, 4, 8, dtype=torch.float64) for _ in range(2))
    sees = torch.tensor([[[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 0], [1, 0, 0, 1]]]).bool()
    found = layer._attention(asking, events, sees)[0]

    expected = torch.zeros(4, 8, dtype=torch.float64)
    q, k, v = asking[0] @ layer.queries.weight.T, events[0] @ layer.keys.weight.T, events[0] @ layer.values.weight.T
    for head in (slice(0, 4), slice(4, 8)):
        for i in range(4):
            logits: dict[int, Any] = {}
            for j in range(4):
                if sees[0, i, j]:
                    angles = [(i - j) / LONGEST_WAVE ** (n / 8) for n in (0, 2, 4, 6)]
                    r = torch.tensor([*map(math.sin, angles), *map(math.cos, angles)], dtype=torch.float64)
                    to_content = (q[i] + layer.to_content)[head] @ k[j, head]
                    to_place = (q[i] + layer.to_distance)[head] @ (layer.distances.weight @ r)[head]
                    logits[j] = torch.exp((to_content + to_place) / 2)
            for j, weight in logits.items():
                expected[i, head] += weight / sum(logits.values()) * v[j, head]
    torch.testing.assert_close(found, expected @ layer.out.weight.T, rtol=1e-5, atol=1e-6)  # waves are float32


def test_waves_tell_earlier_from_later() -> None:
    found = waves(2, 4, torch.device("cpu"))
    assert found.shape == (4, 4)
    torch.testing.assert_close(found[2], torch.tensor([0.0, 0, 1, 1]))  # distance 0
    torch.testing.assert_close(found[1], torch.tensor([math.sin(1), math.sin(0.01), math.cos(1), math.cos(0.01)]))
    torch.testing.assert_close(found[3, :2], -found[1, :2])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch about itself
@pytest.mark.parametrize("objective", ["masked", "permutation"])
def test_what_is_hidden_behind_the_last_event_is_asked_in_onnx_too(
    build: Build, batch: Batch, objective: str, tmp_path: Path
) -> None:
    import onnxruntime

    class Scores(torch.nn.Module):
        def __init__(self, model: SessionModel) -> None:
            super().__init__()
            self.model = model

        def forward(self, items: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            return self.model.scores(SessionBatch(items, lengths))

    model, example = build("xlnet", objective=objective).eval(), batch([1, 2], [6], [9, 9, 1, 2, 9, 9])
    torch.onnx.export(
        Scores(model),
        (example.items, example.lengths),
        tmp_path / "model.onnx",
        dynamo=True,
        verbose=False,
        dynamic_shapes={"items": {0: "batch"}, "lengths": {0: "batch"}},
    )
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for rows in (1, 3):
        feed = {"items": example.items[:rows].numpy(), "lengths": example.lengths[:rows].numpy()}
        (found,) = session.run(None, feed)
        torch.testing.assert_close(torch.from_numpy(found), model.scores(example)[:rows], rtol=0, atol=1e-4)
