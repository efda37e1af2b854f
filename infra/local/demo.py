"""`make demo`: the whole river, from raw clicks to Triton's answer, followed live; then once more, gated against it.

python -m infra.local demo [--source rees46 --raw path/to/2019-Oct.csv] [--set section.key=value ...] [--once]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from infra.local import airflow as airflow_settings
from infra.local import up
from infra.local.airflow_api import FINISHED, Airflow
from infra.local.summary import answers, decision, models, pages
from pipelines.errors import ParamsError
from pipelines.paths import REGISTER
from pipelines.stores.settings import settings

DAG = "retrain"
MARKS = {
    "success": "[green]done[/]",
    "failed": "[red]failed[/]",
    "skipped": "[yellow]skipped[/]",
    "upstream_failed": "[red]not run[/]",
}


def main(words: list[str]) -> int:
    """Start what is not running, run the DAG twice, follow it, show what came out. 1 if a run failed."""
    arguments = argparse.ArgumentParser(prog="make demo", description=__doc__)
    arguments.add_argument("--source", help="rees46, gru4rec, mapped or simulate")
    arguments.add_argument("--raw", help="raw files: a file, a folder, or several separated by spaces")
    arguments.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting, as in the trigger form")
    arguments.add_argument(
        "--once", action="store_true", help="one training; without it a second one is judged against the first"
    )
    given = arguments.parse_args(words)
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, 120)
    begin = time.monotonic()

    values = overrides(given.source, given.raw, given.set)
    up.main([])
    airflow = airflow_settings.rest(settings())
    airflow.wait_for_dag(DAG)
    first = values if given.once else before(values)
    run, workspace = once(airflow, first, console)
    if run and workspace and not given.once:
        models(workspace, console)
        decision(workspace, console)
        values, why = following(values, first, workspace)
        console.print(f"\n[bold]a second training[/], judged against the champion that serves now: {why}")
        run, workspace = once(airflow, values, console)
    if not run or not workspace:
        return 1
    console.print(f"\n{time.monotonic() - begin:.0f} s since the start of the demo")
    models(workspace, console)
    decision(workspace, console)
    answers(workspace, console)
    pages(run, workspace, airflow_settings.passwords(settings()), console)
    return 0


def once(airflow: Airflow, values: dict[str, Any], console: Console) -> tuple[str, Path] | tuple[None, None]:
    """One run of the DAG, followed to its end: its id and its workspace, or nothing if it failed (and then why)."""
    run = airflow.trigger(DAG, values)
    console.print(f"\nrun {run}{f' with {values}' if values else ''}")
    console.print(f"  {settings().airflow_url}/dags/{DAG}/runs/{run}\n")
    triggered = time.monotonic()
    state = follow(airflow, run, console)
    console.print(f"\nrun {state} in {time.monotonic() - triggered:.0f} s")
    if state != "success":
        show_failure(airflow, run, console)
        return None, None
    return run, settings().var / "runs" / run.replace(":", "").replace("+", "_")


def shop(values: dict[str, Any]) -> Any:
    """The settings of the simulated shop, as a run with these values has them; None if other clicks are read."""
    events = yaml.safe_load((settings().root / "params.yaml").read_text(encoding="utf-8"))["events"]
    if values.get("events.source", events["source"]) != "simulate" or values.get("events.last_day", events["last_day"]):
        return None
    found = events["simulate"]
    return {key: values.get(f"events.simulate.{key}", value) for key, value in found.items()}


def before(values: dict[str, Any]) -> dict[str, Any]:
    """Settings of the first of two runs: of the simulated shop, the last day has not come yet."""
    simulated = shop(values)
    if simulated is None or simulated["days"] < 4:
        return values
    last = date.fromisoformat(str(simulated["first_day"])) + timedelta(days=simulated["days"] - 2)
    return {**values, "events.last_day": str(last)}


def following(values: dict[str, Any], first: dict[str, Any], workspace: Path) -> tuple[dict[str, Any], str]:
    """Settings of the second run, and what is new in it. It trains the champion's kind of model and the gate's two floors."""
    champion = json.loads((workspace / REGISTER / "version.json").read_text(encoding="utf-8"))["name"]
    trained = {"models": list(dict.fromkeys((champion, "session_knn", "session_popularity")))}
    if first != values:
        return {**values, **trained}, "the next day's clicks have come in"
    seed = yaml.safe_load((workspace / "params.yaml").read_text(encoding="utf-8"))["train"]["seed"]
    return {**values, **trained, "train.seed": seed + 1}, "the same clicks, another seed"


def overrides(source: str | None, raw: str | None, pairs: list[str]) -> dict[str, Any]:
    """What the trigger form would send. Relative paths are seen from here."""
    values: dict[str, Any] = {}
    if source:
        values["events.source"] = source
    if raw:
        values["workspace.raw"] = " ".join(str(Path.cwd() / Path(word).expanduser()) for word in raw.split())
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ParamsError(f"{pair!r} is not KEY=VALUE", "--set", "for example --set train.epochs=3")
        values[key] = yaml.safe_load(value)
    return values


def follow(airflow: Airflow, run: str, console: Console) -> str:
    """Print each task as it ends, and what waits for a person, until the run is over; returns the run's state."""
    shown: set[tuple[str, int]] = set()
    asked = False
    with console.status("waiting for the first task") as status:
        while True:
            state = airflow.state(DAG, run)
            tasks = airflow.tasks(DAG, run)
            for task in sorted(tasks, key=lambda task: task["end_date"] or ""):
                key = (task["task_id"], task["map_index"])
                if task["state"] in FINISHED and key not in shown:
                    shown.add(key)
                    console.print(line(task, airflow.report(DAG, run, task)))
                if task["state"] == "awaiting_input" and not asked:
                    asked = True
                    page = f"{settings().airflow_url}/dags/{DAG}/runs/{run}/tasks/{task['task_id']}/required_actions"
                    console.print(f"  [bold]review waits for you:[/] {page}")
            running = [name(task) for task in tasks if task["state"] in ("running", "queued", "scheduled", "awaiting_input")]
            status.update(f"{', '.join(running) or 'scheduling'}")
            if state in ("success", "failed"):
                return state
            time.sleep(1)


