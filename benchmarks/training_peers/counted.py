"""The trainer's own steps, counted, and what their work depends on."""

from __future__ import annotations

from typing import Any

import torch

from models.core.sequence import SequenceModel
from pipelines.train.steps import Stepper


class Counted(Stepper):
    """Counts its optimizer steps."""

    taken = 0

    def step(self, *words: Any) -> torch.Tensor:
        self.taken += 1
        return super().step(*words)


def sizes(model: SequenceModel, stepper: Counted, epochs: int) -> dict[str, float]:
    """Means over the steps so far. candidates: scores that each state is trained by."""
    head, config = model.head, model.config
    scored = sum(value.numel() for value in (head.table.weight, head.bias) if isinstance(value, torch.nn.Parameter))
    targets = (stepper.events - len(stepper.lengths)) * epochs / stepper.taken
    sampled = config.negatives + targets * config.in_batch_negatives
    return {
        "hidden_size": config.hidden_size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "table_parameters": scored,
        "events_per_step": stepper.events * epochs / stepper.taken,
        "targets_per_step": targets,
        "candidates": model.features.num_items if config.loss == "full_softmax" else sampled,
    }
