"""The file name is the registry: `models/<name>.py` holds one SessionModel, found by its name."""

from __future__ import annotations

import importlib
import pkgutil

import models
from models.core.base import SessionModel


def names() -> list[str]:
    """Every model there is."""
    return sorted(module.name for module in pkgutil.iter_modules(models.__path__) if not module.ispkg)


def find(name: str) -> type[SessionModel]:
    """The model class of that name. KeyError lists the names there are."""
    if name not in names():
        raise KeyError(f"no model {name!r}; known: {', '.join(names())}")
    module = importlib.import_module(f"models.{name}")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, SessionModel) and value.__module__ == module.__name__
    )
    return found
