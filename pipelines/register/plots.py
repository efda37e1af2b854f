"""The pictures of a version: how it learned, how the models compare, where the targets stand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.axes import Axes

SIZE = (7.0, 4.0)


def write(folder: Path, name: str, history: Path, tested: Mapping[str, Mapping[str, Any]], ranks: Path) -> None:
    """learning.png (models that learn in epochs), metrics.png, ranks.png."""
    folder.mkdir(parents=True, exist_ok=True)
    epochs = pl.read_csv(history, infer_schema_length=None)
    if len(epochs) > 1:
        learning(epochs, folder / "learning.png", name)
    compared(tested, folder / "metrics.png", name)
    targets(pl.read_parquet(ranks)["rank"].to_numpy(), folder / "ranks.png", name)


def learning(epochs: pl.DataFrame, path: Path, name: str) -> None:
    axes, save = _figure(path)
    axes.plot(epochs["epoch"], epochs["valid_mrr_at_20"], marker="o", label="valid MRR@20")
    axes.set(xlabel="epoch", ylabel="MRR@20", title=f"{name}: learning curve")
    loss = axes.twinx()
    loss.plot(epochs["epoch"], epochs["train_loss"], color="tab:orange", marker=".", label="training loss")
    loss.set_ylabel("training loss")
    axes.set_xticks(epochs["epoch"].to_list()[:: max(1, len(epochs) // 10)])
    axes.figure.legend(loc="outside lower center", ncols=2)
    save()


def compared(tested: Mapping[str, Mapping[str, Any]], path: Path, name: str) -> None:
    axes, save = _figure(path)
    models = sorted(tested, key=lambda model: tested[model]["mrr_at_20"])
    place = np.arange(len(models))
    for offset, metric in ((0.2, "mrr_at_20"), (-0.2, "recall_at_20")):
        bars = axes.barh(place + offset, [tested[model][metric] for model in models], height=0.38, label=metric)
        axes.bar_label(bars, fmt="%.3f", padding=3)
    axes.set_yticks(place, [f"{model} (this)" if model == name else model for model in models])
    axes.set(title="models on the test sessions")
    axes.margins(x=0.15)
    axes.legend(loc="lower right")
    save()


def targets(ranks: np.ndarray[Any, Any], path: Path, name: str) -> None:
    axes, save = _figure(path)
    ordered = np.sort(ranks)
    axes.step(ordered, np.arange(1, len(ordered) + 1) / len(ordered), where="post")
    axes.axvline(20, color="grey", linestyle=":", label="20 answers")
    axes.set_xscale("log")
    axes.set(
        xlabel="rank of the item clicked next", ylabel="share of predictions", ylim=(0, 1), title=f"{name}: ranks of the targets"
    )
    axes.legend()
    save()


def _figure(path: Path) -> tuple[Axes, Any]:
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")

    def save() -> None:
        figure.savefig(path, dpi=110, metadata={"Software": None})
        plt.close(figure)

    return axes, save
