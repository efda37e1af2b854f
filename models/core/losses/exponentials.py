"""Exponentials of scores that neither overflow nor need a pass over the scores for it, as long as that can be."""

from __future__ import annotations

import torch
from torch import Tensor

from models.core.losses.chunks import FAR, STEP, Scores


def exponentials(scores: Scores, part: slice, hidden_CN: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Of a chunk's shifted scores: e^(score - above) [C, N], their sums [C], above [C].

    Scores that the caller has shifted by that of the target are small once something is learned: above is 0. Only a state
    that is sure of something else needs its largest score to be found; on a GPU looking for such states takes longer.
    """
    raised_CN = _visible(scores, part, hidden_CN)
    if raised_CN.device.type == "cpu":
        sums_C = _sums(raised_CN.exp_(), scores.exact)
        if torch.isfinite(sums_C).all():
            return raised_CN, sums_C, torch.zeros_like(sums_C)
        raised_CN = _visible(scores, part, hidden_CN)
    above_C1 = raised_CN.amax(1, keepdim=True).clamp_(min=0)
    raised_CN.sub_(above_C1).exp_()
    return raised_CN, _sums(raised_CN, scores.exact), above_C1.squeeze(1).to(scores.exact)


def _visible(scores: Scores, part: slice, hidden_CN: Tensor | None) -> Tensor:
    scores_CN = scores.of(part)
    return scores_CN if hidden_CN is None else scores_CN.masked_fill_(hidden_CN, FAR)


def _sums(raised_CN: Tensor, exact: torch.dtype) -> Tensor:
    """In pieces: a bfloat16 sum is added up in float32 and rounded at the end; of many, the errors cancel."""
    return raised_CN.view(len(raised_CN), STEP, -1).sum(2).to(exact).sum(1)
