"""The stage etl on a CUDA machine: Polars' GPU engine and NVTabular's mode there, beside the CPU. Not run yet on any GPU.

    python benchmarks/gpu/etl.py --events 20000000

Needs an NVIDIA GPU and requirements/gpu.txt. Each step's engine comes from summary.json: what Polars or NVTabular could
not do on the GPU stands there, with the reason, and is no failure. Outputs are compared as in benchmarks/etl.py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import etl as side_by_side
import etl_data
from etl_peers import outputs


def main() -> None:
    arguments = argparse.ArgumentParser(description="the stage etl on a GPU and on the CPU")
    arguments.add_argument("--events", type=int, default=20_000_000)
    arguments.add_argument("--repeat", type=int, default=3)
    arguments.add_argument("--folder", type=Path, default=side_by_side.ROOT / "var" / "bench" / "etl")
    chosen = arguments.parse_args()
    folder = chosen.folder.resolve() / str(chosen.events)
    if not (folder / "days" / "done").exists():
        shutil.rmtree(folder / "days", ignore_errors=True)
        etl_data.generate(folder / "days", chosen.events)
        (folder / "days" / "done").touch()
    figures = {}
    for engine in ("cpu", "gpu"):
        os.environ["ETL_ENGINE"] = engine
        runs = [side_by_side.measure("ours", folder / "days", folder / engine) for _ in range(chosen.repeat)]
        figures[engine] = side_by_side.best(runs)
        ran = json.loads((folder / engine / "data/etl/summary.json").read_text())
        print(f"{engine}: {json.dumps(figures[engine])}\n  ran in {ran['engine']}\n  notes {ran['notes']}", flush=True)
    wrong = outputs.difference(outputs.read("ours", folder / "cpu"), outputs.read("ours", folder / "gpu"))
    if wrong:
        raise SystemExit(f"CPU and GPU differ: {wrong}")
    ratios = {f"gpu_vs_cpu_{key}": round(figures["cpu"][key] / figures["gpu"][key], 2) for key in ("wall_s", "net_wall_s")}
    print("left out: none")
    print(json.dumps({"benchmark": "gpu/etl", "machine": side_by_side.machine(), "figures": figures, "ratios": ratios}))


if __name__ == "__main__":
    main()
