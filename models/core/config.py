"""A setting is a typed field: bounds in the type, unit and help in the docstring, search range in `Search`.

Values are in `params.yaml` only, so fields have no defaults. A field that came later has one, what its absence meant, so that a
champion trained before can still be read.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Config(BaseModel):
    """Typed settings: unknown names are refused, values are never changed, docstrings become help texts."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


@dataclass(frozen=True)
class Search:
    """The range a hyperparameter search may draw from; it stands in the schema as `x-search`."""

    low: int | float
    high: int | float
    log: bool = False

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        json_schema = handler(schema)
        json_schema["x-search"] = {"low": self.low, "high": self.high, "log": self.log}
        return json_schema
