"""Files that are not what was registered: each is refused by name, the champion goes on serving, and restored it passes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from pipelines.errors import DataError
from pipelines.stores import manifest, publication, registry, repository
from pipelines.stores.registry import HASH
from pipelines.stores.settings import settings
from tests.pipelines.publishing import artifact, champion_serves, promoted

Case = tuple[Callable[[Path, Path], object], str]
"""Changes the challenger's package (the second folder is the champion's); the error that is said."""


def flip(name: str) -> Callable[[Path, Path], object]:
    """One bit in the middle of a file."""

    def change(folder: Path, _: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return change


def truncate(folder: Path, _: Path) -> None:
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content[: len(content) // 2])


def lie(folder: Path, champion: Path) -> None:
    """The champion's graph, and a manifest that says so."""
    shutil.copy(champion / "model.onnx", folder / "model.onnx")
    manifest.write(folder)


CASES: dict[str, Case] = {
    "corrupt graph": (flip("model.onnx"), r"model\.onnx is not what was registered"),
    "corrupt weights": (flip("weights.safetensors"), r"weights\.safetensors is not what was registered"),
    "corrupt manifest": (flip("manifest.json"), r"manifest\.json is not what was registered"),
    "truncated graph": (truncate, r"model\.onnx is not what was registered"),
    "no graph": (lambda folder, _: (folder / "model.onnx").unlink(), r"model\.onnx is not what was registered"),
    "the files of another version": (
        lambda folder, champion: shutil.copytree(champion, folder, dirs_exist_ok=True),
        "is not what was registered",
    ),
    "a pickle beside the files": (lambda folder, _: (folder / "model.pkl").write_bytes(b"\x80\x04."), r"model\.pkl was not"),
    "a pickle in place of the weights": (
        lambda folder, _: (folder / "weights.safetensors").write_bytes(b"\x80\x04."),
        r"weights\.safetensors is not what was registered",
    ),
    "a manifest that lies": (lie, r"(manifest\.json|model\.onnx) is not what was registered"),
    "tampered golden answers": (flip("golden.json"), r"golden\.json is not what was registered"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_not_registered_is_not_served(ready: tuple[int, int], case: str) -> None:
    champion, challenger = ready
    change, said = CASES[case]
    home = artifact(challenger, "card.md").parent
    change(home, artifact(champion, "card.md").parent)
    with pytest.raises(DataError, match=said) as failure:
        promoted(challenger)
    assert f"version {challenger}" in failure.value.where
    champion_serves(champion)
    shutil.rmtree(home)
    shutil.copytree(home.with_name("pristine"), home)
    promoted(challenger)
    champion_serves(challenger)


def test_a_manifest_and_hashes_that_both_lie_about_the_files(ready: tuple[int, int]) -> None:
    """Somebody who can write the artifacts and the tags of the manifest, but lists not what lies there."""
    champion, challenger = ready
    path = artifact(challenger, "manifest.json")
    path.write_text("{}")
    registry.tag(challenger, {HASH + "manifest.json": manifest.sha256(path)})
    try:
        with pytest.raises(DataError, match="does not list the files beside it"):
            promoted(challenger)
        champion_serves(champion)
    finally:
        registry.tag(challenger, {HASH + "manifest.json": manifest.sha256(path.parents[1] / "pristine" / "manifest.json")})


def reregistered(challenger: int, name: str) -> None:
    """As if the package had been registered with the file that lies there now."""
    folder = artifact(challenger, name).parent
    registry.tag(challenger, {HASH + file: value for file, value in manifest.write(folder).items()})


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"this is no graph", "onnxruntime cannot run the graph"), (None, "does not answer as it did at registration")],
    ids=["no graph", "another graph"],
)
def test_a_graph_that_is_wrong_though_registered_is_found_by_the_dry_run(
    ready: tuple[int, int], content: bytes | None, said: str
) -> None:
    """Hashes agree: only running it tells."""
    champion, challenger = ready
    path = artifact(challenger, "model.onnx")
    path.write_bytes(content or artifact(champion, "model.onnx").read_bytes())
    reregistered(challenger, "model.onnx")
    try:
        with pytest.raises(DataError, match=said):
            promoted(challenger)
        champion_serves(champion)
    finally:
        shutil.copy(path.parents[1] / "pristine" / "model.onnx", path)
        reregistered(challenger, "model.onnx")


def test_a_graph_that_triton_cannot_load_is_taken_back(ready: tuple[int, int]) -> None:
    """The configuration names an input that the graph has not: the load fails, the bad folder goes, Triton serves on."""
    champion, challenger = ready
    path = artifact(challenger, "config.pbtxt")
    path.write_text(path.read_text().replace('"item_ids"', '"item_idz"'))
    reregistered(challenger, "config.pbtxt")
    try:
        with pytest.raises(Exception, match="Triton cannot load"):
            promoted(challenger)
        champion_serves(champion)
        assert repository.numbers(settings().model_name).count(challenger) == 0
    finally:
        shutil.copy(path.parents[1] / "pristine" / "config.pbtxt", path)
        reregistered(challenger, "config.pbtxt")
    promoted(challenger)
    champion_serves(challenger)


def test_a_graph_that_triton_answers_differently_is_taken_back(ready: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """After the load, before the alias: Triton has the new version already, and gives it up again."""
    champion, challenger = ready
    real = publication.differences
    calls: list[int] = []

    def second_differs(expected: object, got: object) -> object:
        calls.append(1)
        return real(expected, got) if len(calls) == 1 else (np.ones(24, bool), 1.0)  # type: ignore[arg-type]

    monkeypatch.setattr(publication, "differences", second_differs)
    with pytest.raises(DataError, match="Triton does not answer as the file does"):
        promoted(challenger)
    champion_serves(champion)


def test_a_version_folder_that_is_there_already(ready: tuple[int, int]) -> None:
    """Of the right number, with something else in it: it is replaced, and comes to nothing if the promotion does."""
    champion, challenger = ready
    folder = repository.home(settings().model_name) / str(challenger)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"left by somebody")
    promoted(challenger)
    champion_serves(challenger)
    promoted(champion)
    champion_serves(champion)


def test_the_served_files_are_changed_under_the_server(ready: tuple[int, int]) -> None:
    """The champion's own folder: the next run, whatever it was called for, puts the registered bytes back."""
    champion, _ = ready
    served = repository.home(settings().model_name) / str(champion)
    (served / "model.onnx").write_bytes(b"something else")
    promoted(champion)
    champion_serves(champion)
    golden = json.loads((served / "golden.json").read_text())
    assert golden["sessions"]


def test_no_artifact_holds_code(ready: tuple[int, int]) -> None:
    """The graph is operators only: no Python operator, no weights in another file."""
    for number in ready:
        graph = onnx.load(str(artifact(number, "model.onnx")), load_external_data=False)
        assert {node.domain for node in graph.graph.node} <= {"", "ai.onnx", "com.microsoft"}
        assert not any(tensor.external_data for tensor in graph.graph.initializer)
