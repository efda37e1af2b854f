"""The real server with our backend "onnxruntime": ids come out as they went in, and the doors are shut."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
import tritonclient.http as client
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException

from infra.local import health, triton
from infra.local.keys import kept
from pipelines.stores.settings import Settings

pytestmark = pytest.mark.services

CONFIG = """
name: "{name}"
backend: "onnxruntime"
max_batch_size: 64
input [ {{ name: "item_ids" data_type: {type} dims: [ 3 ] }} ]
output [ {{ name: "next_ids" data_type: TYPE_INT64 dims: [ 3 ] }}, {{ name: "row" data_type: TYPE_FP32 dims: [ 3 ] }} ]
instance_group [ {{ count: 1 }} ]
dynamic_batching {{ preferred_batch_size: [ 8, 16 ] max_queue_delay_microseconds: 500 }}
version_policy {{ latest {{ num_versions: 1 }} }}
"""


def graph(step: int) -> bytes:
    """next_ids = names[item_ids] + step, where names = [0, 1000, ..., 9000]; an index above 9 is an error of that request."""
    nodes = [
        helper.make_node("Gather", ["names", "item_ids"], ["found"]),
        helper.make_node("Add", ["found", "step"], ["next_ids"]),
        helper.make_node("Cast", ["item_ids"], ["row"], to=TensorProto.FLOAT),
    ]
    constants = [
        helper.make_tensor("names", TensorProto.INT64, [10], [1000 * i for i in range(10)]),
        helper.make_tensor("step", TensorProto.INT64, [1], [step]),
    ]
    item_ids = helper.make_tensor_value_info("item_ids", TensorProto.INT64, ["batch", 3])
    next_ids = helper.make_tensor_value_info("next_ids", TensorProto.INT64, ["batch", 3])
    row = helper.make_tensor_value_info("row", TensorProto.FLOAT, ["batch", 3])
    made = helper.make_graph(nodes, "step", [item_ids], [next_ids, row], constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def put(repository: Path, name: str, version: int, content: bytes, of_type: str = "TYPE_INT64") -> None:
    folder = repository / name / str(version)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    (repository / name / "config.pbtxt").write_text(CONFIG.format(name=name, type=of_type))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("triton")
    put(folder / "var" / "triton" / "repository", "present", 1, graph(step=7))
    put(folder / "var" / "triton" / "repository", "broken", 1, b"not a graph")
    with triton.temporary(folder) as settings:
        yield settings


def headers(settings: Settings) -> dict[str, str]:
    return {"x-admin-key": kept(settings.triton_key_file)}


def ask(settings: Settings, model: str, rows: list[list[int]]) -> list[list[int]]:
    values = np.array(rows, dtype=np.int64)
    given = client.InferInput("item_ids", values.shape, "INT64")
    given.set_data_from_numpy(values)
    with client.InferenceServerClient(settings.triton_url) as connection:
        answer = connection.infer(model, [given])
    return answer.as_numpy("next_ids").tolist()  # type: ignore[no-any-return]


def test_a_server_starts_with_the_models_its_repository_holds(server: Settings) -> None:
    assert ask(server, "present", [[1, 2, 3]]) == [[1007, 2007, 3007]]


def test_a_broken_model_does_not_keep_the_others_from_being_served(server: Settings) -> None:
    with client.InferenceServerClient(server.triton_url) as connection:
        index = {model["name"]: model for model in connection.get_model_repository_index(headers=headers(server))}
    assert index["present"]["state"] == "READY"
    assert "model.onnx is not a graph that ONNX Runtime" in index["broken"]["reason"]


def test_every_concurrent_request_gets_its_own_answer(server: Settings) -> None:
    """Batches are cut apart in the order of the requests: 400 requests of one to five rows, eight at a time."""
    chance = np.random.default_rng(1)
    requests = [chance.integers(0, 10, size=(int(chance.integers(1, 6)), 3)).tolist() for _ in range(400)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda rows: ask(server, "present", rows), requests))
    assert answers == [[[1000 * i + 7 for i in row] for row in rows] for rows in requests]


def test_a_bad_request_fails_alone(server: Settings) -> None:
    """Index 10 is out of the graph's range; requests that Triton puts into the same batch are answered all the same."""
    begin = threading.Barrier(8)

    def one(number: int) -> str:
        begin.wait()
        try:
            return str(ask(server, "present", [[number, number, number]]))
        except InferenceServerException as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            answers = list(pool.map(one, [1, 10, 2, 3, 10, 4, 5, 6]))
            assert [a for a in answers if "indices element out of data bounds" in a] == [answers[1], answers[4]]
            assert [answers[i] for i in (0, 2, 7)] == ["[[1007, 1007, 1007]]", "[[2007, 2007, 2007]]", "[[6007, 6007, 6007]]"]


