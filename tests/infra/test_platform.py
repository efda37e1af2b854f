"""The whole platform, started once on free ports with its state in a temporary folder, looked at, hurt, and stopped."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from infra.local import airflow, health, ports, services, status, supervise, up
from pipelines.errors import ParamsError, ServiceError
from pipelines.stores.settings import Settings

pytestmark = [pytest.mark.services, pytest.mark.slow]

SLEEPER = """
import datetime, os
from airflow.sdk import DAG
from airflow.providers.standard.operators.bash import BashOperator

with DAG("sleeper", start_date=datetime.datetime(2026, 1, 1), schedule=None):
    command = "env > $NEXTCLICK_VAR/task.env; touch $NEXTCLICK_VAR/asleep; exec sleep 987"
    BashOperator(task_id="sleep", bash_command=command, pool="gpu")
"""


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What `up` told the person who waited."""
    return []


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, said: list[str]) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("platform")
    (folder / "dags").mkdir()
    (folder / "dags" / "sleeper.py").write_text(SLEEPER)
    values = {"var": folder / "var", "mlruns": folder / "mlruns", "dags": folder / "dags", **ports.chosen()}
    ours = Settings(**values)  # type: ignore[arg-type]
    try:
        up.up(ours, said.append)
        yield ours
    finally:
        supervise.end(ours)


def until(true: Callable[[], object], patience_s: float = 60) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.3)


def rows(settings: Settings) -> dict[str, status.Row]:
    return {row.name: row for row in status.collect(settings)}


def test_every_service_answers(platform: Settings, said: list[str]) -> None:
    assert {name: row.health.well for name, row in rows(platform).items()} == dict.fromkeys(health.PROBES, True)
    assert all(any(line.startswith(f"  {name}: ") for line in said) for name in health.PROBES)


def test_status_says_that_triton_has_no_model(platform: Settings) -> None:
    lines = list(status.table(platform, status.collect(platform)))
    assert "triton: live; no model is loaded yet" in lines
    assert lines[1].split()[:2] == ["mlflow", "running"]
    assert lines[1].endswith(f"ok       http://127.0.0.1:{platform.mlflow_port}")


def test_up_again_starts_nothing(platform: Settings) -> None:
    before, lines = {row.name: row.pid for row in status.collect(platform)}, list[str]()
    up.up(platform, lines.append)
    assert {row.name: row.pid for row in status.collect(platform)} == before
    assert lines[-1] == "the platform was up already"


def test_up_with_other_settings_is_refused(platform: Settings) -> None:
    other = platform.model_copy(update={"gpu_slots": 3})
    with pytest.raises(ParamsError, match="NEXTCLICK_GPU_SLOTS: runs with 1, asked for 3"):
        up.up(other)


def test_status_finds_the_platform_by_its_folder_alone(platform: Settings) -> None:
    """Ports given to `up` by hand need not be given again."""
    assert status.in_use(Settings(var=platform.var)).airflow_port == platform.airflow_port


def test_nothing_listens_but_on_loopback(platform: Settings) -> None:
    heard = {}
    for process in supervise.processes(platform):
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                heard[connection.laddr.port] = connection.laddr.ip.removeprefix("::ffff:")
    assert set(heard) >= {int(getattr(platform, field)) for field in ports.SERVICES}
    assert set(heard.values()) == {"127.0.0.1"}


def test_secrets_and_passwords_are_for_their_owner_only(platform: Settings) -> None:
    files = [*(platform.var / "secrets").iterdir(), platform.var / "airflow" / "passwords.json", supervise.socket(platform)]
    assert len(files) == 8
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_the_reviewer_logs_in_and_the_pool_is_there(platform: Settings) -> None:
    assert airflow.rest(platform, "reviewer").call("GET", "/api/v2/pools/gpu")["slots"] == 1


def test_a_wrong_password_is_refused(platform: Settings) -> None:
    answer = httpx.post(f"{platform.airflow_url}/auth/token", json={"username": "admin", "password": "admin"})
    assert answer.status_code == 401


def put(platform: Settings, path: str, text: str) -> None:
    file = platform.var / "runs" / "run-1" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def page(platform: Settings, path: str) -> httpx.Response:
    return httpx.get(f"{platform.airflow_url}/pages/{path}", follow_redirects=True)


