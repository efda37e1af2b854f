"""What this machine does in a second: matrix products, exponentials, memory. The best of several tries each.

job   rows, inner, columns (of the matrix product that training spends its time in), device
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import clock
import torch

clock.imports_done()
SECONDS = 1.0
FAR = 2**26
"""Numbers that no cache holds."""


def best(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of the tries that fit into SECONDS; the first is not counted."""
    work()
    found, until = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found = min(found, time.perf_counter() - begin)
    return found


def products(rows: int, inner: int, columns: int, dtype: torch.dtype, device: torch.device) -> float:
    """GFLOP/s of [rows, inner] @ [inner, columns], into memory that is there already."""
    left, right = torch.randn(rows, inner, device=device).to(dtype), torch.randn(columns, inner, device=device).to(dtype)
    out = torch.empty(rows, columns, device=device, dtype=dtype)
    return 2e-9 * rows * inner * columns / best(lambda: torch.mm(left, right.T, out=out), device)


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    device, rows, inner, columns = torch.device(job["device"]), job["rows"], job["inner"], job["columns"]
    wide = -(-inner // 32) * 32
    near, far = torch.rand(2**18, device=device), torch.rand(FAR, device=device)
    near_out, far_out = torch.empty_like(near), torch.empty_like(far)
    done = {
        "threads": torch.get_num_threads(),
        "bfloat16_gflop_per_s": products(rows, wide, columns, torch.bfloat16, device),
        "float32_gflop_per_s": products(rows, wide, columns, torch.float32, device),
        "bfloat16_gflop_per_s_unpadded": products(rows, inner, columns, torch.bfloat16, device),
        "exp_g_per_s": 1e-9 * len(near) / best(lambda: torch.exp(near, out=near_out), device),
        "memory_gb_per_s": 8e-9 * FAR / best(lambda: far_out.copy_(far), device),
    }
    clock.say("done", done)


if __name__ == "__main__":
    main()
