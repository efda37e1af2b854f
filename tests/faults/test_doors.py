"""Who may change what is served: nobody from another machine, and on this one only who knows the secret."""

from __future__ import annotations

import httpx
import psutil
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from infra.local import services
from pipelines.stores.settings import settings
from tests.faults.conftest import Platform, server
from tests.pipelines.publishing import champion_serves

pytestmark = pytest.mark.usefixtures("ready")

CONTROL = ("repository/index", "repository/models/{model}/load", "repository/models/{model}/unload")


def test_triton_listens_on_this_machine_only(platform: Platform) -> None:
    heard = [one for one in server(platform.settings).net_connections("inet") if one.status == psutil.CONN_LISTEN]
    assert {one.laddr.ip.removeprefix("::ffff:") for one in heard} == {"127.0.0.1"}
    wanted = {getattr(platform.settings, f"triton_{name}_port") for name in ("http", "grpc", "metrics")}
    assert {one.laddr.port for one in heard} == wanted


def test_the_registry_is_told_to_listen_on_this_machine_only(platform: Platform) -> None:
    assert "--host=127.0.0.1" in services.mlflow(platform.settings)


@pytest.mark.parametrize("path", CONTROL)
@pytest.mark.parametrize("headers", [{}, {"x-admin-key": "guessed"}, {"x-admin-key": ""}], ids=["none", "wrong", "empty"])
def test_model_control_over_http_needs_the_secret(platform: Platform, path: str, headers: dict[str, str]) -> None:
    base = f"http://127.0.0.1:{platform.settings.triton_http_port}/v2"
    answer = httpx.post(f"{base}/{path.format(model=settings().model_name)}", json={}, headers=headers)
    assert answer.status_code == 403
    champion_serves(platform.versions[0])


@pytest.mark.parametrize("key", [None, "guessed"], ids=["none", "wrong"])
def test_model_control_over_grpc_needs_the_secret(platform: Platform, key: str | None) -> None:
    headers = {"triton-grpc-protocol-x-admin-key": key} if key else None
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{platform.settings.triton_grpc_port}") as client:
        for call in (client.unload_model, client.load_model):
            with pytest.raises(InferenceServerException, match="restricted"):
                call(settings().model_name, headers=headers)
        with pytest.raises(InferenceServerException, match="restricted"):
            client.get_model_repository_index(headers=headers)
    champion_serves(platform.versions[0])


def test_with_the_secret_both_doors_open(platform: Platform) -> None:
    key = settings().triton_key_file.read_text().strip()
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{platform.settings.triton_grpc_port}") as client:
        assert client.get_model_repository_index(headers={"triton-grpc-protocol-x-admin-key": key}).models
    http = tritonclient.http.InferenceServerClient(platform.settings.triton_url)
    assert http.get_model_repository_index(headers={"x-admin-key": key})


def test_the_secret_is_readable_by_its_owner_only(platform: Platform) -> None:
    assert settings().triton_key_file.stat().st_mode & 0o077 == 0


def test_asking_needs_no_secret(platform: Platform) -> None:
    assert platform.served() == platform.versions[0]
