"""Training speed side by side, with the quality beside each time: nextclick, GRU4Rec's official code, RecTools' SASRec.

    NEXTCLICK_GRU4REC=<checkout> NEXTCLICK_GRU4REC_PYTHON=<its python> NEXTCLICK_RECTOOLS_PYTHON=<its python> \\
        python benchmarks/training.py
    python benchmarks/training.py --sets clicks --parts gru4rec
    python benchmarks/training.py --events 5000 --epochs 1          a check that the script runs, no figure

gru4rec      ours and hidasib/GRU4Rec_PyTorch_Official (its own environment: numpy < 2, pandas < 3), unchanged, same hidden
             size, on the same events; the official code with three settings that start from its own parameter files. Quality:
             every position of every test session, all items ranked, ties against the model; each measures itself, after
             every epoch, outside the time; the official weights are measured by our code too. Both train on all training
             sessions for a fixed number of epochs. Time to quality: when a side first has the final MRR@20 of the official
             code's best setting. The official store of samples, made before its first step, is not counted.
transformer  ours and RecTools' SASRec, 20 events, two blocks, full softmax, without and with bfloat16.
ranking      (position, 20,000 items) rankings a minute of `evaluate`.
limit        what the machine could do at best, and which share of it ours reaches.

Every run is a process of its own with 1 thread and with all cores (a trial of one epoch, on the smallest set, says which is
faster). events/s counts every training click of every epoch; imports, reading and evaluation are not in it. CPU is user +
system. A peer whose setting is not given is left out.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import training_data  # noqa: E402
import training_limit  # noqa: E402
from training_run import Row, reached, row, run  # noqa: E402

PARTS = ("gru4rec", "transformer", "ranking", "limit")
HIDDEN = 100
LONGEST = 21
OFFICIAL = {
    "xe, batch 32": ("rsc15_xe_shared_100_best.py", {}),
    "xe, batch 240": ("rees46_xe_shared_best.py", {"layers": [HIDDEN]}),
    "bpr-max, batch 80": ("retailrocket_bprmax_shared_best.py", {"layers": [HIDDEN]}),
}
"""Parameter files of the official code, with our hidden size."""
PLAIN = {"hidden_size": HIDDEN, "layers": 1, "similarity": "dot", "columns": [], "repeats": False}
"""Settings with which ours is the official code's model."""
TRANSFORMER = {"hidden_size": 128, "layers": 2, "heads": 2, "loss": "full_softmax", "similarity": "dot"}
RECTOOLS = {
    "n_blocks": 2,
    "n_heads": 2,
    "n_factors": 128,
    "session_max_len": LONGEST - 1,
    "loss": "softmax",
    "dropout_rate": 0.2,
    "lr": 1e-3,
    "batch_size": 128,
}
CORES = len(os.sched_getaffinity(0))


