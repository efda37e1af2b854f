"""NVTabular on a Dask cluster: two workers on this machine give what this process alone gives."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from pipelines.errors import ServiceError
from pipelines.etl import run
from tests.pipelines.etl.conftest import etl, out, session, split

Window = Callable[..., tuple[Any, dict[str, Any]]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from pipelines.etl import compat  # noqa: F401  before dask
    from distributed import LocalCluster  # isort: skip

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", scheduler_port=0, dashboard_address=None
    ) as workers:
        yield workers


@pytest.mark.slow
def test_two_workers_make_the_same_columns(window: Window, cluster: Any) -> None:
    rng = np.random.default_rng(0)
    rows = [session(f"s{n}", list(rng.integers(1, 40, 6)), n % 6, price=float(rng.integers(1, 90))) for n in range(900)]
    _, alone = window(*rows)
    run(etl(scheduler=cluster.scheduler_address), split())
    shared = out()
    assert shared["summary"]["engine"]["workflow"] == f"nvtabular cpu, dask at {cluster.scheduler_address}"
    assert shared["schema"] == alone["schema"]
    for name in alone["schema"]["columns"]:
        np.testing.assert_array_equal(alone[name], shared[name])


@pytest.mark.slow
def test_a_scheduler_that_is_not_there(window: Window, unused_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.etl.workflow.CONNECT_S", 1)
    with pytest.raises(ServiceError, match=rf"etl.scheduler=tcp://127.0.0.1:{unused_port}"):
        window(scheduler=f"tcp://127.0.0.1:{unused_port}")


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
