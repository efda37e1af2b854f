"""The process manager, supervisor (supervisord.org): its configuration, its start and stop, what it knows.

It listens on a socket file that only its owner may open, starts each service in a process group of its own,
and starts a service that fell again: at most `RETRIES` times where it falls within `START_S` of its start.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tempfile
import time
import xmlrpc.client
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport

from infra.local import services
from pipelines.errors import ServiceError
from pipelines.stores.settings import Settings

SERVICE = "NEXTCLICK_SERVICE"
"""Environment variable by which a process knows, and is known by, the service that it belongs to."""

START_S = 20
RETRIES = 2
LONGEST_SOCKET = 90  # of the 107 characters that Linux allows; supervisor appends its pid for a moment

MAIN = """\
[unix_http_server]
file={socket}
chmod=0600

[supervisord]
directory={root}
logfile={log}
logfile_maxbytes=5MB
logfile_backups=2
pidfile={home}/supervisord.pid
childlogdir={home}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{socket}

[eventlistener:crashes]
command={listener}
events=PROCESS_STATE_EXITED,PROCESS_STATE_BACKOFF
stdout_logfile=NONE
stderr_logfile={home}/crashes.log
"""

PROGRAM = """
[program:{name}]
command={command}
environment={mark}="{name}"
autostart=false
autorestart=true
startsecs={start_s}
startretries={retries}
stopasgroup=true
killasgroup=true
stopwaitsecs={stop_s}
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""


def home(settings: Settings) -> Path:
    return settings.var / "supervisor"


def socket(settings: Settings) -> Path:
    path = home(settings).resolve() / "supervisor.sock"
    if len(str(path)) <= LONGEST_SOCKET:
        return path
    return Path(tempfile.gettempdir()) / f"nextclick-{os.getuid()}-{hashlib.sha256(str(path).encode()).hexdigest()[:16]}.sock"


def crashes(settings: Settings) -> Path:
    return home(settings) / "crashes.jsonl"


def kept_settings(settings: Settings) -> Path:
    """The settings that the platform was started with."""
    return home(settings) / "settings.json"


def configuration(settings: Settings) -> str:
    """The text of supervisord.conf."""
    listener = (services.worker_python(settings), "-m", "infra.local.crashes", str(crashes(settings)))
    main = {
        "socket": socket(settings),
        "root": settings.root,
        "home": home(settings),
        "log": services.log(settings, "supervisord"),
        "listener": shlex.join(listener),
    }
    programs = [
        {
            "name": service.name,
            "mark": SERVICE,
            "command": shlex.join(service.argv),
            "start_s": START_S,
            "retries": RETRIES,
            "stop_s": service.stop_s,
            "log": services.log(settings, service.name),
        }
        for service in services.services(settings)
    ]
    return "".join(text.format_map(values) for text, values in [(MAIN, main), *((PROGRAM, p) for p in programs)])


def start(settings: Settings, env: dict[str, str]) -> None:
    """Start the process manager; the services wait for a word. ServiceError if it does not answer."""
    folder = home(settings)
    for path in (folder, settings.var / "log"):
        path.mkdir(parents=True, exist_ok=True)
    crashes(settings).unlink(missing_ok=True)
    conf = folder / "supervisord.conf"
    conf.write_text(configuration(settings), encoding="utf-8")
    kept_settings(settings).write_text(settings.model_dump_json(indent=2), encoding="utf-8")
    command = [str(settings.venv / "worker" / "bin" / "supervisord"), "-c", str(conf)]
    said = subprocess.run(
        command, env=env, cwd=settings.root, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    deadline = time.monotonic() + 10
    while said.returncode == 0 and time.monotonic() < deadline:
        if running(settings):
            return
        time.sleep(0.1)
    lines = (said.stdout + said.stderr).strip().splitlines()[-6:] or services.tail(services.log(settings, "supervisord"))
    raise ServiceError(
        "the process manager did not start", "\n         ".join(lines), f"read {services.log(settings, 'supervisord')}"
    )


def call(settings: Settings) -> Any:
    """supervisor's remote interface, namespace `supervisor`."""
    proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=SupervisorTransport(None, None, f"unix://{socket(settings)}"))
    return proxy.supervisor


