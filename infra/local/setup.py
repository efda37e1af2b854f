"""Install everything nextclick needs under `var/`: two virtual environments and the Triton server.

Runs before anything is installed, so it imports the standard library only. Each part leaves a stamp with the
hash of its requirement files: a second run does nothing, an interrupted one goes on where it stopped.

    python3.11 infra/local/setup.py           the build of torch chosen last time, at first the one for CPUs
    python3.11 infra/local/setup.py --cuda    CUDA build of torch, and cuDF (requirements/gpu.txt); --cpu goes back
"""

from __future__ import annotations

import argparse
import configparser
import ctypes
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
PYTHON = (3, 11)
NEEDED_GIB = {"cpu": 6, "cuda": 20}

NO_NETWORK = "no network, or no access to the package registry: check the connection or the pip/uv index settings"

CAUSES = {  # what the installer's log says -> what a person can do about it
    "No space left on device": "free disk space on this file system and run `make setup` again: it resumes",
    "dns error": NO_NETWORK,
    "Could not connect": NO_NETWORK,
    "error sending request": NO_NETWORK,
    "NewConnectionError": NO_NETWORK,
    "NameResolutionError": NO_NETWORK,
    "No solution found": "the registry lacks a pinned version: compare requirements/*.txt with what it offers",
    "ensurepip is not available": "install the venv module of Python (on Debian: apt install python3.11-venv)",
}


class SetupError(Exception):
    """What went wrong, where, and what to do next."""


@dataclass(frozen=True)
class Part:
    """One thing to install: a folder, and the commands that fill it."""

    name: str
    folder: Path
    requirements: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]

    def stamp(self) -> str:
        """Hash of all that decides the result; equal stamps mean nothing to do."""
        digest = hashlib.sha256(f"{self.folder} {sys.version}".encode())
        for name in self.requirements:
            digest.update((REQUIREMENTS / name).read_bytes())
        return digest.hexdigest()


def parts(var: Path, device: str) -> Iterator[Part]:
    """The parts in order; the first one, uv, installs the others."""
    uv_folder, orchestrator, worker = (var / "venv" / name for name in ("uv", "orchestrator", "worker"))
    uv = str(uv_folder / "bin" / "uv")
    yield Part(
        "installer (uv)",
        uv_folder,
        ("uv.txt",),
        (
            (sys.executable, "-m", "venv", "--clear", str(uv_folder)),
            (str(uv_folder / "bin" / "python"), "-m", "pip", "install", "-r", file("uv.txt")),
        ),
    )
    yield Part(
        "orchestrator (Airflow)",
        orchestrator,
        ("orchestrator.txt",),
        (
            (uv, "venv", "--clear", "--python", sys.executable, str(orchestrator)),
            install(uv, orchestrator, "-r", file("orchestrator.txt")),
        ),
    )
    builds = ("torch.txt", "gpu.txt") if device == "cuda" else ("torch.txt",)
    yield Part(
        f"worker (MLflow, DVC, Great Expectations, NVTabular, torch for {device})",
        worker,
        ("worker.txt", "merlin.txt", *builds),
        (
            (uv, "venv", "--clear", "--python", sys.executable, str(worker)),
            install(uv, worker, "-r", file("worker.txt"), *(a for b in builds for a in ("-r", file(b))), *torch_build(device)),
            install(uv, worker, "--no-deps", "-r", file("merlin.txt")),
        ),
    )
    triton = var / "venv" / "triton"
    yield Part(
        "Triton server",
        triton,
        ("triton.txt",),
        ((uv, "pip", "install", "--no-deps", "--python", sys.executable, "--target", str(triton), "-r", file("triton.txt")),),
    )


def file(name: str) -> str:
    return str(REQUIREMENTS / name)


def install(uv: str, folder: Path, *arguments: str) -> tuple[str, ...]:
    """Byte code is compiled at install: the first import of torch, Airflow or GX takes seconds otherwise."""
    return (uv, "pip", "install", "--compile-bytecode", "--python", str(folder / "bin" / "python"), *arguments)


def torch_build(device: str) -> tuple[str, ...]:
    """Where uv finds torch: the registry's own is the CUDA build; the CPU build has an index, or lies in a local folder."""
    if device == "cuda":
        return ()
    pin = (REQUIREMENTS / "torch.txt").read_text().split("torch==")[1].split()[0]
    for folder in find_links():
        if any(folder.glob(f"torch-{pin}+cpu-cp{PYTHON[0]}{PYTHON[1]}-*.whl")):
            return ("--find-links", str(folder))
    return ("--torch-backend", "cpu")


def find_links() -> Iterator[Path]:
    """Local wheel folders that pip is told of, by environment or by its configuration."""
    named = [os.environ.get("UV_FIND_LINKS", ""), os.environ.get("PIP_FIND_LINKS", "")]
    for path in (Path("/etc/pip.conf"), Path.home() / ".pip" / "pip.conf", Path.home() / ".config" / "pip" / "pip.conf"):
        settings = configparser.ConfigParser(interpolation=None)
        settings.read(path)
        named.append(settings.get("global", "find-links", fallback=""))
    for entry in " ".join(named).replace(",", " ").split():
        folder = Path(entry.removeprefix("file://"))
        if folder.is_dir():
            yield folder


