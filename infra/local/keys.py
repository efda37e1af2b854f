"""Secrets of the platform: made once, kept in files that only their owner reads."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def new(num_bytes: int = 32) -> str:
    """A secret in characters that need no quoting anywhere."""
    return secrets.token_urlsafe(num_bytes)


def kept(path: Path, num_bytes: int = 32) -> str:
    """The secret in `path`; made if there is none yet."""
    if not path.exists():
        write(path, new(num_bytes))
    return path.read_text(encoding="ascii").strip()


def write(path: Path, text: str) -> None:
    """Write a file of mode 600 in one step: nobody reads it half written, or before its mode is set."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
