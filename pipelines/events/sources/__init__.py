"""One file per data source, found by its name.

A source is a module with `layout(events)`: how its columns become ours, a Layout. One that makes its data itself has
`inputs(events)` too.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def names() -> list[str]:
    """Every source there is."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> ModuleType:
    """The module of a source that `names` lists."""
    return importlib.import_module(f"{__name__}.{name}")
