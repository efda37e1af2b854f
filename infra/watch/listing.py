"""The registered versions as a file, for the form of the DAG `promote`: a DAG file asks no service while it is read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipelines.stores.registry import Version


def label(version: Version, aliases: Mapping[int, list[str]]) -> str:
    """What a person picks from: number, model, what the gate said, what it is now, the days it learned from."""
    tags = version.tags
    verdict = f"gate {tags['gate.verdict']}" if "gate.verdict" in tags else "not judged"
    words = [
        tags.get("model", "model"),
        verdict + (", overridden" if "override.by" in tags else ""),
        *aliases.get(version.version, []),
        f"data {tags['lineage.data_days']}" if "lineage.data_days" in tags else "",
    ]
    return f"{version.version}: {', '.join(word for word in words if word)}"


def write(path: Path, versions: Iterable[Version], aliases: Mapping[int, list[str]]) -> bool:
    """Newest first. Written in one step, and only if it changed; returns whether it did."""
    rows = [{"version": one.version, "label": label(one, aliases)} for one in versions]
    text = json.dumps(rows, indent=1) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
    return True
