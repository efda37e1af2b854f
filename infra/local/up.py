"""Start the platform, wait until every service answers, say where it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from infra.local import airflow, health, ports, services, status, supervise
from pipelines.errors import ParamsError, ServiceError
from pipelines.stores.settings import Settings, settings

PATIENCE_S = 240
FELL = ("BACKOFF", "EXITED", "FATAL")

Say = Callable[[str], None]


def up(wanted: Settings, say: Say = print) -> None:
    """Bring every service to health. ServiceError names the one that fell and quotes its log; then nothing is left."""
    if supervise.running(wanted):
        resume(wanted, say)
        return
    check(wanted)
    begin = time.monotonic()
    env = services.environment(wanted)
    for folder in (wanted.var / "airflow", wanted.var / "log", wanted.var / "runs", wanted.artifacts, wanted.triton_repository):
        folder.mkdir(parents=True, exist_ok=True)
    supervise.start(wanted, env)
    try:
        begin_services(wanted, env, say)
        wait(wanted, say, begin)
    except BaseException:
        say("stopping what was started")
        supervise.end(wanted)
        raise


def resume(wanted: Settings, say: Say) -> None:
    """The process manager runs: start what does not. ParamsError if it was started with other settings."""
    started = status.in_use(wanted)
    differ = [name for name in type(wanted).model_fields if getattr(wanted, name) != getattr(started, name)]
    if differ:
        values = "; ".join(
            f"NEXTCLICK_{n.upper()}: runs with {getattr(started, n)}, asked for {getattr(wanted, n)}" for n in differ
        )
        raise ParamsError("the platform runs with other settings", values, "`make down` first, or keep the settings it has")
    down = [name for name, info in supervise.states(wanted).items() if info["statename"] not in status.UP]
    for name in down:
        say(f"{name}: was down, starting")
        supervise.begin(wanted, name)
    wait(wanted, say, time.monotonic())
    say("the platform was up already" if not down else "the platform is up again")


def check(wanted: Settings) -> None:
    """All that can be known before anything starts."""
    if "%" in f"{wanted.root}{wanted.var}{wanted.venv}{wanted.mlruns}":
        raise ParamsError("supervisor cannot work in folders with % in their name", str(wanted.var), "use another: NEXTCLICK_VAR")
    for part in ("worker", "orchestrator", "triton"):
        if not (wanted.venv / part / ".stamp").exists():
            raise ServiceError(f"{part} is not installed, or not wholly", str(wanted.venv / part), "run `make setup`")
    if wanted.mlflow_uri and wanted.mlflow_uri != wanted.mlflow_url:
        next_step = f"unset NEXTCLICK_MLFLOW_URI; the port of the local server is NEXTCLICK_MLFLOW_PORT={wanted.mlflow_port}"
        raise ParamsError("the local platform runs an MLflow of its own", f"NEXTCLICK_MLFLOW_URI={wanted.mlflow_uri}", next_step)
    left = supervise.processes(wanted)
    if left:
        where = ", ".join(f"{process.pid} ({process.name()})" for process in left)
        raise ServiceError("an earlier platform has left processes behind", where, "`make down` ends them")
    ports.check(wanted)


def begin_services(wanted: Settings, env: dict[str, str], say: Say) -> None:
    """MLflow and Triton start while Airflow's database is made ready."""
    names = [service.name for service in services.services(wanted)]
    for name in names:
        if not name.startswith("airflow"):
            supervise.begin(wanted, name)
    say("starting " + ", ".join(names))
    airflow.prepare(wanted, env)
    for name in names:
        if name.startswith("airflow"):
            supervise.begin(wanted, name)


def wait(wanted: Settings, say: Say, begin: float) -> None:
    """Until every service answers a real request."""
    waiting = [service.name for service in services.services(wanted)]
    said = time.monotonic()
    with ThreadPoolExecutor(len(waiting)) as pool:
        while waiting:
            states = supervise.states(wanted)
            for name in waiting:
                if states[name]["statename"] in FELL:
                    raise fell(wanted, name, states[name]["spawnerr"] or states[name]["description"])
            answers = dict(zip(waiting, pool.map(lambda name: health.check(wanted, name), waiting), strict=True))
            for name in [name for name in waiting if answers[name].well or only_models(wanted, name)]:
                if name == "airflow-api-server":
                    airflow.make_pool(wanted)
                waiting.remove(name)
                say(f"  {name}: {answers[name].note} ({time.monotonic() - begin:.0f} s)")
                said = time.monotonic()
            if time.monotonic() - begin > PATIENCE_S:
                raise fell(wanted, waiting[0], f"no health within {PATIENCE_S} s: {answers[waiting[0]].note}")
            if waiting and time.monotonic() - said > 15:
                said = time.monotonic()
                say(f"  waiting for {', '.join(waiting)} ({said - begin:.0f} s)")
            time.sleep(0.5 if waiting else 0)


def only_models(wanted: Settings, name: str) -> bool:
    """Triton is up though a model of its repository is broken: status says so, and a promotion can mend it."""
    from infra.local import triton

    return name == "triton" and triton.live(wanted)


def fell(wanted: Settings, name: str, why: str) -> ServiceError:
    log = services.log(wanted, name)
    last = "\n         ".join(services.tail(log, 12))
    return ServiceError(
        f"{name} did not start: {why}", f"the end of {log}:\n         {last}", "mend what it says, then `make up`"
    )


def addresses(wanted: Settings) -> str:
    """Where everything is and how to log in."""
    logins = ", ".join(f"{user} / {airflow.passwords(wanted)[user]}" for user in airflow.PEOPLE)
    return f"""\
  Airflow  {wanted.airflow_url}   log in: {logins}
  MLflow   {wanted.mlflow_url}
  Triton   http://{wanted.triton_url} (HTTP), 127.0.0.1:{wanted.triton_grpc_port} (gRPC), metrics http://127.0.0.1:{wanted.triton_metrics_port}/metrics
  logs     {wanted.var / "log"}
  passwords {wanted.var / "airflow" / "passwords.json"}; `make status` shows health, `make down` stops everything"""


def main(argv: list[str]) -> int:
    begin, ours = time.monotonic(), settings()
    up(ours, lambda line: print(line, flush=True))
    print(f"the platform answers, after {time.monotonic() - begin:.0f} s\n{addresses(ours)}", flush=True)
    return 0
