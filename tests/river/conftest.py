"""A small run in a folder of its own: the simulator's shop, MLflow as a file, no servers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import stage
from pipelines.stores.settings import ROOT, settings
from pipelines.workspace import overrides

SMALL = {
    "events.simulate.num_events": 20_000,
    "events.simulate.num_items": 400,
    "events.simulate.days": 6,
    "train.max_epochs": 2,
}

Run = Callable[..., int]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """params.yaml of a small run, nothing else; the current directory of the module's tests."""
    home = tmp_path_factory.mktemp("river")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("var", "mlruns"):
            patch.setenv(f"NEXTCLICK_{name.upper()}", str(home / name))
        patch.setenv("NEXTCLICK_MLFLOW_URI", "")
        patch.setenv("NEXTCLICK_TRITON_HTTP_PORT", "1")  # nobody listens there
        patch.chdir(home)
        settings.cache_clear()
        write(home, **SMALL)
        (home / "data/raw").mkdir(parents=True)
        yield home
    settings.cache_clear()


def write(folder: Path, **changes: Any) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key, value in changes.items():
        *sections, name = key.split(".")
        place = values
        for part in sections:
            place = place[part]
        place[name] = value
    overrides.write(values, folder / "params.yaml")


def run(*words: str) -> int:
    """One stage or action, as `python -m pipelines` runs it."""
    return stage.main(list(words))
