"""With the setting on, only what the owner of the key has signed is served."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import DataError, ParamsError
from pipelines.stores import publication, registry, signature
from pipelines.stores.registry import HASH
from pipelines.stores.settings import settings
from pipelines.stores.triton import Server
from tests.pipelines import registered


def pair(path: Path) -> str:
    """The two files, made as the docstring says."""
    for command in (
        ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{path}.pem"],
        ["ec", "-in", f"{path}.pem", "-pubout", "-out", f"{path}.pub"],
    ):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    return f"{path}.pem"


@pytest.fixture
def key(mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    made = pair(tmp_path / "signing")
    use(monkeypatch, made)
    monkeypatch.setenv("NEXTCLICK_VAR", str(tmp_path / "var"))
    yield made
    settings.cache_clear()


def use(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("NEXTCLICK_SIGNING_KEY", key)
    settings.cache_clear()


def verify(version: registry.Version) -> None:
    signature.verify(version.hashes, version.tags.get(signature.TAG), f"version {version.version}")


def test_a_version_is_signed_where_it_is_registered(key: str, tmp_path: Path) -> None:
    version = registered.version(tmp_path / "package")
    assert version.tags["signature"].startswith('{"mediaType":"application/vnd.dev.sigstore.bundle')
    verify(version)
    assert "signature" not in version.hashes


def test_a_machine_that_only_publishes_needs_the_public_key_alone(key: str, tmp_path: Path) -> None:
    version = registered.version(tmp_path / "package")
    Path(key).unlink()
    verify(version)


def test_off_by_default_nothing_is_signed_or_asked(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "")
    version = registered.version(tmp_path / "package")
    assert "signature" not in version.tags
    verify(version)
    use(monkeypatch, key)
    with pytest.raises(DataError, match="the version is not signed"):
        verify(version)


@pytest.mark.parametrize("what", ["another hash", "another manifest", "another version's signature", "nonsense", "another key"])
def test_what_was_not_signed_is_refused(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    version = registered.version(tmp_path / "package")
    other = registered.version(tmp_path / "other", content="other")
    lies = {
        "another hash": {f"{HASH}model.onnx": other.hashes["model.onnx"]},
        "another manifest": {f"{HASH}manifest.json": other.hashes["manifest.json"]},
        "another version's signature": {"signature": other.tags["signature"]},
        "nonsense": {"signature": "{}"},
        "another key": {},
    }
    if what == "another key":
        use(monkeypatch, pair(tmp_path / "stranger"))
    registry.tag(version.version, lies[what])
    with pytest.raises(DataError, match=r"not signed by the owner|do not make the manifest"):
        verify(registry.get(version.version))


def test_nothing_is_published_without_it(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is fetched, written or asked: no server runs here."""
    use(monkeypatch, "")
    version = registered.version(tmp_path / "package")
    use(monkeypatch, key)
    with pytest.raises(DataError, match="the version is not signed"):
        publication.publish(version, lambda: None, Server("127.0.0.1:9"))
    assert not settings().triton_repository.exists()


@pytest.mark.parametrize("content", [None, "no key"])
def test_a_key_that_cannot_be_used_is_said_with_the_way_to_make_one(key: str, tmp_path: Path, content: str | None) -> None:
    Path(key).unlink()
    if content:
        Path(key).write_text(content)
    with pytest.raises(ParamsError, match="cannot be signed") as failure:
        registered.version(tmp_path / "package")
    assert "openssl ecparam" in failure.value.next_step
