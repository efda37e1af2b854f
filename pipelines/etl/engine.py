"""CPU or GPU: what was asked for, what there is, and what ran."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from pipelines.errors import ParamsError
from pipelines.etl.params import EtlParams


@dataclass
class Engine:
    """Collects Polars plans, and remembers which engine each step ran in, and what fell back."""

    gpu: bool
    streaming_events: int
    ran: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def collect(self, plan: pl.LazyFrame, step: str, *, events: int = 0, streaming: bool = False) -> pl.DataFrame:
        """The plan's rows. On a GPU first strictly there; what Polars cannot do there runs on the CPU, and is noted."""
        if self.gpu:
            try:
                frame = plan.collect(engine=pl.GPUEngine(raise_on_fail=True))
            except (pl.exceptions.ComputeError, NotImplementedError) as error:
                self.note(f"{step}: Polars' GPU engine cannot run this plan, the CPU did: {' '.join(str(error).split())[:200]}")
            else:
                self.ran[step] = "polars gpu"
                return frame
        streaming = streaming or events >= self.streaming_events
        self.ran[step] = "polars streaming" if streaming else "polars in-memory"
        return plan.collect(engine="streaming" if streaming else "in-memory")

    def note(self, text: str) -> None:
        print(f"etl: {text}", flush=True)
        self.notes.append(text)


def choose(etl: EtlParams) -> Engine:
    """ParamsError if a GPU is asked for and something for it is missing."""
    missing = _missing()
    if etl.engine == "gpu" and missing:
        raise ParamsError(
            f"etl.engine is gpu, but there is {missing}",
            "params.yaml: etl.engine",
            "set it to auto or cpu, or use a machine with an NVIDIA GPU and requirements/gpu.txt",
        )
    return Engine(etl.engine == "gpu" or (etl.engine == "auto" and not missing), etl.streaming_events)


def _missing() -> str:
    """What a GPU run lacks; empty if nothing."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "" or not any(Path("/dev").glob("nvidia[0-9]*")):
        return "no GPU"
    packages = [name for name in ("cudf", "cudf_polars", "cupy") if importlib.util.find_spec(name) is None]
    return f"no {' and no '.join(packages)} installed" if packages else ""