def test_an_answer_leaves_nothing_behind(server: Settings) -> None:
    """Neither a line in the server's log nor memory: 2,000 answers of two tensors each, after 500 that warm up."""
    log = server.var / "log" / "triton.log"

    def requests(count: int) -> tuple[int, int]:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: ask(server, "present", [[number % 10] * 3]), range(count)))
        return log.stat().st_size, sum(stub.memory_info().rss for stub in stubs())

    size, memory = requests(500)
    size_after, memory_after = requests(2000)
    assert size_after == size, log.read_text(errors="replace")[-2000:]
    assert memory_after - memory < 2 * 2**20


def test_a_new_version_takes_over_on_load(server: Settings) -> None:
    put(server.triton_repository, "swapped", 1, graph(step=1))
    with client.InferenceServerClient(server.triton_url) as connection:
        connection.load_model("swapped", headers=headers(server))
        assert ask(server, "swapped", [[1, 1, 1]]) == [[1001, 1001, 1001]]
        (server.triton_repository / "swapped" / "2").mkdir()
        (server.triton_repository / "swapped" / "2" / "model.onnx").write_bytes(graph(step=2))
        connection.load_model("swapped", headers=headers(server))
    assert ask(server, "swapped", [[1, 1, 1]]) == [[1002, 1002, 1002]]


def test_a_configuration_that_differs_from_the_graph_is_refused(server: Settings) -> None:
    put(server.triton_repository, "differs", 1, graph(step=1), of_type="TYPE_INT32")
    with (
        client.InferenceServerClient(server.triton_url) as connection,
        pytest.raises(InferenceServerException, match=r"config\.pbtxt and model\.onnx differ in input"),
    ):
        connection.load_model("differs", headers=headers(server))


def test_health_asks_every_model_and_names_the_ones_that_fail(server: Settings) -> None:
    """A model whose process was killed stays READY to Triton for ever; only a real request tells."""
    put(server.triton_repository, "dies", 1, graph(step=1))
    with client.InferenceServerClient(server.triton_url) as connection:
        before = stubs()
        connection.load_model("dies", headers=headers(server))
        (stub,) = stubs() - before
        assert "dies" not in health.check(server, "triton").note
        stub.kill()
        seen = health.check(server, "triton")
        assert not seen.well
        assert "dies 1: does not answer" in seen.note
        assert "broken 1: " in seen.note
        assert connection.is_model_ready("dies")
        connection.unload_model("dies", headers=headers(server))


def stubs() -> set[psutil.Process]:
    """The processes in which the models of this test's server run."""
    return {child for child in psutil.Process().children(recursive=True) if "python_backend_stub" in child.name()}


@pytest.mark.parametrize("given", [{}, {"x-admin-key": "wrong"}])
def test_model_control_without_the_key_is_refused(server: Settings, given: dict[str, str]) -> None:
    with (
        client.InferenceServerClient(server.triton_url) as connection,
        pytest.raises(InferenceServerException, match="restricted"),
    ):
        connection.unload_model("present", headers=given)
    assert ask(server, "present", [[0, 0, 0]]) == [[7, 7, 7]]


def test_the_key_is_for_its_owner_only(server: Settings) -> None:
    assert server.triton_key_file.stat().st_mode & 0o777 == 0o600