class Bench:
    """One benchmark's data, settings and peers."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen = chosen
        self.folder = chosen.folder.resolve()
        self.params = self.folder / "params.yaml"
        self.figures: dict[str, Any] = {}
        self.left_out: list[str] = []
        self.trials: dict[str, int] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        self.params.write_text((ROOT / "params.yaml").read_text())

    def data(self, name: str, longest: int | None = None) -> tuple[Path, dict[str, int]]:
        folder = self.folder / (name if longest is None else f"{name}_{longest}")
        return folder, training_data.write(name, folder, self.chosen.events, longest)

    def recipe(self, name: str, model: str) -> dict[str, Any]:
        """What the set's recipe says of the model: chosen on the newest tenth of the training sessions, never on the test."""
        file = ROOT / "benchmarks" / "recipes" / f"{training_data.RECIPES[name]}.yaml"
        recipe = yaml.safe_load(file.read_text())
        parts = [part or {} for part in (recipe.get("common"), recipe["rows"].get(model))]
        zoo = {key: value for part in parts for key, value in part.get("zoo", {}).get(model, {}).items()}
        return {"zoo": zoo, "train": {key: value for part in parts for key, value in part.get("train", {}).items()}}

    def ours(self, model: str, name: str, folder: Path, zoo: Row) -> Row:
        recipe = self.recipe(name, model)
        over = self.chosen if model == "gru4rec" else argparse.Namespace(train={}, zoo={})
        train = {"max_epochs": yaml.safe_load(self.params.read_text())["train"]["max_epochs"], **recipe["train"], **over.train}
        if self.chosen.epochs:
            train["max_epochs"] = self.chosen.epochs
        common = {"etl": str(folder / "etl"), "params": str(self.params), "device": "cpu", "weights": None}
        return {**common, "model": model, "zoo": {**recipe["zoo"], **zoo, **over.zoo}, "train": train, "evaluate": "each"}

    def threads(self, who: str, peer: str, python: str, job: Row, epochs: Row) -> int:
        """1 or all cores, whichever trains one epoch faster; tried once for each `who`."""
        if who not in self.trials:
            rates = {}
            for threads in sorted({1, CORES}):
                trial = run(peer, python, {**job, **epochs, "evaluate": "never"}, threads)
                rates[threads] = 1 / trial["epoch"][0]["train_wall_s"]
            self.trials[who] = max(rates, key=rates.__getitem__)
            print(f"{who}: {self.trials[who]} of {CORES} threads are fastest", flush=True)
        return self.trials[who]

    def add(self, name: str, who: str, said: Mapping[str, list[Row]], events: int, threads: int) -> None:
        found = self.figures.setdefault(name, {})[who] = row(said, events, threads)
        load = os.getloadavg()[0]
        shown = {key: value for key, value in found.items() if key not in ("curve", "sizes")}
        print(f"{name} {who} (load {load:.1f}): {json.dumps(shown)}", flush=True)

    def gru4rec(self, name: str) -> None:
        """Ours and the official code's settings on one set; the official weights once more by our evaluation."""
        folder, sizes = self.data(name)
        print(f"{name}: {sizes}", flush=True)
        job = self.ours("gru4rec", name, folder, {"hidden_size": HIDDEN})
        once = {"train": {**job["train"], "max_epochs": 1}}
        threads = self.threads("ours", "ours", sys.executable, job, once)
        self.add(name, "ours", run("ours", sys.executable, job, threads), sizes["events"], threads)
        code, python = (os.environ.get(key) for key in ("NEXTCLICK_GRU4REC", "NEXTCLICK_GRU4REC_PYTHON"))
        if not code or not python:
            self.left_out.append("GRU4Rec's official code")
            return
        for setting, (file, changes) in OFFICIAL.items():
            weights = folder / "official.npz"
            settings = {**changes, **({"n_epochs": self.chosen.epochs} if self.chosen.epochs else {})}
            theirs = {"code": code, "train": str(folder / "train.tsv"), "test": str(folder / "test.tsv"), "paramfile": file}
            theirs |= {"settings": settings, "device": "cpu", "evaluate": "each", "weights": str(weights)}
            once = {"settings": {**settings, "n_epochs": 1}, "weights": None}
            who = f"official, {setting}"
            threads = self.threads(who, "gru4rec_official", python, theirs, once)
            self.add(name, who, run("gru4rec_official", python, theirs, threads), sizes["events"], threads)
            again = run("ours", sys.executable, {**job, "weights": str(weights), "zoo": PLAIN}, CORES)["epoch"][0]
            mine, own = again["mrr_at_20"], self.figures[name][who]["mrr_at_20"]
            if abs(mine - own) > 1e-5 or again["predictions"] != sizes["predictions"]:
                raise SystemExit(f"{name} {who}: its MRR@20 is {own:.6f}, by our evaluation of its weights {mine:.6f}")
            print(f"{name} {who}: MRR@20 {own:.6f}, by our evaluation of its weights {mine:.6f}", flush=True)

    def transformer(self, name: str) -> None:
        folder, sizes = self.data(name, LONGEST)
        job = self.ours("sasrec", name, folder, TRANSFORMER)
        once = {"train": {**job["train"], "max_epochs": 1}}
        threads = self.threads("ours, sasrec", "ours", sys.executable, job, once)
        self.add(f"{name}, 20 events", "ours, sasrec", run("ours", sys.executable, job, threads), sizes["events"], threads)
        python = os.environ.get("NEXTCLICK_RECTOOLS_PYTHON")
        if not python:
            self.left_out.append("RecTools")
            return
        for precision in ("32-true", "bf16-mixed"):
            settings = {**RECTOOLS, "epochs": job["train"]["max_epochs"]}
            theirs = {"train": str(folder / "train.tsv"), "test": str(folder / "test.tsv"), "settings": settings}
            theirs |= {"trainer": {"precision": precision}, "device": "cpu", "evaluate": "last"}
            once = {"settings": {**settings, "epochs": 1}}
            who = f"RecTools, sasrec, {precision}"
            threads = self.threads(who, "rectools_sasrec", python, theirs, once)
            self.add(f"{name}, 20 events", who, run("rectools_sasrec", python, theirs, threads), sizes["events"], threads)

    def ranking(self) -> None:
        positions = 200_000 if self.chosen.events is None else self.chosen.events
        job = {"items": 20_000, "positions": positions, "zoo": {"hidden_size": HIDDEN}, "device": "cpu", "repeat": 3}
        job["params"] = str(self.params)
        self.figures["ranking"] = run("ranking", sys.executable, job, CORES)["done"][0]
        print(f"ranking: {json.dumps(self.figures['ranking'])}", flush=True)

    def limit(self) -> None:
        """For each of our trainings: the machine's rates at its shape, right now, and the share of the limit it reaches."""
        for rows in (rows for name, rows in self.figures.items() if name != "ranking"):
            for found in (found for found in rows.values() if found["sizes"]):
                sizes = found["sizes"]
                shape = {"rows": 512, "inner": int(sizes["hidden_size"]), "columns": int(sizes["candidates"]), "device": "cpu"}
                rates = run("rates", sys.executable, shape, found["threads"])["done"][0]
                parts = training_limit.seconds_per_event(sizes, rates)
                found["rates"] = rates
                found["limit_us_per_event"] = {key: 1e6 * value for key, value in parts.items()}
                found["limit_events_per_s"] = 1 / parts["all"]
                found["share_of_limit"] = found["events_per_s"] * parts["all"]


