"""A version in an empty registry, without a model: a package of two text files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipelines.stores import manifest, registry
from pipelines.stores.registry import Version
from tests.pipelines.run_folder import mlflow_run


def version(folder: Path, tags: Mapping[str, str] | None = None, content: str = "graph") -> Version:
    """Registered; `folder` becomes its package."""
    folder.mkdir()
    for name in ("model.onnx", "card.md"):
        (folder / name).write_text(f"{content} of {name}")
    manifest.write(folder)
    return registry.register(folder, mlflow_run("shop"), "# A model", tags or {}, content)