def name(task: dict[str, Any]) -> str:
    return f"{task['task_id']} {task.get('rendered_map_index') or ''}".strip()


def line(task: dict[str, Any], report: dict[str, Any]) -> str:
    """One line for a task that ended: state, seconds, what it read, wrote and dropped."""
    counts = [f"{word} {listed(report[word])}" for word in ("read", "wrote", "dropped") if report.get(word)]
    if report.get("result", {}).get("changed") is False:
        counts = ["nothing changed: skipped by DVC"]
    if "summary" in report.get("result", {}):
        counts = [report["result"]["summary"]]
    return f"  {name(task):28} {MARKS.get(task['state'], task['state']):>18} {task['duration'] or 0:6.1f} s   {'; '.join(counts)}"


def listed(counts: dict[str, int], most: int = 5) -> str:
    """Counts by name, the largest first where there are many."""
    named = [f"{count:,} {what}" for what, count in counts.items()]
    if len(counts) > most:
        largest = sorted(counts.items(), key=lambda one: -one[1])[:most]
        named = [f"{count:,} {what}" for what, count in largest]
        named.append(f"{sum(counts.values()) - sum(count for _, count in largest):,} for {len(counts) - most} other reasons")
    return ", ".join(named)


def show_failure(airflow: Airflow, run: str, console: Console) -> None:
    """The end of each failed task's log, and where the whole of it is."""
    for task in airflow.tasks(DAG, run):
        if task["state"] == "failed":
            lines = [text for text in airflow.log(DAG, run, task) if text.strip()]
            console.print(f"\n[red]{name(task)} failed[/]; the end of its log:")
            console.print("\n".join(f"  {text}" for text in lines[-25:]), markup=False)
            console.print(f"  whole log: {settings().airflow_url}/dags/{DAG}/runs/{run}/tasks/{task['task_id']}")
    console.print(f"\nlogs: {os.path.relpath(settings().var / 'log')}; what serves has not changed")
