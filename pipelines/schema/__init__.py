"""schema: the types of all settings become params.schema.json, for the trigger form, the editor and the search.

in   the signatures of all stages and actions, the Config of every model
out  params.schema.json
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import MinLen
from pydantic import create_model

from models.core import registry
from pipelines import ACTIONS, STAGES, stage
from pipelines.params import Config, validate
from pipelines.stage import Report

SCHEMA = Path("params.schema.json")


def run() -> Report:
    """Write params.schema.json anew."""
    text = render()
    SCHEMA.write_text(text, encoding="utf-8")
    return Report(wrote={"settings": text.count('"description"')}, notes=[f"{SCHEMA}: {len(text):,} characters"])


@cache
def whole() -> type[Config]:
    """The type of the whole params.yaml, put together from where the types live."""
    model_name: Any = Literal[tuple(registry.names())]
    fields: dict[str, Any] = {"models": (Annotated[list[model_name], MinLen(1)], ...)}
    for name in (*STAGES, *ACTIONS):
        for section, kind in stage.sections(stage.find(name)).items():
            if isinstance(kind, type) and issubclass(kind, Config):
                fields.setdefault(section, (kind, ...))
    zoo: dict[str, Any] = {name: (registry.find(name).Config, ...) for name in registry.names()}
    fields["zoo"] = (create_model("Zoo", __base__=Config, __doc__="Settings of each model.", **zoo), ...)
    with warnings.catch_warnings():  # a section may be called as a method of pydantic's is: validate, register
        warnings.filterwarnings("ignore", message="Field name .* shadows an attribute")
        return create_model("Params", __base__=Config, __doc__="Every setting of a run.", **fields)


def check(values: dict[str, Any]) -> Config:
    """The whole of params.yaml against the types; ParamsError lists every wrong key."""
    return validate("", whole(), values)


def render() -> str:
    schema = whole().model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["models"]["description"] = "Models a run trains and compares; the best on validation is registered."
    return json.dumps(schema, indent=2) + "\n"
