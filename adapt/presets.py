"""Presets: named starting points for a job's settings; whatever a job sets itself overrides them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from difflib import get_close_matches
from typing import Any, TypeVar, get_type_hints

from adapt.bounds import check_types_and_bounds
from adapt.errors import AdaptError, PluginAbsent
from adapt.plugins import names
from adapt.spec import RESOURCES, GroupLimits, Race, Resource, Reward, Settings, Step

_Part = TypeVar("_Part", Reward, Race, GroupLimits)


def _for_every_resource(step: Step) -> Mapping[Resource, Step]:
    return dict.fromkeys(RESOURCES, step)


PRESETS: Mapping[str, Settings] = {
    # NetAdapt (Yang et al., 2018), section 4: first step 2.5-5 %, decayed by 0.96-0.98, highest accuracy.
    "netadapt": Settings(preset="netadapt"),
    # MobileNetV3 (Howard et al., 2019), section 4.2: 1 % of the original each time, best dAcc / |dLatency|.
    "mobilenetv3": Settings(
        preset="mobilenetv3",
        pick="best-slope",
        schedule=_for_every_resource(Step(initial=0.01, decay=1.0, floor=0.005)),
        largest_share=0.5,
    ),
    # Minutes instead of hours, for trying things out.
    "quick": Settings(
        preset="quick",
        schedule=_for_every_resource(Step(initial=0.1, decay=0.96, floor=0.005)),
        largest_share=0.5,
        short_term_steps=20,
        long_term_epochs=5,
        training_epochs=20,
        batch_size=64,
    ),
}

_BELONG = (
    ("search", "racing", ("race",)),
    ("pick", "mnasnet-reward", ("reward",)),
    ("distill", True, ("distill_temperature", "distill_weight")),
)


def effective_settings(requested: Mapping[str, Any]) -> Settings:
    """The preset named in `requested` (default: netadapt) with the other values put over it.

    `schedule` is one {"initial", "decay"} for every resource or a map of them by resource; an explicit one has no
    floor, and what it does not name, resource or figure, is the preset's. Raises AdaptError, naming the setting: for
    one that there is not, for what it cannot be, and for settings that exclude each other.
    """
    values = dict(requested)
    _check_names("", values, Settings)
    if (name := values.get("preset", "netadapt")) not in list(PRESETS):  # whatever it is: not all can be hashed
        raise AdaptError(f"preset: {name!r} is not one of {', '.join(map(repr, PRESETS))}")
    preset = PRESETS[name]
    if "schedule" in values:
        values["schedule"] = {**preset.schedule, **_explicit_schedule(values["schedule"], preset.schedule)}
    settings = replace(preset, **_as_held(values))
    check_types_and_bounds(settings)
    if settings.importance not in (there := names("importance")):
        raise PluginAbsent("importance", settings.importance, there)
    if settings.final == "from-scratch" and settings.long_term_epochs < 1:
        raise AdaptError("final: from-scratch trains for long_term_epochs, which are 0; at least 1 is needed")
    return settings


def unread(settings: Settings) -> Iterator[str]:
    """A line for each setting that differs from the default and belongs to a choice that was not made."""
    usual = Settings()
    for choice, made, belonging in _BELONG:
        idle = [name for name in belonging if getattr(settings, name) != getattr(usual, name)]
        if idle and getattr(settings, choice) != made:
            there_is = str(getattr(settings, choice)).lower()
            yield f"not read, since {choice} is {there_is} and not {str(made).lower()}: {', '.join(idle)}"


def settings_to_document(settings: Settings) -> dict[str, Any]:
    """Effective settings as JSON values: what a job echoes and what a worker reads back."""
    return {**asdict(settings), "include": list(settings.include), "exclude": list(settings.exclude)}


def settings_from_document(document: Mapping[str, Any]) -> Settings:
    """What `settings_to_document` wrote."""
    values = dict(document)
    values["schedule"] = {resource: Step(**step) for resource, step in values["schedule"].items()}
    return Settings(**_as_held(values))


def _as_held(values: dict[str, Any]) -> dict[str, Any]:
    """JSON's lists and objects as the settings hold them."""
    if "reward" in values:
        values["reward"] = _part("reward", values["reward"], Reward)
    if "race" in values:
        values["race"] = _part("race", values["race"], Race)
    for name in ("include", "exclude"):
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    if isinstance(limits := values.get("group_limits"), Mapping):
        values["group_limits"] = {
            glob: _part(f"group_limits.{glob}", each, GroupLimits) for glob, each in limits.items()
        }
    return values


def _explicit_schedule(value: Any, usual: Mapping[Resource, Step]) -> dict[Resource, Step]:
    if isinstance(value, Mapping) and not value.keys() & {"initial", "decay"}:
        like_latency = usual["latency_ms"]  # what no preset knows
        steps = {name: _step(f"schedule.{name}", each, usual.get(name, like_latency)) for name, each in value.items()}
        return {resource: steps[resource] for resource in sorted(steps, key=str)}
    return {resource: _step("schedule", value, usual[resource]) for resource in RESOURCES}


def _step(where: str, value: Any, usual: Step) -> Step:
    """What it leaves out is as in `usual`, but for the floor."""
    if not isinstance(value, Mapping) or not value or not value.keys() <= {"initial", "decay"}:
        raise AdaptError(f'{where}: {value!r} is not of the form {{"initial": 0.05, "decay": 0.96}}')
    return replace(usual, floor=0.0, **value)


def _part(where: str, value: Any, kind: type[_Part]) -> _Part:
    if not isinstance(value, Mapping):
        raise AdaptError(f"{where}: {value!r} is not a mapping of {', '.join(get_type_hints(kind))}")
    _check_names(f"{where}.", value, kind)
    return kind(**value)


def _check_names(where: str, values: Mapping[str, Any], kind: type) -> None:
    for name in values:
        if name not in (there := get_type_hints(kind)):
            near = get_close_matches(str(name), there, n=1)
            raise AdaptError(f"{where}{name}: there is no such setting{f'; is it {near[0]}?' if near else ''}")
