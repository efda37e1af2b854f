"""`make demo`: the whole river once, from raw clicks to Triton's answer, followed live.

python -m infra.local demo [--source rees46 --raw path/to/2019-Oct.csv] [--set section.key=value ...]
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from infra.local import airflow as airflow_settings
from infra.local import up
from infra.local.airflow_api import FINISHED, Airflow
from infra.local.summary import answers, decision, models, pages
from pipelines.errors import ParamsError
from pipelines.stores.settings import settings

DAG = "retrain"
MARKS = {
    "success": "[green]done[/]",
    "failed": "[red]failed[/]",
    "skipped": "[yellow]skipped[/]",
    "upstream_failed": "[red]not run[/]",
}


def main(words: list[str]) -> int:
    """Start what is not running, trigger the DAG, follow it, show what came out. 1 if the run failed."""
    arguments = argparse.ArgumentParser(prog="make demo", description=__doc__)
    arguments.add_argument("--source", help="rees46, gru4rec, mapped or simulate")
    arguments.add_argument("--raw", help="raw files: a file, a folder, or several separated by spaces")
    arguments.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting, as in the trigger form")
    given = arguments.parse_args(words)
    console = Console(highlight=False, soft_wrap=True)
    console.width = max(console.width, 120)
    begin = time.monotonic()

    values = overrides(given.source, given.raw, given.set)
    up.main([])
    passwords = airflow_settings.passwords(settings())
    airflow = airflow_settings.rest(settings())
    airflow.wait_for_dag(DAG)
    run = airflow.trigger(DAG, values)
    console.print(f"\nrun {run}{f' with {values}' if values else ''}")
    console.print(f"  {settings().airflow_url}/dags/{DAG}/runs/{run}\n")
    triggered = time.monotonic()
    state = follow(airflow, run, console)
    console.print(
        f"\nrun {state} in {time.monotonic() - triggered:.0f} s, {time.monotonic() - begin:.0f} s since the start of the demo"
    )
    workspace = settings().var / "runs" / run.replace(":", "").replace("+", "_")
    if state != "success":
        show_failure(airflow, run, console)
        return 1
    models(workspace, console)
    decision(workspace, console)
    answers(workspace, console)
    pages(run, workspace, passwords, console)
    return 0


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