def best_official(rows: Mapping[str, Row]) -> str | None:
    """The official setting with the highest MRR@20 at its end."""
    theirs = [who for who in rows if who.startswith("official")]
    return max(theirs, key=lambda who: rows[who]["mrr_at_20"], default=None)


def ratios(figures: Mapping[str, Any]) -> dict[str, float | None]:
    """Of the last set that both sides ran on; null: ours never had that quality. `_cpu`: by CPU seconds."""
    out: dict[str, float | None] = {}
    for rows in (rows for name, rows in figures.items() if name != "ranking"):
        best = best_official(rows)
        if best:
            ours, theirs, name = rows["ours"], rows[best], "vs_gru4rec_official"
            quality = theirs["mrr_at_20"]
            times = [reached(rows[who]["curve"], quality) for who in rows if who.startswith("official")]
            mine = reached(ours["curve"], quality)
            for place, suffix, key in ((0, "", "events_per_s"), (1, "_cpu", "events_per_cpu_s")):
                out[f"events_per_s_{name}{suffix}"] = ours[key] / theirs[key]
                fastest = max(found[key] for who, found in rows.items() if who.startswith("official"))
                out[f"events_per_s_{name}_fastest{suffix}"] = ours[key] / fastest
                least = min(time[place] for time in times if time)
                out[f"time_to_quality_{name}{suffix}"] = least / mine[place] if mine else None
            out[f"mrr_at_20_{name}"] = ours["mrr_at_20"] / quality
        theirs = [found for who, found in rows.items() if who.startswith("RecTools")]
        if theirs:
            for suffix, key in (("", "events_per_s"), ("_cpu", "events_per_cpu_s")):
                out[f"events_per_s_vs_rectools{suffix}"] = rows["ours, sasrec"][key] / max(found[key] for found in theirs)
    return {key: None if value is None else round(value, 2) for key, value in out.items()}


