"""Ports of the platform: free ones for tests, and a clear word about taken ones before anything starts."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import ExitStack

import psutil

from pipelines.errors import ServiceError
from pipelines.stores.settings import Settings

LOOPBACK = "127.0.0.1"

SERVICES = {  # field of Settings -> who listens there
    "mlflow_port": "mlflow",
    "airflow_port": "airflow-api-server",
    "triton_http_port": "triton",
    "triton_grpc_port": "triton",
    "triton_metrics_port": "triton",
    "watch_port": "watch",
}


def check(settings: Settings, fields: Iterable[str] = SERVICES) -> None:
    """ServiceError names every port that is taken or given twice, whose it would be, who holds it, and its setting."""
    wanted = {field: int(getattr(settings, field)) for field in fields}
    problems = []
    for field, port in wanted.items():
        twin = next((other for other in wanted if other != field and wanted[other] == port), None)
        if twin:
            problems.append(f"{port} for {SERVICES[field]} ({variable(field)}): also given to {variable(twin)}")
        elif not free(port):
            problems.append(f"{port} for {SERVICES[field]} ({variable(field)}): {holder(port)}")
    if problems:
        names = ", ".join(
            str(port) for port in dict.fromkeys(wanted[f] for f in wanted if any(variable(f) in p for p in problems))
        )
        what = f"port {names} is taken" if "," not in names else f"ports {names} are taken"
        next_step = "stop that process, or give another port by the variable named above (environment or .env)"
        raise ServiceError(what, "\n         ".join(problems), next_step)


def variable(field: str) -> str:
    return f"NEXTCLICK_{field.upper()}"


def free(port: int) -> bool:
    """Whether a server could listen there now; a port in TIME_WAIT counts as free, as it does for the servers."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """Who listens there: pid and command, as far as this user may see it."""
    for pid in listeners(port):
        try:
            command = " ".join(psutil.Process(pid).cmdline())
        except psutil.Error:
            command = "?"
        return f"held by process {pid}: {command[:100]}"
    return "held by a process of another user"


def listeners(port: int) -> list[int]:
    try:
        found = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return []
    return [c.pid for c in found if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port and c.pid]


def choose(number: int) -> list[int]:
    """Ports that are free now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


def chosen() -> dict[str, int]:
    """A free port for each service, as keyword arguments of Settings."""
    return dict(zip(SERVICES, choose(len(SERVICES)), strict=True))
