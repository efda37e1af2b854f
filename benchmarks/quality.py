"""Quality by the protocols of the papers: data/etl is written from a public set, then the stages `train` and `evaluate` run.

    python benchmarks/quality.py                            every set, every row of its recipe
    python benchmarks/quality.py yoochoose_srgnn --rows gru4rec session_knn
    python benchmarks/quality.py rees46_merlin --seeds 3    mean of three seeds, and its 95 % interval
    python benchmarks/quality.py yoochoose_clicks --rows gru4rec --search 20
                                                            draw 20 settings from the types' ranges, choose on validation

A recipe, benchmarks/recipes/<set>.yaml, holds what was published, and for each row the model and what differs from
params.yaml. Validation chooses; the test is looked at once, with the chosen settings. The sets are described in
benchmarks/quality_sets.py; a set that is not there is left out and named. MLflow is an empty database of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "benchmarks" / "recipes"
sys.path.insert(0, str(ROOT))

from benchmarks import quality_sets  # noqa: E402
from models.core import registry  # noqa: E402
from models.core.base import CountingModel  # noqa: E402
from pipelines.train.params import TrainParams  # noqa: E402

Values = dict[str, Any]


def changed(values: Values, changes: Values) -> Values:
    """values with changes, section by section. KeyError names a setting that params.yaml does not have."""
    made = dict(values)
    for key, change in changes.items():
        if key not in values:
            raise KeyError(f"params.yaml has no setting {key!r}; there are: {', '.join(values)}")
        made[key] = changed(values[key], change) if isinstance(change, dict) and values[key] else change
    return made


@contextmanager
def workspace(name: str) -> Iterator[tuple[Path, Values]]:
    """A folder with data/etl of the set, and the settings that its protocol needs."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        values = yaml.safe_load((ROOT / "params.yaml").read_text())
        yield folder, changed(values, {"evaluate": quality_sets.SETS[name](folder / "data/etl")})


def stage(folder: Path, *words: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NEXTCLICK_MLRUNS": str(folder / "mlruns")}
    subprocess.run([sys.executable, "-m", "pipelines", *words], check=True, env=environment, cwd=folder)


def train(folder: Path, values: Values, model: str) -> Values:
    """Validation metrics and timings."""
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    begin = time.monotonic()
    stage(folder, "train", model)
    made = folder / "data/train" / model
    return json.loads((made / "metrics.json").read_text()) | {
        "minutes": (time.monotonic() - begin) / 60,
        "events_per_s": json.loads((made / "run.json").read_text())["events_per_s"],
    }


def test(folder: Path, model: str) -> Values:
    stage(folder, "evaluate", model)
    return dict(json.loads((folder / "data/evaluate" / model / "metrics.json").read_text()))


def search(folder: Path, values: Values, model: str, draws: int, seed: int) -> Values:
    """The changes with the best validation MRR@20 of `draws` drawn from the Search ranges of the trainer and the model."""
    chance = np.random.default_rng(seed)
    best: tuple[float, Values] = (-1.0, {})
    for number in range(1, draws + 1):
        drawn = {"train": draw(TrainParams, chance), "zoo": {model: draw(registry.find(model).Config, chance)}}
        try:
            found = train(folder, changed(values, drawn), model)["valid_mrr_at_20"]
        except subprocess.CalledProcessError:
            print(f"draw {number}: failed, {json.dumps(drawn)}", flush=True)
            continue
        best = max(best, (found, drawn), key=lambda one: one[0])
        print(f"draw {number} of {draws}: valid MRR@20 {found:.4f}, best {best[0]:.4f}: {json.dumps(best[1])}", flush=True)
    return best[1]


def draw(kind: Any, chance: np.random.Generator) -> Values:
    """One value of each setting that has a range; whole numbers stay whole."""
    drawn = {}
    for name, field in kind.model_json_schema()["properties"].items():
        field = next((one for one in field.get("anyOf", [field]) if "x-search" in one), field)
        if "x-search" in field:
            low, high, log = (field["x-search"][key] for key in ("low", "high", "log"))
            value = float(np.exp(chance.uniform(np.log(low), np.log(high))) if log else chance.uniform(low, high))
            drawn[name] = round(value) if field.get("type") == "integer" else float(f"{value:.3g}")
    return drawn


def measure(name: str, recipe: Values, arguments: argparse.Namespace) -> list[Values]:
    """One entry per row of the recipe."""
    rows = []
    with workspace(name) as (folder, values):
        for title, changes in recipe["rows"].items():
            if arguments.rows and title not in arguments.rows:
                continue
            changes = dict(changes or {})
            model = changes.pop("model", title)
            chosen = changed(changed(values, recipe.get("common") or {}), changes)
            if arguments.search:
                chosen = changed(chosen, search(folder, chosen, model, arguments.search, arguments.seed))
            found = []
            seeds = 1 if issubclass(registry.find(model), CountingModel) else arguments.seeds  # counts know no chance
            for seed in range(arguments.seed, arguments.seed + seeds):
                chosen = changed(chosen, {"train": {"seed": seed}})
                found.append({**train(folder, chosen, model), **test(folder, model)})
            rows.append({"row": title, "model": model, "runs": found})
            print(line(recipe, rows[-1]), flush=True)
    return rows


def line(recipe: Values, row: Values) -> str:
    cells = []
    for metric in recipe["metrics"]:
        values = [100 * run[metric] for run in row["runs"]]
        cells.append(f"{np.mean(values):.2f}" + (f" ± {interval(values):.2f}" if len(values) > 1 else ""))
    runs = row["runs"]
    valid, minutes = np.mean([100 * run["valid_mrr_at_20"] for run in runs]), np.mean([run["minutes"] for run in runs])
    return (
        f"| {row['row']} | {' | '.join(cells)} | {valid:.2f} | {np.mean([run['epochs'] for run in runs]):.0f} | {minutes:.1f} |"
    )


def interval(values: list[float]) -> float:
    """Half of the 95 % interval of the mean, by Student's t."""
    return float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))


def table(recipe: Values, rows: list[Values], machine: str) -> str:
    head = ["row", *recipe["metrics"].values(), "valid MRR@20", "epochs", "minutes"]
    published = [f"| {' | '.join(map(str, one))} |  |  |  |" for one in recipe.get("published", [])]
    title = f"{recipe['title']} ({machine})"
    return "\n".join(
        [title, f"| {' | '.join(head)} |", "|---" * len(head) + "|", *published, *(line(recipe, row) for row in rows)]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(quality_sets.SETS))
    parser.add_argument("--rows", nargs="*", help="rows of the recipe; all of them if not given")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--search", type=int, default=0, metavar="DRAWS")
    arguments = parser.parse_args()
    absent, figures, tables = [], {}, []
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} cores"
    machine = f"{platform.machine()}, {device}, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}, commit {commit}"
    for name in arguments.sets or quality_sets.SETS:
        recipe = yaml.safe_load((RECIPES / f"{name}.yaml").read_text())
        try:
            figures[name] = measure(name, recipe, arguments)
        except FileNotFoundError as error:
            absent.append(f"{name} ({error.filename})")
            continue
        tables.append(table(recipe, figures[name], machine))
    print("\n" + "\n\n".join(tables))
    print(f"left out, because their files are absent: {', '.join(absent)}" if absent else "every set was there")
    print(json.dumps({"benchmark": "quality", "machine": machine, "figures": figures, "ratios": {}}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
