"""A field that takes a name of ours or of what an installed package adds: checked by the names, nothing is imported."""

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from adapt.plugins import Kind, names


@dataclass(frozen=True)
class NameOf:
    """Annotates a text. The names are those of the moment a request comes or the documentation is asked for."""

    kind: Kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": list(names(self.kind))}

    def _check(self, name: str) -> str:
        if name not in (there := names(self.kind)):
            raise ValueError(f"has to be one of {', '.join(map(repr, there))}")
        return name
