"""Which version an action is about: the one named, or the one that this run registered."""

from __future__ import annotations

import json

from pipelines.errors import DataError, ParamsError
from pipelines.paths import REGISTER


def number(word: str, action: str) -> int:
    """word: what came after the action's name; empty: this run's version. ParamsError, DataError if there is none such."""
    if not word:
        return _registered(action)
    if not word.isdecimal():
        raise ParamsError(
            f"{word!r} is no version of the registry", f"python -m pipelines {action}", f"give its number: {action} 7"
        )
    return int(word)


def _registered(action: str) -> int:
    path = REGISTER / "version.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError) as error:
        next_step = f"run register and gate first, or name a version: python -m pipelines {action} VERSION"
        raise DataError("this run has registered no version", f"{path}: {error}", next_step) from None