def table(figures: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "| data | who | threads | events/s | events/CPU s | epochs | training s | CPU s | MRR@20 | Recall@20 | "
        "s to the official MRR@20 | CPU s | peak RSS MiB | share of the limit |"
    )
    yield "|" + "---|" * 14
    for name, rows in figures.items():
        if name == "ranking":
            continue
        best = best_official(rows)
        for who, found in rows.items():
            at = reached(found["curve"], rows[best]["mrr_at_20"]) if best else None
            quality = [f"{found[key]:.4f}" if found[key] is not None else "" for key in ("mrr_at_20", "recall_at_20")]
            share = f"{found['share_of_limit']:.0%} of {found['limit_events_per_s']:,.0f}" if "share_of_limit" in found else ""
            cells = [name, who, str(found["threads"]), f"{found['events_per_s']:,.0f}", f"{found['events_per_cpu_s']:,.0f}"]
            cells += [str(found["epochs"]), f"{found['train_s']:,.1f}", f"{found['train_cpu_s']:,.1f}", *quality]
            cells += [f"{value:,.1f}" for value in at] if at else ["", ""]
            yield "| " + " | ".join([*cells, str(found["peak_rss_mib"]), share]) + " |"


def machine() -> str:
    gpu = "GPU" if any(Path("/dev").glob("nvidia[0-9]*")) else "no GPU"
    return f"{CORES} cores, CPU, {platform.machine()}, {gpu}"


def pair(text: str) -> tuple[str, Any]:
    key, _, value = text.partition("=")
    return key, yaml.safe_load(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=training_data.SETS, default=list(training_data.SETS))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--events", type=int, help="only so many training events of each set")
    parser.add_argument("--epochs", type=int, help="of both sides; without it, their settings' own")
    parser.add_argument("--train", type=pair, nargs="+", default=[], metavar="KEY=VALUE", help="of ours, over the recipe")
    parser.add_argument("--zoo", type=pair, nargs="+", default=[], metavar="KEY=VALUE", help="of ours, over the recipe")
    parser.add_argument("--folder", type=Path, default=ROOT / "var" / "bench" / "training", help="data; figures.json")
    chosen = parser.parse_args()
    chosen.train, chosen.zoo = dict(chosen.train), dict(chosen.zoo)
    bench = Bench(chosen)
    for name in chosen.sets:
        if "gru4rec" in chosen.parts:
            bench.gru4rec(name)
    for name in chosen.sets[:1]:
        if "transformer" in chosen.parts:
            bench.transformer(name)
    if "ranking" in chosen.parts:
        bench.ranking()
    if "limit" in chosen.parts:
        bench.limit()
    figures = bench.figures
    (bench.folder / "figures.json").write_text(json.dumps(figures, indent=1))
    versions = f"Python {platform.python_version()}, torch {importlib.metadata.version('torch')}"
    print(f"\n{machine()}; {dt.date.today()}; {versions}; hidden size {HIDDEN}\n")
    print("\n".join(table(figures)))
    if "ranking" in figures:
        ranked = figures["ranking"]
        print(f"\nranking: {ranked['rankings_per_minute']:,.0f} (position, {ranked['items']:,} items) rankings a minute")
    print(f"left out: {', '.join(dict.fromkeys(bench.left_out)) or 'none'}")
    print(json.dumps({"benchmark": "training", "machine": machine(), "figures": figures, "ratios": ratios(figures)}))


if __name__ == "__main__":
    main()
