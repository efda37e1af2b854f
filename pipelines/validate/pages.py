"""The pages: an overview of all days, and Great Expectations' Data Docs made readable without internet.

GX's pages take their styles and scripts from the internet. Here every script, outside link and outside image is taken
out, and one stylesheet of ours is put in.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import jinja2

from pipelines.validate.expectations import Expectation

STYLE = "docs.css"
HERE = Path(__file__).parent

DROPPED = (
    re.compile(r"<script\b.*?</script\s*>", re.S | re.I),
    re.compile(r"<link\b[^>]*>", re.I),
    re.compile(r"<img\b[^>]*>", re.I),
    re.compile(r"<style\b.*?</style\s*>", re.S | re.I),
    re.compile(r"<(a|form)\b[^>]*https?://[^>]*>.*?</\1\s*>", re.S | re.I),
    re.compile(r"<!--.*?-->", re.S),
    re.compile(r"""\son\w+=("[^"]*"|'[^']*')""", re.I),
)


class Outcome(Protocol):
    """What is shown of an expectation; see pipelines.validate.suite.Outcome."""

    @property
    def expectation(self) -> Expectation: ...
    @property
    def success(self) -> bool: ...
    @property
    def count(self) -> int | None: ...
    @property
    def observed(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...


def shown(outcome: Outcome) -> str:
    """What was seen, what was wanted: `observed 0.41, expected at most 0.1`."""
    wanted = {
        key: value
        for key, value in outcome.expectation.check.gx().items()
        if key not in ("column", "strict_min") and value is not None
    }
    words = {"min_value": "at least", "max_value": "at most", "type_": "type"}
    bounds = ", ".join(f"{words.get(key, key)} {_short(value)}" for key, value in wanted.items())
    seen = f"{outcome.count} rows" if outcome.count is not None else _short(outcome.observed)
    return outcome.error or f"observed {seen}, expected {bounds}"


def _short(value: Any) -> str:
    try:
        return f"{float(value):.4g}" if not float(value).is_integer() else f"{int(float(value))}"
    except (TypeError, ValueError):
        return str(value)


def write(folder: Path, found: Sequence[Any], strays: Sequence[str], summary: dict[str, Any]) -> None:
    """index.html over the Data Docs in `folder`, and those made local. strays: names of days outside the window."""
    for path in folder.rglob("*.html"):
        path.write_text(local(path.read_text(encoding="utf-8"), os.path.relpath(folder / STYLE, path.parent)), encoding="utf-8")
    shutil.copyfile(HERE / STYLE, folder / STYLE)
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["shown"] = shown
    page = environment.get_template("index.html.j2").render(
        found=found,
        inside=[day for day in found if day.name not in {*strays, "run"}],
        outside=[day for day in found if day.name in strays],
        summary=summary,
        pages={name: _pages(folder, name) for name in (*(day.name for day in found), "outside")},
    )
    (folder / "index.html").write_text(page, encoding="utf-8")


def local(page: str, style: str) -> str:
    """The page without anything from elsewhere, with our stylesheet."""
    for pattern in DROPPED:
        page = pattern.sub("", page)
    return page.replace("</head>", f'<link rel="stylesheet" href="{style}"></head>', 1)


def _pages(folder: Path, batch: str) -> dict[str, str]:
    """The GX pages of a day, by what they judge (rows, day, days)."""
    found = sorted(folder.glob(f"validations/*/{batch}/*/*.html"))
    return {
        path.relative_to(folder).parts[1].removeprefix(f"{batch}-"): quote(path.relative_to(folder).as_posix()) for path in found
    }
