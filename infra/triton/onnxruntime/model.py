"""Triton's backend "onnxruntime" where the server has the Python backend only: `model.onnx` of a version, run by ONNX Runtime.

A model says `backend: "onnxruntime"` and holds nothing but `config.pbtxt` and `<version>/model.onnx`; a Triton container
serves the same folder with its C++ backend of that name. Tensors go in and out by DLPack: the server's Python stub was
built before numpy 2, and under numpy 2 its own conversion yields zeros. Numbers and booleans only, no strings.

Runs inside Triton's stub process: standard library, numpy, onnxruntime.
"""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb

TYPES = {  # ONNX Runtime's name of a tensor type -> Triton's
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
}

set_destructor = ctypes.pythonapi.PyCapsule_SetDestructor
set_destructor.argtypes, set_destructor.restype = [ctypes.py_object, ctypes.c_void_p], ctypes.c_int

Arrays = dict[str, np.ndarray[Any, Any]]


class TritonPythonModel:
    """One version of one model; Triton makes it at load and calls `execute` with the requests of one batch."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """The configuration stays as written: the C++ backend must find all it needs in the same file."""
        return config

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph and compare it with the configuration. TritonModelException if they differ."""
        config = json.loads(args["model_config"])
        # `default_model_filename` says model.py here, whatever the configuration says
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        try:
            self.session = ort.InferenceSession(str(path), options(config), providers=["CPUExecutionProvider"])
        except Exception as error:
            raise pb.TritonModelException(
                f"model.onnx is not a graph that ONNX Runtime {ort.__version__} runs: {error}"
            ) from error
        self.batched = config["max_batch_size"] > 0
        self.inputs = compare("input", config["input"], self.session.get_inputs())
        self.outputs = compare("output", config["output"], self.session.get_outputs())

    def execute(self, requests: list[Any]) -> list[Any]:
        """One run for all requests; where that fails, one run each, so that a bad request fails alone."""
        parts = [self.read(request) for request in requests]
        if self.batched and len(parts) > 1:
            try:
                return self.together(requests, parts)
            except Exception as error:
                pb.Logger.log_warn(f"a batch of {len(parts)} requests failed, running them one by one: {error}")
        return [self.alone(request, part) for request, part in zip(requests, parts, strict=True)]

    def read(self, request: Any) -> Arrays:
        return {name: np.from_dlpack(pb.get_input_tensor_by_name(request, name)) for name in self.inputs}

    def together(self, requests: list[Any], parts: list[Arrays]) -> list[Any]:
        """Requests are joined along the batch axis and the answers cut apart again."""
        ends = np.cumsum([len(part[self.inputs[0]]) for part in parts])[:-1]
        answers = self.run({name: np.concatenate([part[name] for part in parts]) for name in self.inputs})
        pieces = {name: np.split(values, ends) for name, values in answers.items()}
        return [respond(request, {name: pieces[name][i] for name in pieces}) for i, request in enumerate(requests)]

    def alone(self, request: Any, part: Arrays) -> Any:
        try:
            return respond(request, self.run(part))
        except Exception as error:
            return pb.InferenceResponse(error=pb.TritonError(f"{type(error).__name__}: {error}"))

    def run(self, feeds: Arrays) -> Arrays:
        return dict(zip(self.outputs, self.session.run(self.outputs, feeds), strict=True))


def options(config: dict[str, Any]) -> ort.SessionOptions:
    """Threads of one operator: parameter `intra_op_thread_count`, else 1; requests are parallel already."""
    result = ort.SessionOptions()
    threads = config.get("parameters", {}).get("intra_op_thread_count", {}).get("string_value", "1")
    result.intra_op_num_threads = int(threads)
    result.inter_op_num_threads = 1
    result.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return result


def compare(kind: str, declared: list[dict[str, Any]], graph: list[Any]) -> list[str]:
    """Names in the configuration's order; every input must be declared, an output may be left out."""
    types = {node.name: TYPES.get(node.type, node.type) for node in graph}
    said = {entry["name"]: entry["data_type"] for entry in declared}
    missing = set(types) - set(said) if kind == "input" else set()
    wrong = {name for name, of_type in said.items() if types.get(name) != of_type}
    if missing or wrong:
        raise pb.TritonModelException(f"config.pbtxt and model.onnx differ in {kind}: config {said}, graph {types}")
    return list(said)


def respond(request: Any, answers: Arrays) -> Any:
    wanted = request.requested_output_names()
    tensors = [pb.Tensor.from_dlpack(name, handed_over(answers[name])) for name in answers if name in wanted]
    return pb.InferenceResponse(output_tensors=tensors)


def handed_over(values: np.ndarray[Any, Any]) -> Any:
    """The array as a capsule that the stub takes as its own.

    The stub marks what it took by another name than DLPack's standard asks for. numpy's destructor does not know that name:
    for every tensor it would raise an error that nobody can catch, and write five lines into the server's log: 46 us each,
    about half of this process's time. The stub frees the memory itself, so the destructor is not missed.
    """
    capsule = np.ascontiguousarray(values).__dlpack__()
    set_destructor(capsule, None)
    return capsule
