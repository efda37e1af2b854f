"""What is new since the champion: its settings and its data, as its package tells them, beside those of this run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.paths import PARAMS, REGISTER, TRAIN

DATA = "data.json"
HERE = REGISTER / "package"


@dataclass(frozen=True)
class Changes:
    """key -> (champion, now); `why`: what could not be compared."""

    params: Mapping[str, tuple[Any, Any]]
    data: Mapping[str, tuple[Any, Any]]
    why: str | None = None


def since(folder: Path = TRAIN / "champion", here: Path = HERE) -> Changes:
    """folder: the champion's package; here: that of this run."""
    missing = [file for file in (PARAMS.name, DATA) if not (folder / file).exists()]
    if missing:
        return Changes({}, {}, f"the champion's package has no {' and no '.join(missing)}")
    try:
        settings = [yaml.safe_load((one / PARAMS.name).read_text(encoding="utf-8")) for one in (folder, here)]
        data = [json.loads((one / DATA).read_text(encoding="utf-8")) for one in (folder, here)]
    except (OSError, ValueError, yaml.YAMLError) as error:
        return Changes({}, {}, f"a file cannot be read: {error}")
    return Changes(differences(*settings), differences(*data))


def differences(before: Any, now: Any, name: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted names of what differs; None where there was, or is, nothing."""
    if not isinstance(before, dict) and not isinstance(now, dict):
        return {} if before == now else {name: (before, now)}
    left, right = (one if isinstance(one, dict) else {"": one} if one is not None else {} for one in (before, now))
    found: dict[str, tuple[Any, Any]] = {}
    for key in dict.fromkeys((*left, *right)):
        found |= differences(left.get(key), right.get(key), f"{name}.{key}".strip("."))
    return found
