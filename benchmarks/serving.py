"""Serving side by side: Triton as `make up` starts it, and FastAPI with ONNX Runtime, on the same graphs and sessions.

    python benchmarks/serving.py --prepare                   writes the graphs and ends: that needs minutes and no quiet machine
    python benchmarks/serving.py
    python benchmarks/serving.py --items 50000 --models gru4rec --clients 32 --seconds 5

models    gru4rec and sasrec with the settings of params.yaml (hidden size 128; sasrec: two layers, two heads), untrained weights,
          50,000 and 500,000 items, sessions of at most 20 events, 20 answers. How long they are and which items they hold is
          drawn: one event and more, half of them over three; items by a power of their rank.
servers   Triton over gRPC and HTTP, one session a request, dynamic batching; FastAPI under uvicorn with one worker and with as
          many as there are cores. One at a time; each must first answer 64 sessions as the graph does in this process.
load      a process of its own on the same cores: 1, 8 and 32 clients that ask, wait and ask again.
CPU       user + system of the server's processes. The load's own stands beside it: a share of
          the machine that a server has for itself when its clients are elsewhere.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import psutil
import torch
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import serving_load  # noqa: E402

from infra.local import ports, triton  # noqa: E402
from models.core import registry  # noqa: E402
from models.core.base import Features  # noqa: E402
from pipelines.register import export  # noqa: E402
from pipelines.register.params import ServeParams  # noqa: E402
from pipelines.stores.answers import INPUT, OUTPUTS, Answers, Graph, Request, differences, fit, join, pad, take  # noqa: E402
from pipelines.stores.settings import Settings  # noqa: E402

MODELS, ITEMS, CLIENTS = ("gru4rec", "sasrec"), (50_000, 500_000), (1, 8, 32)
LENGTH, ANSWERS, SESSIONS, CHECKED = 20, 20, 512, 64
CORES = len(os.sched_getaffinity(0))
PEERS = ("fastapi", "uvicorn", "httptools", "uvloop")
Row = dict[str, Any]


def graph(folder: Path, name: str, items: int, settings: Mapping[str, Any]) -> Path:
    """A version folder of Triton's repository and the raw ids beside it; written once for the same code and settings."""
    home = folder / "repository" / f"{name}_{items}"
    model, said = home / "1" / "model.onnx", json.dumps([settings, yaml.safe_load((ROOT / "params.yaml").read_text())["serve"]])
    if model.exists() and (home / "settings.json").read_text() == said:
        return home
    torch.manual_seed(1)
    kind = registry.find(name)
    made = kind(kind.Config.model_validate(settings), Features(num_items=items, max_session_length=LENGTH)).eval()
    chance = np.random.default_rng(1)
    ids = chance.choice(2**31, items, replace=False)
    vocabulary = pl.DataFrame({"item_id": ids, "index": np.arange(1, items + 1), "count": np.arange(items, 0, -1)})
    serve = ServeParams.model_validate(yaml.safe_load((ROOT / "params.yaml").read_text())["serve"])
    served = export.served(made, vocabulary, ANSWERS, {}, serve)
    model.parent.mkdir(parents=True, exist_ok=True)
    export.export(served, model)
    (home / "config.pbtxt").write_text(export.config(served.widths(), ANSWERS, {"registry_version": "1"}))
    np.save(home / "ids.npy", ids)
    (home / "settings.json").write_text(said)
    return home


def sessions(home: Path, graph: Graph) -> Request:
    """[SESSIONS, LENGTH] raw ids."""
    chance, ids = np.random.default_rng(2), np.load(home / "ids.npy")
    lengths = np.minimum(chance.geometric(0.22, SESSIONS), LENGTH)
    drawn = [ids[np.minimum(chance.zipf(1.3, length) - 1, len(ids) - 1)].tolist() for length in lengths]
    return fit({INPUT: pad(drawn, LENGTH)}, graph.widths)


def for_triton(module: Any, request: Request) -> list[Any]:
    tensors = [module.InferInput(name, list(values.shape), "INT64") for name, values in request.items()]
    for tensor, values in zip(tensors, request.values(), strict=True):
        tensor.set_data_from_numpy(values)
    return tensors


def serialised(protocol: str, model: str, request: Request) -> list[bytes]:
    """One request for each session."""
    found = []
    for number in range(len(request[INPUT])):
        one = take(request, slice(number, number + 1))
        if protocol == "grpc":
            outputs = [triton_grpc.InferRequestedOutput(name) for name in OUTPUTS]
            made = triton_grpc._utils._get_inference_request(
                model_name=model, inputs=for_triton(triton_grpc, one), model_version="", request_id="", outputs=outputs,
                sequence_id=0, sequence_start=False, sequence_end=False, priority=0, timeout=None, parameters=None,
            )  # fmt: skip
            found.append(made.SerializeToString())
            continue
        wanted = [triton_http.InferRequestedOutput(name) for name in OUTPUTS]
        body, size = triton_http.InferenceServerClient.generate_request_body(for_triton(triton_http, one), outputs=wanted)
        head = (
            f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Length: {len(body)}\r\nInference-Header-Content-Length: {size}\r\n\r\n"
        )
        found.append(head.encode() + body)
    return found


