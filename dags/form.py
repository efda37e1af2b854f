"""params.schema.json + params.yaml -> the trigger form: one typed field for each setting, with help and bounds."""

import json
import os
from pathlib import Path
from typing import Any

import yaml
from airflow.sdk import Param

ROOT = Path(__file__).resolve().parents[1]
FIRST = ("models", "events.source", "workspace.raw", "gate.review")
"""What most runs change stands on top; the rest is folded by section."""


def params() -> dict[str, Param]:
    """Every setting as an Airflow Param, keyed by its dotted name; defaults are the values of params.yaml."""
    schema = json.loads((ROOT / "params.schema.json").read_text())
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    fields = dict(_fields(schema, schema["$defs"], values, ()))
    return {key: fields[key] for key in sorted(fields, key=lambda key: FIRST.index(key) if key in FIRST else len(FIRST))}


def only(*keys: str) -> dict[str, Param]:
    """Some of the settings."""
    every = params()
    return {key: every[key] for key in keys}


def version() -> Param:
    """A registered version, picked from the list that the watcher keeps in NEXTCLICK_VAR/versions.json."""
    path = Path(os.environ["NEXTCLICK_VAR"]) / "versions.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    if not rows:
        return Param(type="integer", title="version", description="No version is registered yet.")
    labels = {str(row["version"]): row["label"] for row in rows}
    listed = [row["version"] for row in rows]
    return Param(type="integer", enum=listed, values_display=labels, title="version", description="Of the model registry.")


def _fields(schema: dict[str, Any], definitions: dict[str, Any], values: dict[str, Any], path: tuple[str, ...]):
    for name, field in schema["properties"].items():
        kind = _resolve(field, definitions)
        here = (*path, name)
        if "properties" in kind and values.get(name) is not None:
            yield from _fields(kind, definitions, values[name], here)
        elif name in values:
            yield ".".join(here), _param(kind, values[name], here)


def _resolve(field: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The field with its `$ref` looked up, and with `anyOf [X, null]` as X or null."""
    if "$ref" in field:
        return {**definitions[field["$ref"].rpartition("/")[2]], **{key: value for key, value in field.items() if key != "$ref"}}
    if "anyOf" in field:
        options = [_resolve(option, definitions) for option in field["anyOf"]]
        merged = {key: value for option in reversed(options) for key, value in option.items()}
        types = [one for option in options for one in ([option["type"]] if isinstance(option["type"], str) else option["type"])]
        rest = {key: value for key, value in field.items() if key != "anyOf"}
        return {**merged, **rest, "type": list(dict.fromkeys(types))}
    return field


def _param(kind: dict[str, Any], value: Any, path: tuple[str, ...]) -> Param:
    keep = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern",
            "items", "minItems", "format")  # fmt: skip
    bounds = {key: kind[key] for key in keep if key in kind}
    if "enum" in bounds and "null" in bounds.get("type", []):
        bounds["enum"] = [*bounds["enum"], None]
    if bounds.get("type") == "array" and "enum" in bounds.get("items", {}):
        bounds["examples"] = bounds.pop("items")["enum"]  # Airflow shows a list to pick from
    if bounds.get("type") == "string" and value == "":
        bounds["type"], value = ["string", "null"], None  # Airflow's form refuses an empty string
    key = ".".join(path)
    section = None if key in FIRST else (f"zoo: {path[1]}" if path[0] == "zoo" and len(path) > 2 else path[0])
    return Param(value, title=key, description=kind.get("description"), section=section, **bounds)
