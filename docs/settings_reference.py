"""The tables of docs/settings.md: what a job may set, and what whoever runs the service may."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from adapt.presets import PRESETS, settings_to_document
from app.jobs.settings_schema import GroupLimitsIn, RaceIn, RewardIn, SettingsIn, StepIn
from app.settings import Settings
from docs.json_schema import Schema, fields_table, in_words, table, without_null

HERE = Path(__file__).resolve().parent
OPERATING = "operating.md"
PARTS: Mapping[str, type[BaseModel]] = {
    "schedule": StepIn,
    "reward": RewardIn,
    "race": RaceIn,
    "group_limits": GroupLimitsIn,
}
FOLDER = "the data folder"


def job_settings() -> str:
    """Every key of a request's `settings`, what the presets change, and the keys of what is an object."""
    fields = SettingsIn.model_json_schema()["properties"]
    rows = [
        (f"`{name}`", _values(name, field), f"`{_default(name)}`", field.get("description"))
        for name, field in fields.items()
    ]
    parts = [
        f"### `{name}`\n\n{model.__doc__ or ''}\n\n{fields_table(model.model_json_schema())}"
        for name, model in PARTS.items()
    ]
    return "\n\n".join([table(["setting", "values", "default", "meaning"], rows), _presets(), *parts])


def service_settings() -> str:
    """Every environment variable with the section of operating.md that says what it is for."""
    fields = Settings.model_json_schema(mode="validation")["properties"]
    told = _sections()
    rows = [
        (f"`NETADAPT_{name.upper()}`", in_words(without_null(field)), _shown(name), told.get(name))
        for name, field in fields.items()
    ]
    return table(["setting", "values", "default", "told in"], rows)


def _values(name: str, field: Schema) -> str:
    return f"[below](#{name})" if name in PARTS else in_words(without_null(field))


def _default(name: str, preset: str = "netadapt") -> str:
    value = settings_to_document(PRESETS[preset])[name]
    if name == "schedule":  # the same for every resource
        value = {key: figure for key, figure in value["latency_ms"].items() if key != "floor"}
    return json.dumps(value)


def _presets() -> str:
    names = [name for name in asdict(PRESETS["netadapt"]) if name != "preset"]
    differing = [name for name in names if len({_default(name, preset) for preset in PRESETS}) > 1]
    rows = [(f"`{name}`", *(f"`{_default(name, preset)}`" for preset in PRESETS)) for name in differing]
    return "### `preset`\n\nWhat the presets do not agree on; what a request sets comes first.\n\n" + table(
        ["setting", *(f"`{preset}`" for preset in PRESETS)], rows
    )


def _shown(name: str) -> str:
    default: Any = Settings.model_fields[name].default
    if isinstance(default, tuple):
        return f"`{','.join(map(str, default))}`" if default else "none"
    if default == "":
        return f"in {FOLDER}" if name.endswith(("_url", "_dir")) else "none"
    return "none" if default is None else f"`{default}`"


def _sections() -> Mapping[str, str]:
    """Setting -> link to the section of operating.md that names it first."""
    told: dict[str, str] = {}
    for section in (HERE / OPERATING).read_text(encoding="utf-8").split("\n## ")[1:]:
        title = section.partition("\n")[0]
        anchor = re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for name in re.findall(r"\b(?:NETADAPT_([A-Z_]+[A-Z])|(max_[a-z_]+))\b", section):
            told.setdefault("".join(name).lower(), f"[{title}]({OPERATING}#{anchor})")
    return told
