"""The services of the platform: what each one runs, where it listens, what all of them are told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from infra.local import airflow, keys, ports
from pipelines.stores.settings import Settings

MARK = "NEXTCLICK_PLATFORM"
"""Environment variable by which every process of a platform is known, whoever its parent has become."""

TELEMETRY_OFF = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "False",
}

STRAY = (
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
)
"""Variables of the caller's shell that would lead a service astray."""


@dataclass(frozen=True)
class Service:
    """One long-running process."""

    name: str
    argv: tuple[str, ...]
    address: str
    """What a person opens or a client connects to; empty if it listens nowhere."""
    stop_s: int
    """Seconds between asking it to stop and killing its process group."""


def services(settings: Settings) -> list[Service]:
    """In the order in which status shows them; they start side by side."""
    return [
        Service("mlflow", mlflow(settings), settings.mlflow_url, 10),
        Service("airflow-api-server", airflow.command(settings, "api-server"), settings.airflow_url, 15),
        Service("airflow-scheduler", airflow.command(settings, "scheduler", "--skip-serve-logs"), "", 20),
        Service("airflow-dag-processor", airflow.command(settings, "dag-processor"), "", 10),
        Service("airflow-triggerer", airflow.command(settings, "triggerer", "--skip-serve-logs"), "", 10),
        Service("triton", (worker_python(settings), "-m", "infra.local.triton"), f"http://{settings.triton_url}", 10),
        Service("watch", (worker_python(settings), "-m", "infra.watch"), "", 10),
    ]


def worker_python(settings: Settings) -> str:
    return str(settings.venv / "worker" / "bin" / "python")


def mlflow(settings: Settings) -> tuple[str, ...]:
    """Clients reach the artifacts as files: the server keeps records only, and serves no artifact to write to."""
    return (
        str(settings.venv / "worker" / "bin" / "mlflow"),
        "server",
        f"--backend-store-uri=sqlite:///{settings.mlruns / 'mlflow.db'}",
        f"--default-artifact-root={settings.artifacts}",
        "--no-serve-artifacts",
        f"--host={ports.LOOPBACK}",
        f"--port={settings.mlflow_port}",
        "--workers=1",
    )


def environment(settings: Settings) -> dict[str, str]:
    """What every service is started with, and hence every task of Airflow."""
    inherited = {name: value for name, value in os.environ.items() if name not in STRAY}
    ours = {f"NEXTCLICK_{name.upper()}": str(getattr(settings, name)) for name in Settings.model_fields}
    return {
        **inherited,
        **ours,
        **TELEMETRY_OFF,
        **airflow.environment(settings),
        MARK: mark(settings),
        "NEXTCLICK_MLFLOW_URI": settings.mlflow_url,
        "NEXTCLICK_WORKER": str(settings.venv / "worker"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # background jobs of MLflow: 1 GiB that nobody uses here
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        # its webhooks knock at infra.watch, on this machine; their secret is kept encrypted
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": keys.kept(settings.var / "secrets" / "mlflow-fernet-key") + "=",
        "NO_PROXY": f"{os.environ.get('NO_PROXY', '')},{ports.LOOPBACK},localhost".lstrip(","),
        "PYTHONUNBUFFERED": "1",
    }


def mark(settings: Settings) -> str:
    return str(settings.var.resolve())


def log(settings: Settings, name: str) -> Path:
    return settings.var / "log" / f"{name}.log"


def tail(path: Path, lines: int = 8) -> list[str]:
    """The last lines of a log that say something."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ["(no log yet)"]
    return [line for line in text.splitlines() if line.strip()][-lines:]
