"""The picture of a decision: the difference to the champion with its interval, on the whole test and on each slice."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from pipelines.gate.evidence import Comparison
from pipelines.gate.params import GateParams

MOST = 40
"""Slices that are drawn; those that lose most."""
WIDEST = 100.0
"""Percent: an interval that leaves the picture is cut."""


def intervals(found: Comparison, gate: GateParams, champion: int, path: Path) -> None:
    """A forest plot: one line for each part of the test."""
    judged = [(str(one), one.difference) for one in found.slices if one.difference]
    judged = sorted(judged, key=lambda row: row[1].share)[:MOST]
    rows = [("all test sessions", found.whole), *judged][::-1]
    figure, axes = plt.subplots(figsize=(8.0, 1.6 + 0.28 * len(rows)), layout="constrained")
    for place, (_, one) in enumerate(rows):
        lower, share, upper = np.clip(100 * np.nan_to_num([one.lower, one.share, one.upper], posinf=WIDEST), -WIDEST, WIDEST)
        colour = "black" if place == len(rows) - 1 else "tab:blue"
        axes.plot([lower, upper], [place, place], color=colour, linewidth=1.5)
        axes.plot(share, place, marker="s" if colour == "black" else "o", color=colour, markersize=5)
    axes.axvline(0, color="grey", linewidth=0.8)
    asked = -gate.max_loss_share if gate.side == "not_worse" else gate.min_gain_share
    axes.plot(2 * [100 * asked], [len(rows) - 1.45, len(rows) - 0.55], color="tab:red", label="asked of the whole")
    if judged:
        loss = 2 * [-100 * gate.max_slice_loss_share]
        axes.plot(loss, [-0.5, len(rows) - 1.55], color="tab:orange", linestyle=":", label="a slice may lose")
    axes.set_yticks(range(len(rows)), [f"{name} ({one.sessions:,})" for name, one in rows])
    axes.set(
        xlabel=f"MRR@20 to version {champion}, percent; one-sided {gate.confidence:.0%} limits", ylim=(-0.6, len(rows) - 0.4)
    )
    figure.legend(loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
