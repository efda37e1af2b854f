"""`params.yaml` holds every value; the types live where they are used. This module brings the two together."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from models.core.config import Config, Search
from pipelines.errors import ParamsError, nearest
from pipelines.paths import PARAMS

__all__ = ["Config", "Search", "read", "section", "validate"]

C = TypeVar("C", bound=Config)


def read(path: Path = PARAMS) -> dict[str, Any]:
    """The whole file as a mapping. ParamsError if it is absent or not YAML."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError("there is no params.yaml", str(path.resolve()), "run from the project's root") from None
    except yaml.YAMLError as error:
        raise ParamsError("params.yaml is not valid YAML", " ".join(str(error).split()), "mend the line it names") from None
    if not isinstance(values, dict):
        raise ParamsError("params.yaml is not a mapping of sections", str(path.resolve()), "restore it from git")
    return values


def section(name: str, kind: type[C], path: Path = PARAMS) -> C:
    """One section, checked. A dotted name (`zoo.gru4rec`) goes down. ParamsError names the key and what is allowed."""
    values: Any = read(path)
    for depth, part in enumerate(name.split(".")):
        if not isinstance(values, dict) or part not in values:
            known = nearest(part, values) if isinstance(values, dict) else "no keys at all"
            where = f"params.yaml: {'.'.join(name.split('.')[: depth + 1])}"
            raise ParamsError(f"section {name!r} is missing", where, known)
        values = values[part]
    return validate(name, kind, values)


def validate(name: str, kind: type[C], values: Any) -> C:
    """The values as `kind`. ParamsError lists every wrong key with the value seen and the value allowed."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ParamsError(*_explain(name, kind, error)) from None


def _explain(name: str, kind: type[Config], error: ValidationError) -> tuple[str, str, str]:
    lines, steps = [], []
    for problem in error.errors():
        key = ".".join(filter(None, (name, *(str(part) for part in problem["loc"]))))
        if problem["type"] == "extra_forbidden":
            lines.append(f"{key}: there is no such setting")
            steps.append(nearest(str(problem["loc"][-1]), _siblings(kind, problem["loc"])))
        elif problem["type"] == "missing":
            lines.append(f"{key}: not set")
            steps.append(f"add {key} to params.yaml")
        else:
            lines.append(f"{key} = {problem['input']!r}: {problem['msg']}")
            steps.append(f"correct {key}; its type and bounds stand in params.schema.json")
    what = f"{len(lines)} wrong setting{'s' * (len(lines) > 1)} in {f'section {name!r}' if name else 'params.yaml'}"
    return what, "params.yaml: " + "\n         ".join(lines), "\n         ".join(dict.fromkeys(steps))


def _siblings(kind: type[Config], location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields beside the one at `location`."""
    for part in location[:-1]:
        annotation = kind.model_fields[str(part)].annotation if str(part) in kind.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, Config)):
            return []
        kind = annotation
    return list(kind.model_fields)