def test_pages_of_a_run_are_shown(platform: Settings) -> None:
    put(platform, "data/docs/index.html", "<h1>Data Docs</h1>")
    put(platform, "data/docs/static/page.css", "h1 {}")
    put(platform, "data/gate/decision.md", "# yes\n\n| rule | verdict |\n|---|---|\n| a | <script>b</script> |\n")
    assert page(platform, "run-1/data/docs").text == "<h1>Data Docs</h1>"
    assert page(platform, "run-1/data/docs/static/page.css").headers["content-type"].startswith("text/css")
    decision = page(platform, "run-1/data/gate/decision.md")
    assert "<th>verdict</th>" in decision.text
    assert "&lt;script&gt;" in decision.text
    assert decision.headers["content-security-policy"].startswith("sandbox")


@pytest.mark.parametrize(
    "path",
    [
        "run-1/data/etl/rows.json",
        "run-1/params.yaml",
        "run-1/data/docs/secret.env",
        "run-1/data/docs/link.html",
        "run-1/data/docs/../etl/rows.json",
        "run-1/data/docs/%2e%2e/etl/rows.json",
        "run-1/data/docs/..%2f..%2f..%2f..%2fairflow/passwords.json",
        "..%2fairflow/data/docs/x.html",
        "%2e%2e/data/docs/x.html",
        "run-1/data/docs/%2fetc%2fpasswd",
        "run-1/data/docs/%00.html",
        "run-2/data/docs/index.html",
    ],
)
def test_no_path_leads_out_of_the_pages(platform: Settings, path: str) -> None:
    put(platform, "data/etl/rows.json", "[]")
    put(platform, "params.yaml", "a: 1")
    put(platform, "data/docs/secret.env", "a=1")
    outside, link = platform.var / "outside.html", platform.var / "runs" / "run-1" / "data" / "docs" / "link.html"
    outside.write_text("outside")
    link.unlink(missing_ok=True)
    link.symlink_to(outside)
    put(platform, "../../data/docs/x.html", "x")
    assert page(platform, path).status_code == 404


def test_a_killed_service_is_counted_and_comes_back(platform: Settings) -> None:
    """MLflow's web server is a child of the process that dies here; it must not keep the port from the next one."""
    killed = rows(platform)["mlflow"].pid
    os.kill(killed, signal.SIGKILL)
    until(lambda: rows(platform)["mlflow"].num_crashes == 1)
    until(lambda: rows(platform)["mlflow"].health.well and rows(platform)["mlflow"].pid not in (0, killed))
    assert "mlflow: 1 crash since the platform was started" in list(status.table(platform, status.collect(platform)))


def test_a_service_that_cannot_start_again_is_shown_as_failed_with_its_log(platform: Settings) -> None:
    """Restarts are bounded: here a file lies where Triton's backends are prepared."""
    obstacle = platform.var / "triton" / "backends.new"
    obstacle.touch()
    os.kill(rows(platform)["triton"].pid, signal.SIGKILL)
    until(lambda: rows(platform)["triton"].state == "FATAL")
    text = "\n".join(status.table(platform, status.collect(platform)))
    assert "NOT OK" in text
    assert f"last lines of {services.log(platform, 'triton')}" in text
    assert f"NotADirectoryError: [Errno 20] Not a directory: '{obstacle}/python'" in text
    with pytest.raises(ServiceError, match=r"(?s)triton did not start.*NotADirectoryError"):
        up.up(platform)
    obstacle.unlink()
    lines = list[str]()
    up.up(platform, lines.append)
    assert "triton: was down, starting" in lines
    assert lines[-1] == "the platform is up again"


def test_down_leaves_nothing_running_not_even_a_task(platform: Settings) -> None:
    """Airflow gives a task's command a session of its own: stopping the services does not reach it."""
    rest = airflow.rest(platform)
    rest.wait_for_dag("sleeper")
    assert rest.call("GET", "/api/v2/dags/sleeper")["is_paused"]
    rest.trigger("sleeper", {})
    until((platform.var / "asleep").exists)
    sleeping = [process for process in supervise.processes(platform) if process.name() == "sleep"]
    assert len(sleeping) == 1
    told = dict(line.split("=", 1) for line in (platform.var / "task.env").read_text().splitlines() if "=" in line)
    assert told["NEXTCLICK_MLFLOW_URI"] == platform.mlflow_url
    assert Path(told["NEXTCLICK_WORKER"], "bin", "python").exists()
    assert told["NEXTCLICK_ROOT"] == str(platform.root)
    assert told.items() >= services.TELEMETRY_OFF.items()
    assert supervise.end(platform) > len(health.PROBES)
    assert not sleeping[0].is_running()
    assert supervise.processes(platform) == []
    assert all(ports.free(int(getattr(platform, field))) for field in ports.SERVICES)


def test_down_when_nothing_runs_is_no_error(platform: Settings) -> None:
    assert supervise.end(platform) == 0
