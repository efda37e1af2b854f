"""The Triton server on this machine: the binary of a PyPI package, run as it would run in a container.

`python -m infra.local.triton` prepares the folders and becomes the server (the process manager starts that);
`temporary()` gives tests a server of their own. What it serves lies in `settings.triton_repository`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from infra.local import keys, ports
from pipelines.errors import ServiceError
from pipelines.stores.settings import Settings, settings

OURS = Path(__file__).resolve().parents[1] / "triton"
RESTRICTED = "model-repository,model-config,shared-memory,trace,logging"
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Start:
    """What a process needs to become the server."""

    argv: list[str]
    env: dict[str, str]
    cwd: Path


def prepare(settings: Settings) -> Start:
    """Folders, backends and key, checked. ServiceError if the server cannot run on this machine."""
    package = settings.venv / "triton"
    server = package / "pytriton" / "tritonserver"
    if not (server / "bin" / "tritonserver").exists():
        raise ServiceError("the Triton server is not installed", str(server), "run `make setup`")
    home = settings.var / "triton"
    backends, empty = home / "backends", home / "empty"
    copy_backends(server, backends)
    for folder in (settings.triton_repository, empty):
        folder.mkdir(parents=True, exist_ok=True)
    env = {
        **os.environ,
        "PATH": f"{settings.venv / 'worker' / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        "LD_LIBRARY_PATH": f"{package / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}",
    }
    env.pop("PYTHONPATH", None)
    check_links(server / "bin" / "tritonserver", env)
    check_links(backends / "python" / "triton_python_backend_stub", env)
    sweep_shared_memory()
    return Start(arguments(settings, server, backends), env, empty)


def arguments(settings: Settings, server: Path, backends: Path) -> list[str]:
    """The command line. The key can be given in no other way, so `ps` shows it to users of this machine."""
    key = keys.kept(settings.triton_key_file)
    return [
        str(server / "bin" / "tritonserver"),
        f"--model-repository={settings.triton_repository}",
        f"--backend-directory={backends}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in loadable(settings.triton_repository)),
        "--disable-auto-complete-config",
        "--exit-on-error=false",  # a broken model must not keep the others from being served
        f"--http-address={ports.LOOPBACK}",
        f"--grpc-address={ports.LOOPBACK}",
        f"--metrics-address={ports.LOOPBACK}",
        f"--http-port={settings.triton_http_port}",
        f"--grpc-port={settings.triton_grpc_port}",
        f"--metrics-port={settings.triton_metrics_port}",
        f"--allow-gpu-metrics={str(Path('/dev/nvidiactl').exists()).lower()}",
        f"--http-restricted-api={RESTRICTED}:x-admin-key={key}",
        f"--grpc-restricted-protocol={RESTRICTED}:x-admin-key={key}",
    ]


def loadable(repository: Path) -> list[str]:
    """Models that have a configuration and a version; a folder without them would only make the server unready."""
    folders = [path.parent for path in sorted(repository.glob("*/config.pbtxt"))]
    return [folder.name for folder in folders if any(child.name.isdigit() for child in folder.iterdir())]


def copy_backends(server: Path, backends: Path) -> None:
    """Triton's Python backend and ours on top of it. Copied: the server refuses links that leave the folder."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    python, stub = server / "backends" / "python", server / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        raise ServiceError(f"Triton has no Python stub for {version}", str(stub), "use the Python that set-up asks for")
    draft = backends.with_name("backends.new")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(python, draft / "python")
    shutil.copy2(stub, draft / "python")
    shutil.copytree(OURS / "onnxruntime", draft / "onnxruntime", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(backends, ignore_errors=True)
    draft.rename(backends)


def check_links(binary: Path, env: dict[str, str]) -> None:
    """A stub that cannot link makes every load hang, and the server deaf to SIGTERM: found out before."""
    said = subprocess.run(["ldd", str(binary)], env=env, capture_output=True, text=True, check=False)
    missing = [line.strip() for line in (said.stdout + said.stderr).splitlines() if "not found" in line]
    if missing:
        next_step = (
            "install it (libpython: a Python built with its shared library, or Debian's libpython3.11); glibc from 2.35 on"
        )
        raise ServiceError(
            "Triton cannot run on this machine: a library is missing", f"{binary}: {'; '.join(missing)}", next_step
        )


def sweep_shared_memory() -> None:
    """Delete the regions of servers that were killed: they would stay in memory until the machine restarts."""
    regions = {path for path in SHARED_MEMORY.glob("triton_*") if path.stat().st_uid == os.getuid()}
    if not regions:
        return
    used = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):  # the process ended, or is another user's: then its regions are too
            used |= {line.split(maxsplit=5)[5].strip() for line in maps.read_text().splitlines() if "/triton_" in line}
    for path in regions:
        if str(path) not in used:
            path.unlink(missing_ok=True)


def become(settings: Settings) -> None:
    """Replace this process by the server."""
    start = prepare(settings)
    os.chdir(start.cwd)
    os.execve(start.argv[0], start.argv, start.env)


def live(settings: Settings) -> bool:
    """Whether the server answers; it does so only after it has tried to load its models."""
    try:
        return httpx.get(f"http://{settings.triton_url}/v2/health/live", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def running(settings: Settings, patience_s: float = 60) -> Iterator[None]:
    """A server for these settings, stopped at the end. Its log is `var/log/triton.log`."""
    ports.check(settings, [field for field, service in ports.SERVICES.items() if service == "triton"])
    start = prepare(settings)
    log = settings.var / "log" / "triton.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            start.argv, env=start.env, cwd=start.cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    try:
        deadline = time.monotonic() + patience_s
        while not live(settings):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n         ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])
                raise ServiceError("Triton did not start", tail, f"read {log}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
        sweep_shared_memory()


@contextmanager
def temporary(folder: Path, **changes: object) -> Iterator[Settings]:
    """A server on free ports with all its state in `folder`; gives the settings that lead to it."""
    values: dict[str, object] = {"var": folder / "var", "mlruns": folder / "mlruns", **ports.chosen(), **changes}
    ours = Settings(**values)  # type: ignore[arg-type]
    with running(ours):
        yield ours


if __name__ == "__main__":
    try:
        become(settings())
    except ServiceError as error:
        raise SystemExit(str(error)) from None
