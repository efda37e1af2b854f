from __future__ import annotations

import math

import pytest
import torch

from models.core.attention import FORBIDDEN, attend, by_products, forbid

B, H, L, E = 2, 3, 4, 5
BIASES = {"none": None, "by place": (1, H, L, L), "by key": (B, 1, 1, L), "each": (B, H, L, L)}


def by_hand(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None, causal: bool) -> torch.Tensor:
    found = torch.zeros_like(q)
    bias = torch.zeros(B, H, L, L, dtype=q.dtype) if bias is None else bias.expand(B, H, L, L)
    for b in range(B):
        for h in range(H):
            for i in range(L):
                seen = range(i + 1 if causal else L)
                weights = [torch.exp(q[b, h, i] @ k[b, h, j] / math.sqrt(E) + bias[b, h, i, j]) for j in seen]
                for j in seen:
                    found[b, h, i] = found[b, h, i] + weights[j] / sum(weights) * v[b, h, j]
    return found


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("shape", BIASES.values(), ids=BIASES)
def test_attention_is_the_weighted_mean_in_value_and_gradients(shape: tuple[int, ...] | None, causal: bool) -> None:
    torch.manual_seed(0)
    given = [torch.randn(B, H, L, E, dtype=torch.float64) for _ in range(3)]
    if shape is not None:
        given.append(torch.randn(shape, dtype=torch.float64))
    ours, plain = ([tensor.clone().requires_grad_() for tensor in given] for _ in range(2))

    found = attend(*ours[:3], ours[3] if shape else None, causal)
    expected = by_hand(*plain[:3], plain[3] if shape else None, causal)
    weights = torch.randn(B, H, L, E, dtype=torch.float64)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()

    torch.testing.assert_close(found, expected)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_without_the_fused_kernel_it_is_the_same() -> None:
    torch.manual_seed(0)
    given = [torch.randn(B, H, L, E, dtype=torch.float64) for _ in range(3)]
    bias = torch.randn(1, H, L, L, dtype=torch.float64)
    torch.testing.assert_close(by_products(*given, bias, 0.0), by_hand(*given, bias, causal=False))


@pytest.mark.parametrize("causal", [True, False])
def test_in_bfloat16_it_is_nearly_the_same(causal: bool) -> None:
    torch.manual_seed(0)
    given = [torch.randn(B, H, L, E).bfloat16() for _ in range(3)]
    bias = torch.randn(1, H, L, L)
    expected = by_hand(*(tensor.double() for tensor in given), bias.double(), causal)
    torch.testing.assert_close(attend(*given, bias, causal).double(), expected, rtol=0.05, atol=0.05)


def test_who_sees_nothing_gets_a_number_all_the_same() -> None:
    given = [torch.randn(1, 1, 3, 2) for _ in range(3)]
    bias = forbid(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 3, 3, dtype=torch.bool))
    assert (bias == FORBIDDEN).all()
    torch.testing.assert_close(attend(*given, bias, causal=False), given[2].mean(2, keepdim=True).expand(1, 1, 3, 2))


def test_dropout_blanks_weights_and_keeps_their_mean() -> None:
    torch.manual_seed(0)
    same, values = torch.zeros(1, 1, 400, 8), torch.ones(1, 1, 400, 8)
    found = attend(same, same, values, None, causal=False, dropout=0.25)
    assert abs(found.mean().item() - 1) < 0.01
    assert found.std() > 0.01