def running(settings: Settings) -> bool:
    try:
        return bool(call(settings).getState()["statename"] == "RUNNING")
    except (OSError, xmlrpc.client.Error):
        return False


def begin(settings: Settings, service: str) -> None:
    """Start one service and do not wait; one that is being tried again and again begins anew."""
    remote = call(settings)
    if states(settings)[service]["statename"] == "BACKOFF":
        try:
            remote.stopProcess(service)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != Faults.NOT_RUNNING:  # it gave up in this very moment
                raise
    remote.startProcess(service, False)


def states(settings: Settings) -> dict[str, dict[str, Any]]:
    """Service -> what supervisor knows: statename, pid, start, now, spawnerr, description."""
    return {info["name"]: info for info in call(settings).getAllProcessInfo() if info["name"] != "crashes"}


def processes(settings: Settings) -> list[psutil.Process]:
    """Every living process of this platform, orphans included.

    They are known by the mark in their environment; a process that gives itself a title (Airflow's do) loses that, and
    is known by its session: supervisor's, or that of a task.
    """
    others = alive(process for process in psutil.process_iter() if process.pid != os.getpid())
    wanted = services.mark(settings)
    sessions = {session(process) for process in others if told(process, services.MARK) == wanted}
    return [process for process in others if session(process) in sessions]


def session(process: psutil.Process) -> int:
    """-1 for a process that has ended."""
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return -1


def told(process: psutil.Process, variable: str) -> str | None:
    """A variable of the process's environment, as far as it can be seen."""
    try:
        return process.environ().get(variable)
    except (psutil.Error, OSError):  # it ended meanwhile, or is another user's
        return None


def leftovers(settings: Settings, service: str) -> list[psutil.Process]:
    """What a fallen service left behind, but not what has been started in its place."""
    everyone = processes(settings)
    new = states(settings)[service]["pid"]
    return [p for p in everyone if headless(p) or (told(p, SERVICE) == service and new not in lineage(p))]


def headless(process: psutil.Process) -> bool:
    """Whether the leader of its process group, the service that supervisor started, is gone."""
    try:
        return not psutil.pid_exists(os.getpgid(process.pid))
    except ProcessLookupError:
        return False


def lineage(process: psutil.Process) -> list[int]:
    try:
        return [process.pid, *(parent.pid for parent in process.parents())]
    except psutil.NoSuchProcess:
        return []


def alive(those: Iterable[psutil.Process]) -> list[psutil.Process]:
    def lives(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return [process for process in those if lives(process)]


def end(settings: Settings, patience_s: float = 60) -> int:
    """Stop the process manager and all that it started, at any depth; returns how many processes ended.

    What a service leaves behind (a task in a session of its own) is asked to stop, then killed.
    """
    family = {process.pid: process for process in processes(settings)}
    for process in list(family.values()):
        try:
            family |= {child.pid: child for child in process.children(recursive=True)}
        except psutil.NoSuchProcess:
            continue
    if running(settings):
        remote = call(settings)
        for name, info in states(settings).items():
            if info["statename"] not in ("STOPPED", "EXITED", "FATAL"):
                remote.stopProcess(name, False)  # all at once; shutdown alone stops them one after the other
        remote.shutdown()
        pid_file = home(settings) / "supervisord.pid"
        chief = [p for p in family.values() if pid_file.exists() and p.pid == int(pid_file.read_text())]
        psutil.wait_procs(chief, timeout=patience_s)
    family |= {process.pid: process for process in processes(settings)}
    for act in ("terminate", "kill"):
        rest = alive(family.values())
        for process in rest:
            try:
                getattr(process, act)()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(rest, timeout=10)
    left = alive(family.values())
    if left:
        where = "; ".join(f"{process.pid} {process.name()}" for process in left)
        raise ServiceError("processes of the platform do not end", where, "they may hang in the kernel: end them by hand")
    return len(family)
