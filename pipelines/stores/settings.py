"""Where the services are and where state lies. Each value can be set by an environment variable NEXTCLICK_<NAME> or in `.env`."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Le
from pydantic import AfterValidator, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipelines.errors import ParamsError

ROOT = Path(__file__).resolve().parents[2]

Port = Annotated[int, Ge(1), Le(65535)]
Folder = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]


class Settings(BaseSettings):
    """Addresses and folders of the local platform; the values of a run are in params.yaml, not here."""

    model_config = SettingsConfigDict(
        env_prefix="NEXTCLICK_", env_file=".env", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    root: Folder = ROOT
    """The project's checkout: code, DAGs, params.yaml. A run's workspace is a checkout of its own and is not meant."""
    var: Folder = ROOT / "var"
    """Local state: Airflow home, Triton repository, run workspaces, logs; set-up puts the environments there too."""
    venv: Folder = Path(sys.prefix).parent
    """Where `worker`, `orchestrator` and `triton` are installed; by default beside the environment that runs this."""
    mlruns: Folder = ROOT / "mlruns"
    """MLflow's database and artifacts."""
    mlflow_uri: str = ""
    """MLflow's address; empty: the database file in `mlruns`, without a server."""
    mlflow_port: Port = 5000
    airflow_port: Port = 8080
    dags: Folder = ROOT / "dags"
    """Folder that Airflow reads its DAGs from."""
    gpu_slots: Annotated[int, Ge(1)] = 1
    """Tasks that may be on a GPU at once: the size of Airflow's pool `gpu`."""
    watch_port: Port = 8010
    """Where `infra.watch` hears MLflow's webhooks and says how it fares."""
    model_name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")] = "session_next_item"
    """The registered model in MLflow, and its name in Triton."""
    triton_http_port: Port = 8000
    triton_grpc_port: Port = 8001
    triton_metrics_port: Port = 8002
    signing_key: str = ""
    """Private key (PEM, elliptic curve) that signs versions, its public key beside it as .pub; empty: nothing is signed."""

    @property
    def tracking_uri(self) -> str:
        """What mlflow is told: the server's address, or the database that the server would open."""
        return self.mlflow_uri or f"sqlite:///{self.mlruns / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """Root of MLflow's artifacts; clients and server reach it as files."""
        return self.mlruns / "artifacts"

    @property
    def mlflow_url(self) -> str:
        return f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def airflow_url(self) -> str:
        return f"http://127.0.0.1:{self.airflow_port}"

    @property
    def watch_url(self) -> str:
        return f"http://127.0.0.1:{self.watch_port}"

    @property
    def triton_url(self) -> str:
        """host:port of Triton's HTTP endpoint, as tritonclient wants it."""
        return f"127.0.0.1:{self.triton_http_port}"

    @property
    def triton_repository(self) -> Path:
        return self.var / "triton" / "repository"

    @property
    def triton_key_file(self) -> Path:
        """Holds the secret that Triton's model-control API asks for (header x-admin-key)."""
        return self.var / "secrets" / "triton-key"

    @property
    def webhook_key_file(self) -> Path:
        """Holds the secret with which MLflow signs its webhooks."""
        return self.var / "secrets" / "mlflow-webhook-key"


@cache
def settings() -> Settings:
    """The settings of this process. ParamsError names the variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"NEXTCLICK_{str(p['loc'][0]).upper()} = {p['input']!r}: {p['msg']}" for p in error.errors()]
        raise ParamsError("a platform setting is wrong", "; ".join(wrong), "correct it in the environment or in .env") from None
