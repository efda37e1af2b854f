"""Settings of training; a model's own settings stand in its file, section `zoo.<model>`."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Le, Lt
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from pipelines.params import Config, Search


class TrainParams(Config):
    """How a neural model is trained; counting models take the seed and the device only."""

    device: Literal["auto", "cpu", "cuda"]
    """Where to train. auto: on CUDA if there is a device, else on the CPU."""
    precision: Literal["auto", "float32", "bfloat16"]
    """Numbers of training's matrix products. auto: bfloat16 where the device has units for it. Weights are always float32."""
    seed: Annotated[int, Ge(0), Lt(2**32)]
    """Same seed, same data, same machine: same result."""
    batch_size: Annotated[PositiveInt, Le(65_536), Search(32, 1024, log=True)]
    """Sessions of one optimizer step."""
    max_epochs: Annotated[PositiveInt, Le(1000)]
    """Passes over the training sessions at most; the schedule is as long."""
    patience: PositiveInt
    """Epochs without a better validation MRR@20 after which training stops."""
    learning_rate: Annotated[PositiveFloat, Le(1.0), Search(5e-4, 2e-2, log=True)]
    """Largest step size of AdamW."""
    weight_decay: Annotated[NonNegativeFloat, Le(1.0)]
    """AdamW's decay of the matrices; tables, biases and norms have none."""
    schedule: Literal["constant", "cosine", "one_cycle"]
    """Step size after the warm-up: unchanged, or falling to 0 along a cosine; one_cycle also swings the momentum."""
    warmup_share: Annotated[NonNegativeFloat, Lt(1.0)]
    """Share 0..1 of all steps over which the step size rises."""
    clip_norm: PositiveFloat
    """Gradients longer than this are shortened to it."""
