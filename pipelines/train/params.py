"""Settings of training; a model's own settings stand in its file, section `zoo.<model>`."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Le, Lt
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from pipelines.params import Config, Search


class TrainParams(Config):
    """How a neural model is trained; counting models take seed, device and refit only."""

    device: Literal["auto", "cpu", "cuda"]
    """Where to train. auto: on CUDA if there is a device, else on the CPU."""
    precision: Literal["auto", "float32", "bfloat16"]
    """Numbers of training's matrix products. auto: bfloat16 where the device has units for it. Weights are always float32."""
    compile: bool
    """Whether torch.compile makes programs of a transformer's blocks; costs a minute at the start, needs a compiler."""
    seed: Annotated[int, Ge(0), Lt(2**32)]
    """Same seed, same data, same machine: same result."""
    batch_events: Annotated[PositiveInt, Le(2**22), Search(128, 8192, log=True)] | None
    """Events of one optimizer step, the little padding included; memory grows with it, whatever the sessions' lengths.
    Empty: by the size of the data, a 300th of the training events, but 256 at least and 4096 at most."""
    max_epochs: Annotated[PositiveInt, Le(1000)]
    """Passes over the training sessions at most; the schedule is as long."""
    validate_on: Literal["every_position", "last_item"]
    """What is predicted of a validation session: every event after its first, or its last one alone (leave-one-out)."""
    patience: PositiveInt
    """Epochs without a better validation MRR@20 after which training stops."""
    optimizer: Literal["adamw", "adagrad", "muon"]
    """What turns gradients into steps. muon: for hidden matrices, with adamw for tables, biases and norms."""
    learning_rate: Annotated[PositiveFloat, Le(1.0), Search(5e-4, 2e-2, log=True)] | None
    """Largest step size; adagrad wants about ten times that of adamw and muon. Empty: the model's own (recurrent 0.004,
    transformers 0.002)."""
    weight_decay: Annotated[NonNegativeFloat, Le(1.0)]
    """Decay of the matrices (adagrad: added to the gradient); tables, biases and norms have none."""
    schedule: Literal["constant", "cosine", "one_cycle"]
    """Step size after the warm-up: unchanged, or falling to 0 along a cosine; one_cycle also swings the momentum."""
    warmup_share: Annotated[NonNegativeFloat, Lt(1.0)]
    """Share 0..1 of the whole training over which the step size rises."""
    clip_norm: NonNegativeFloat
    """Gradients longer than this are shortened to it; 0: they are left as they are."""
    average_decay: Annotated[NonNegativeFloat, Lt(1.0)]
    """Share 0..1 of the weights' running average that a step keeps; the average is validated and served. 0: no average."""
    refit: bool
    """Whether the chosen epochs are trained once more on training and validation sessions, so that the last day is served too."""