def as_json(request: Request) -> list[bytes]:
    found = []
    for row in request[INPUT]:
        body = json.dumps({"item_ids": [int(item) for item in row if item >= 0]}).encode()
        kind = "Host: 127.0.0.1\r\nContent-Type: application/json"
        found.append(f"POST /recommend HTTP/1.1\r\n{kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return found


def cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in processes)


class Bench:
    """Figures by size, model, server and number of clients."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen, self.folder = chosen, chosen.folder.resolve()
        self.figures: dict[str, Any] = {}
        missing = [name for name in PEERS if importlib.util.find_spec(name) is None]
        self.left_out = [f"FastAPI ({', '.join(missing)} not installed)"] if missing else []

    def prepare(self) -> list[tuple[str, int, Path]]:
        zoo = yaml.safe_load((ROOT / "params.yaml").read_text())["zoo"]
        return [(name, n, graph(self.folder, name, n, zoo[name])) for n in self.chosen.items for name in self.chosen.models]

    def run(self) -> None:
        for name, items, home in self.prepare():
            path = home / "1" / "model.onnx"
            ours = Graph(path)
            request = sessions(home, ours)
            expected = ours.ask(take(request, slice(CHECKED)))
            del ours
            with self.triton(home) as (settings, processes):
                for protocol, port in (("grpc", settings.triton_grpc_port), ("http", settings.triton_http_port)):
                    check(expected, ask_triton(settings, home.name, take(request, slice(CHECKED))), "Triton")
                    made = serialised(protocol, home.name, request)
                    self.load(name, items, f"Triton, {protocol}", protocol, f"127.0.0.1:{port}", made, processes)
            if self.left_out:
                continue
            for workers in sorted({1, CORES}):
                with fastapi(path, workers) as (address, processes):
                    check(expected, ask_fastapi(address, take(request, slice(CHECKED))), "FastAPI")
                    who = f"FastAPI, {workers} worker{'s' * (workers > 1)}"
                    self.load(name, items, who, "http", address, as_json(request), processes)

    def load(
        self, name: str, items: int, who: str, protocol: str, address: str, requests: list[bytes], processes: list[psutil.Process]
    ) -> None:
        rows = self.figures.setdefault(f"{items}", {}).setdefault(name, {}).setdefault(who, {})
        with tempfile.NamedTemporaryFile(suffix=".bin") as file:
            serving_load.write(Path(file.name), requests)
            for clients in self.chosen.clients:
                words = [protocol, address, file.name, "--clients", str(clients), "--seconds", str(self.chosen.seconds)]
                process = subprocess.Popen(
                    [sys.executable, str(ROOT / "benchmarks" / "serving_load.py"), *words], stdout=subprocess.PIPE, text=True
                )
                before = cpu_s(processes)
                said, _ = process.communicate()
                if process.returncode:
                    raise SystemExit(f"the load ended with {process.returncode}")
                found = json.loads(said)
                whole = found["requests"] * (1 + serving_load.WARM_UP_S / self.chosen.seconds)  # the warm-up was answered too
                found["server_cpu_s_per_1000"] = (cpu_s(processes) - before) / whole * 1000
                rows[str(clients)] = {key: round(value, 3) for key, value in found.items()}
                print(f"{items:,} {name} {who}, {clients} clients: {json.dumps(rows[str(clients)])}", flush=True)

    @contextmanager
    def triton(self, home: Path) -> Iterator[tuple[Settings, list[psutil.Process]]]:
        """A server that serves this one model."""
        with tempfile.TemporaryDirectory() as folder:
            repository = Path(folder) / "var" / "triton" / "repository"
            repository.mkdir(parents=True)
            (repository / home.name).symlink_to(home)
            before = set(psutil.Process().children(recursive=True))
            with triton.temporary(Path(folder)) as settings:
                yield settings, list(set(psutil.Process().children(recursive=True)) - before)


@contextmanager
def fastapi(model: Path, workers: int) -> Iterator[tuple[str, list[psutil.Process]]]:
    port = ports.chosen()["triton_http_port"]
    words = ["--app-dir", str(ROOT / "benchmarks" / "serving_peers"), "--port", str(port), "--workers", str(workers)]
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "fastapi_app:app", *words, "--no-access-log", "--log-level", "warning"],
        env={**os.environ, "MODEL": str(model)},
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/docs", timeout=2)
                break
            except httpx.HTTPError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.1)
        time.sleep(2 if workers > 1 else 0)  # the others load their graph too
        whole = psutil.Process(process.pid)
        yield f"127.0.0.1:{port}", [whole, *whole.children(recursive=True)]
    finally:
        process.terminate()
        process.wait(20)


def ask_triton(settings: Settings, model: str, request: Request) -> Answers:
    with triton_http.InferenceServerClient(settings.triton_url, network_timeout=60) as client:
        result = client.infer(model, for_triton(triton_http, request))
        return Answers(*(result.as_numpy(name) for name in OUTPUTS))


def ask_fastapi(address: str, request: Request) -> Answers:
    parts = []
    for row in request[INPUT]:
        said = httpx.post(f"http://{address}/recommend", json={"item_ids": [int(item) for item in row if item >= 0]}).json()
        parts.append(Answers(np.array([said["next_item_ids"]]), np.array([said["scores"]]), np.array([[said["fallback"]]])))
    return join(parts)


def check(expected: Answers, got: Answers, who: str) -> None:
    wrong, apart = differences(expected, got)
    if wrong.any():
        raise SystemExit(
            f"{who} answers {int(wrong.sum())} of {len(wrong)} sessions unlike the file (largest difference {apart:.2g})"
        )


def best(rows: Mapping[str, Any], who: str, clients: str, key: str) -> float:
    """Of all ways to ask that server: the most requests a second, or the fewest CPU seconds."""
    found = [row[clients][key] for name, row in rows.items() if name.startswith(who) and clients in row]
    return max(found) if key == "requests_per_s" else min(found)


def ratios(figures: Mapping[str, Any]) -> dict[str, float]:
    """Triton over gRPC against the best of FastAPI, with the most clients; of the smallest number of items, the worst model."""
    out: dict[str, float] = {}
    for items, models in figures.items():
        found: dict[str, list[float]] = {}
        for rows in models.values():
            if not any(who.startswith("FastAPI") for who in rows):
                continue
            clients = max(rows["Triton, grpc"], key=int)
            faster = best(rows, "Triton, grpc", clients, "requests_per_s") / best(rows, "FastAPI", clients, "requests_per_s")
            key = "server_cpu_s_per_1000"
            cheaper = best(rows, "FastAPI", clients, key) / best(rows, "Triton, grpc", clients, key)
            found.setdefault("requests_per_s_vs_fastapi", []).append(faster)
            found.setdefault("cpu_per_request_vs_fastapi", []).append(cheaper)
        suffix = f"_{items}" if out else ""
        out |= {f"{key}{suffix}": round(min(values), 2) for key, values in found.items()}
    return out


def table(figures: Mapping[str, Any]) -> Iterator[str]:
    heads = ("items", "model", "server", "clients", "requests/s", "p50 ms", "p95 ms", "p99 ms")
    yield "| " + " | ".join([*heads, "CPU s per 1,000 answers", "of the load, beside"]) + " |"
    yield "|" + "---|" * 10
    for items, models in figures.items():
        for name, servers in models.items():
            for who, rows in servers.items():
                for clients, row in rows.items():
                    cells = [f"{int(items):,}", name, who, clients, f"{row['requests_per_s']:,.0f}"]
                    cells += [f"{row[key]:.1f}" for key in ("p50_ms", "p95_ms", "p99_ms")]
                    cells += [f"{row['server_cpu_s_per_1000']:.2f}", f"{row['load_cpu_s_per_1000']:.2f}"]
                    yield "| " + " | ".join(cells) + " |"


def machine() -> str:
    gpu = "GPU" if any(Path("/dev").glob("nvidia[0-9]*")) else "no GPU"
    return f"{CORES} cores, CPU, {platform.machine()}, {gpu}"


def versions() -> str:
    names = ("onnxruntime", "tritonclient", "grpcio", "fastapi", "uvicorn", "torch", "numpy")
    installed = [name for name in names if importlib.util.find_spec(name.replace("grpcio", "grpc"))]
    return ", ".join(["Triton 2.51 (24.10)", *(f"{name} {importlib.metadata.version(name)}" for name in installed)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--items", nargs="+", type=int, default=list(ITEMS))
    parser.add_argument("--clients", nargs="+", type=int, default=list(CLIENTS))
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--prepare", action="store_true", help="write the graphs and end")
    parser.add_argument("--folder", type=Path, default=ROOT / "var" / "bench" / "serving", help="graphs; figures.json")
    chosen = parser.parse_args()
    bench = Bench(chosen)
    if chosen.prepare:
        bench.prepare()
        return
    load = os.getloadavg()[0]
    bench.run()
    (bench.folder / "figures.json").write_text(json.dumps(bench.figures, indent=1))
    print(f"\n{machine()}; {dt.date.today()}; load before {load:.1f}; Python {platform.python_version()}, {versions()}\n")
    print("\n".join(table(bench.figures)))
    print(f"left out: {', '.join(bench.left_out) or 'none'}")
    found = {"benchmark": "serving", "machine": machine(), "figures": bench.figures, "ratios": ratios(bench.figures)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
