"""A taken port is said before anything starts: its number, whose it would be, who holds it, which setting gives another."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local import ports
from pipelines.errors import ServiceError
from pipelines.stores.settings import Settings


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def settings(**given: int) -> Settings:
    return Settings(**{**ports.chosen(), **given})  # type: ignore[arg-type]


def test_free_ports_pass() -> None:
    ports.check(settings())


def test_a_taken_port_is_named_with_its_service_setting_and_holder(taken: int) -> None:
    with pytest.raises(ServiceError) as error:
        ports.check(settings(triton_grpc_port=taken))
    assert error.value.what == f"port {taken} is taken"
    assert f"{taken} for triton (NEXTCLICK_TRITON_GRPC_PORT): held by process {os.getpid()}" in error.value.where


def test_every_taken_port_is_named_at_once(taken: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        second = other.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"ports {taken}, {second} are taken"):
            ports.check(settings(mlflow_port=taken, airflow_port=second))


def test_a_port_given_twice_is_refused() -> None:
    one = ports.choose(1)[0]
    with pytest.raises(ServiceError, match=r"NEXTCLICK_MLFLOW_PORT.*also given to NEXTCLICK_AIRFLOW_PORT"):
        ports.check(settings(mlflow_port=one, airflow_port=one))


def test_up_starts_nothing_when_a_port_is_taken(taken: int, tmp_path: Path) -> None:
    from infra.local import supervise, up

    ours = Settings(**{**ports.chosen(), "var": tmp_path / "var", "mlruns": tmp_path / "mlruns", "airflow_port": taken})  # type: ignore[arg-type]
    with pytest.raises(ServiceError, match=f"port {taken} is taken"):
        up.up(ours)
    assert not supervise.processes(ours)
    assert not (tmp_path / "var").exists()
