"""What the rules may know of the challenger. What could not be measured is Missing, with the reason: no rule passes on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.gate.interval import Difference

CHAMPION = "champion"


@dataclass(frozen=True)
class Missing:
    """Was not measured."""

    why: str


@dataclass(frozen=True)
class Slice:
    """A part of the test: `kind` says by what it is divided, `name` which part. None: too few sessions to judge."""

    kind: str
    name: str
    sessions: int
    difference: Difference | None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Comparison:
    """Challenger and champion on the same predictions: all of them, and slice by slice."""

    whole: Difference
    slices: tuple[Slice, ...]


@dataclass(frozen=True)
class Service:
    """One version in Triton. memory_mb: of the process that serves it."""

    p50_ms: float
    p95_ms: float
    memory_mb: float | Missing


@dataclass(frozen=True)
class Parity:
    sessions: int
    wrong: int


@dataclass(frozen=True)
class Drift:
    """One column, test days to training days.

    psi   population stability index
    ks_p  p-value of the Kolmogorov-Smirnov test; None for categories
    """

    column: str
    psi: float
    ks_p: float | None


@dataclass(frozen=True)
class Drifts:
    columns: tuple[Drift, ...]
    absent: tuple[str, ...]
    """Columns asked for that the data do not have."""


@dataclass(frozen=True)
class Table:
    """The item vectors of the model.

    mean_cosine     between the vectors of two items, of a sample
    effective_rank  exp of the entropy of the normalized singular values, 1..size
    """

    items: int
    size: int
    mean_cosine: float
    effective_rank: float


@dataclass(frozen=True)
class Health:
    """How the training went. losses: one for each epoch; none for a model that counts, which has no table either."""

    losses: tuple[float, ...]
    table: Table | Missing | None


@dataclass(frozen=True)
class Evidence:
    """What is known of the challenger.

    metrics        of each model, and of the champion under CHAMPION, on the test sessions
    champion       the version that is served; None if there is none yet
    """

    challenger: str
    metrics: Mapping[str, Mapping[str, float]]
    champion: int | None
    comparison: Comparison | Missing
    service: Service | Missing
    champion_service: Service | Missing
    parity: Parity | Missing
    drifts: Drifts | Missing
    health: Health | Missing

    def metric(self, name: str, model: str | None = None) -> float | None:
        """Of the challenger, or of another model."""
        return self.metrics.get(model or self.challenger, {}).get(name)


@dataclass(frozen=True)
class Verdict:
    passed: bool
    reason: str