def check_machine(var: Path, device: str) -> None:
    if sys.version_info[:2] != PYTHON:
        raise SetupError(
            f"nextclick needs Python {PYTHON[0]}.{PYTHON[1]}, this is {sys.version.split()[0]}",
            f"{sys.executable}",
            "install Python 3.11, or name it: make setup PYTHON=/path/to/python3.11",
        )
    if sys.platform != "linux":
        raise SetupError("nextclick's local platform runs on Linux", sys.platform, "use a Linux machine or container")
    for command in ("git", "make"):
        if shutil.which(command) is None:
            raise SetupError(f"{command} is not installed", "PATH", f"install {command} with the system's package manager")
    check_shared_library("libpython{}.{}.so.1.0".format(*PYTHON))
    try:
        var.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            "the folder for local state cannot be made", str(error), "name another: NEXTCLICK_VAR=/other/var"
        ) from None
    installed = sum(part.exists() for part in ((var / "venv" / "worker" / ".stamp"), (var / "venv" / "orchestrator" / ".stamp")))
    needed, free = NEEDED_GIB[device] if installed < 2 else 1, shutil.disk_usage(var).free / 2**30
    if free < needed:
        raise SetupError(
            f"not enough disk space: {free:.1f} GiB free, {needed} GiB needed",
            str(var),
            "free space, or keep var/ on another disk: make setup NEXTCLICK_VAR=/other/disk/var",
        )


def check_shared_library(name: str) -> None:
    """Triton runs models through Python's shared library, which Debian packs apart and some builds leave out."""
    folder = sysconfig.get_config_var("LIBDIR")
    for candidate in (name, f"{folder}/{name}"):
        try:
            ctypes.CDLL(candidate)
        except OSError:
            continue
        return
    next_step = "on Debian or Ubuntu: apt install libpython3.11; a Python of your own: build it with --enable-shared"
    raise SetupError(f"this Python has no shared library {name}", f"{sys.executable}, {folder}", next_step)


def choose_device(asked: str | None, remembered: Path) -> str:
    """The build asked for, kept for the next time; else the one kept; else cpu."""
    if asked:
        remembered.write_text(asked)
    return remembered.read_text() if remembered.exists() else "cpu"


def run(command: tuple[str, ...], log: Path, label: str) -> None:
    """Run one command into the log, showing that it lives."""
    begin = time.monotonic()
    with log.open("a", encoding="utf-8") as out:
        out.write(f"\n$ {' '.join(command)}\n")
        out.flush()
        offset = out.tell()
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        shown = 0.0
        while process.poll() is None:
            time.sleep(0.2)
            seconds = time.monotonic() - begin
            if sys.stdout.isatty() or seconds - shown >= 30:
                shown = seconds
                print(f"{label} {seconds:4.0f} s", end="\r" if sys.stdout.isatty() else "\n", flush=True)
    if process.returncode:
        said = log.read_text(encoding="utf-8", errors="replace")[offset:]
        fallback = f"read {log}; `make setup` resumes"
        next_step = next((advice for cause, advice in CAUSES.items() if cause.lower() in said.lower()), fallback)
        last = [line for line in said.strip().splitlines() if line.strip()][-6:]
        raise SetupError("an installation step failed: " + " ".join(command[:3]), "\n         ".join(last), next_step)


def install_part(part: Part, position: str, log: Path) -> None:
    stamp = part.folder / ".stamp"
    if stamp.exists() and stamp.read_text() == part.stamp():
        print(f"{position} {part.name}: ready", flush=True)
        return
    begin = time.monotonic()
    print(f"{position} {part.name}: installing", flush=True)
    stamp.unlink(missing_ok=True)
    for command in part.commands:
        run(command, log, f"{position} {part.name}")
    stamp.write_text(part.stamp())
    print(f"{position} {part.name}: installed in {time.monotonic() - begin:.0f} s", flush=True)


def main() -> int:
    arguments = argparse.ArgumentParser(description="install nextclick under var/")
    build = arguments.add_mutually_exclusive_group()
    build.add_argument("--cuda", dest="device", action="store_const", const="cuda", help="the CUDA build of torch, and cuDF")
    build.add_argument("--cpu", dest="device", action="store_const", const="cpu", help="the CPU build of torch")
    asked = arguments.parse_args().device
    var = Path(os.environ.get("NEXTCLICK_VAR") or ROOT / "var").resolve()
    begin = time.monotonic()
    try:
        install_all(var, asked)
    except SetupError as error:
        what, where, next_step = error.args
        print(f"SetupError: {what}\n  where  {where}\n  next   {next_step}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; `make setup` goes on where it stopped", file=sys.stderr)
        return 130
    print(f"set-up: done in {time.monotonic() - begin:.0f} s, in {var}", flush=True)
    return 0


def install_all(var: Path, asked: str | None) -> None:
    check_machine(var, asked or "cpu")
    log, remembered = var / "log" / "setup.log", var / "venv" / ".device"
    for folder in (log.parent, remembered.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with (var / "venv" / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another set-up is at work here, waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        todo = list(parts(var, choose_device(asked, remembered)))
        for number, part in enumerate(todo, 1):
            install_part(part, f"[{number}/{len(todo)}]", log)


if __name__ == "__main__":
    raise SystemExit(main())
