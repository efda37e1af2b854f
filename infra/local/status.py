"""What runs, since when, how often it fell, and whether it answers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from infra.local import crashes, health, services, supervise
from pipelines.stores.settings import Settings, settings

UP = ("RUNNING", "STARTING")


@dataclass(frozen=True)
class Row:
    """One service, as status shows it."""

    name: str
    state: str
    pid: int
    uptime_s: int
    num_crashes: int
    address: str
    health: health.Health


def in_use(settings: Settings) -> Settings:
    """The settings that the running platform was started with; those of this process if none runs."""
    kept = supervise.kept_settings(settings)
    if kept.exists() and supervise.running(settings):
        return type(settings).model_validate_json(kept.read_text(encoding="utf-8"))
    return settings


def collect(settings: Settings) -> list[Row]:
    """One row per service; the services are asked side by side."""
    states, fallen = supervise.states(settings), crashes.count(supervise.crashes(settings))

    def row(service: services.Service) -> Row:
        info = states[service.name]
        state = info["statename"]
        answer = health.check(settings, service.name) if state in UP else health.Health(False, info["spawnerr"] or "not running")
        state = "RUNNING" if answer.well else state  # to supervisor it is starting until it has lived for a while
        uptime_s = info["now"] - info["start"] if state in UP else 0
        return Row(service.name, state, info["pid"], uptime_s, fallen[service.name], service.address, answer)

    listed = services.services(settings)
    with ThreadPoolExecutor(len(listed)) as pool:
        return list(pool.map(row, listed))


def table(settings: Settings, rows: list[Row]) -> Iterator[str]:
    """The lines that a person reads."""
    yield f"{'service':22} {'state':9} {'pid':>7} {'uptime':>9} {'crashes':>7}  {'health':8} address"
    for row in rows:
        words = (row.name, row.state.lower(), row.pid or "-", str(timedelta(seconds=row.uptime_s)), row.num_crashes)
        yield (
            "{:22} {:9} {:>7} {:>9} {:>7}  ".format(*words) + f"{'ok' if row.health.well else 'NOT OK':8} {row.address}".rstrip()
        )
    for row in rows:
        if row.name == "triton" or not row.health.well:
            yield f"{row.name}: {row.health.note}"
        if row.num_crashes:
            yield f"{row.name}: {row.num_crashes} crash{'es' * (row.num_crashes > 1)} since the platform was started"
        if row.state not in UP or row.num_crashes:
            log = services.log(settings, row.name)
            yield f"  last lines of {log}:"
            yield from (f"    {line}" for line in services.tail(log))


def main(argv: list[str]) -> int:
    """0: all is well; 1: something is not; 3: the platform does not run."""
    ours = in_use(settings())
    if not supervise.running(ours):
        left = supervise.processes(ours)
        print("the platform does not run: `make up` starts it")
        if left:
            print(f"but {len(left)} processes of an earlier one do, their process manager has died: `make down` ends them")
        return 3
    rows = collect(ours)
    print("\n".join(table(ours, rows)))
    return 0 if all(row.health.well for row in rows) else 1
