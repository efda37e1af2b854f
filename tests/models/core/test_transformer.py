from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.core.batch import SessionBatch
from models.core.transformer import Block, Transformer, TransformerConfig
from tests.models.conftest import ZOO, untrained


def config(**changes: Any) -> TransformerConfig:
    known = TransformerConfig.model_fields
    values = {name: value for name, value in ZOO["sasrec"].items() if name in known}
    small = {"hidden_size": 8, "heads": 2, "layers": 2, "feed_forward_factor": 4.0, "hidden_dropout": 0.0}
    return TransformerConfig.model_validate({**values, **small, **changes})


def normed(values: Tensor, norm: nn.Module) -> Tensor:
    if isinstance(norm, nn.RMSNorm):
        return values / (values.square().mean(-1, keepdim=True) + torch.finfo(values.dtype).eps).sqrt() * norm.weight
    centred = values - values.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt() * norm.weight + norm.bias


def linear(values: Tensor, layer: nn.Linear) -> Tensor:
    return values @ layer.weight.T + (0 if layer.bias is None else layer.bias)


def block_by_hand(x: Tensor, block: Any, heads: int) -> Tensor:
    """One session, causal, event by event."""
    attention, feed_forward = block.attention.inner, block.feed_forward.inner
    seen = normed(x, block.attention.norm)
    q, k, v = (linear(seen, layer) for layer in (attention.queries, attention.keys, attention.values))
    rows = []
    for i in range(len(x)):
        parts = []
        for h in range(heads):
            part = slice(h * x.shape[1] // heads, (h + 1) * x.shape[1] // heads)
            weights = torch.softmax(k[: i + 1, part] @ q[i, part] / math.sqrt(x.shape[1] / heads), 0)
            parts.append(weights @ v[: i + 1, part])
        rows.append(torch.cat(parts))
    change = linear(torch.stack(rows), attention.out)
    gate = block.attention.gate
    x = x + (change if gate is None else change / (1 + torch.exp(-linear(x, gate))))
    seen = normed(x, block.feed_forward.norm)
    up = linear(seen, feed_forward.up)
    if feed_forward.gate is None:
        wide = up * (1 + torch.erf(up / math.sqrt(2))) / 2
    else:
        opened = linear(seen, feed_forward.gate)
        wide = up * opened / (1 + torch.exp(-opened))
    change = linear(wide, feed_forward.down)
    gate = block.feed_forward.gate
    return x + (change if gate is None else change / (1 + torch.exp(-linear(x, gate))))


@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("feed_forward", ["swiglu", "gelu"])
def test_a_block_is_what_its_formula_says(norm: str, gated: bool, feed_forward: str) -> None:
    torch.manual_seed(0)
    block = Block(config(norm=norm, gated=gated, feed_forward=feed_forward), causal=True).double()
    x = torch.randn(1, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(block(x, None)[0], block_by_hand(x[0], block, heads=2))


SETTINGS = [{"positions": position, "time_bias": time} for position in ("learned", "relative", "none") for time in (True, False)]


def batch(lengths: list[int], width: int) -> SessionBatch:
    times = torch.arange(width).square().repeat(len(lengths), 1) * 1_000_000
    return SessionBatch(torch.ones(len(lengths), width, dtype=torch.int64), torch.tensor(lengths), {"timestamp": times})


def transformer(causal: bool, **changes: Any) -> Transformer:
    torch.manual_seed(0)
    made = Transformer(config(**changes), num_places=6, causal=causal)
    for bias in (made.pairs.places, made.pairs.times):
        if bias is not None:
            nn.init.normal_(bias)  # they begin with 0
    return made


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_a_later_event_changes_no_earlier_state(setting: dict[str, Any]) -> None:
    made, given = transformer(True, **setting), batch([6], 6)
    events = torch.randn(1, 6, 8)
    changed = events.clone()
    changed[0, 3] += 1
    before, after = made(events, given), made(changed, given)
    assert torch.equal(before[0, :3], after[0, :3])
    assert ((before - after)[0, 3:].abs().amax(1) > 1e-4).all()


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_what_stands_in_the_padding_changes_no_state(setting: dict[str, Any], causal: bool) -> None:
    made, given = transformer(causal, **setting), batch([3, 6], 6)
    events = torch.randn(2, 6, 8)
    changed = events.clone()
    changed[0, 3:] = 1e3
    torch.testing.assert_close(made(events, given)[0, :3], made(changed, given)[0, :3], rtol=0, atol=1e-5)


def test_read_from_both_sides_every_event_changes_every_state() -> None:
    made, given = transformer(False), batch([6], 6)
    events = torch.randn(1, 6, 8)
    changed = events.clone()
    changed[0, 5] += 1
    assert ((made(events, given) - made(changed, given))[0].abs().amax(1) > 1e-4).all()


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_order_and_time_matter_where_they_are_read(setting: dict[str, Any]) -> None:
    made, given = transformer(False, **setting), batch([3], 3)
    events = torch.randn(1, 3, 8)
    swapped = made(events[:, [2, 1, 0]], given)[0, [2, 1, 0]]
    if setting["positions"] == "none" and not setting["time_bias"]:
        torch.testing.assert_close(swapped, made(events, given)[0])
    else:
        assert (swapped - made(events, given)[0]).abs().max() > 1e-4


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_state_of_one_place_alone_is_the_one_among_all(
    setting: dict[str, Any], layers: int, gated: bool, causal: bool
) -> None:
    made, given = transformer(causal, layers=layers, gated=gated, **setting), batch([1, 4, 6], 6)
    events = torch.randn(3, 6, 8)
    alone = made(events, given, given.last())
    assert alone.shape == (3, 1, 8)
    torch.testing.assert_close(alone[:, 0], made(events, given)[[0, 1, 2], [0, 3, 5]])


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_the_state_of_one_place_alone_sees_no_padding(setting: dict[str, Any]) -> None:
    made, given = transformer(True, **setting), batch([1, 4], 6)
    events = torch.randn(2, 6, 8)
    changed = events.clone()
    changed[0, 1:], changed[1, 4:] = 1e3, -1e3
    torch.testing.assert_close(made(events, given, given.last()), made(changed, given, given.last()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_scores_of_prefixes_are_those_of_one_pass_over_all_places(
    setting: dict[str, Any], layers: int, gated: bool, repeats: bool
) -> None:
    torch.manual_seed(0)
    model = untrained("sasrec", layers=layers, gated=gated, repeats=repeats, **setting).eval().double()
    for weights in model.parameters():
        nn.init.normal_(weights, std=0.3)  # biases of pairs and distances begin with 0
    times = torch.tensor([[0, 1, 5, 30, 400, 5000], [0, 3, 9, 27, 0, 0]]) * 1_000_000
    whole = SessionBatch(torch.tensor([[1, 2, 1, 4, 5, 6], [7, 8, 9, 7, 0, 0]]), torch.tensor([6, 4]), {"timestamp": times})
    torch.testing.assert_close(model.scores(whole.prefixes()), model.scores_everywhere(whole))


def test_heads_that_do_not_divide_the_hidden_size_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden_size = 8 is not a multiple of heads = 3"):
        config(heads=3)
