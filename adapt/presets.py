"""Presets: named starting points for a job's settings; whatever a job sets itself overrides them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from adapt.errors import AdaptError, PluginAbsent
from adapt.plugins import names
from adapt.spec import RESOURCES, GroupLimits, Race, Resource, Reward, Settings, Step


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
    floor, and what it does not name, resource or figure, is the preset's. Types and bounds were checked by the caller.
    Raises AdaptError for a word that is none of a setting's and for settings that exclude each other, KeyError for an
    unknown preset, TypeError for an unknown key.
    """
    values = dict(requested)
    preset = PRESETS[values.get("preset", "netadapt")]
    if "schedule" in values:
        values["schedule"] = {**preset.schedule, **_explicit_schedule(values["schedule"], preset.schedule)}
    settings = replace(preset, **_as_held(values))
    _check_words(settings)
    if settings.final == "from-scratch" and settings.long_term_epochs < 1:
        raise AdaptError("final: from-scratch trains for long_term_epochs, which are 0; at least 1 is needed")
    return settings


def _check_words(settings: Settings) -> None:
    """Raises AdaptError, naming the setting and what there is."""
    for name, kind in get_type_hints(Settings).items():
        if get_origin(kind) is Literal and getattr(settings, name) not in get_args(kind):
            there_are = ", ".join(map(repr, get_args(kind)))
            raise AdaptError(f"{name}: {getattr(settings, name)!r} is not one of {there_are}")
    if settings.importance not in (there := names("importance")):
        raise PluginAbsent("importance", settings.importance, there)


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
        values["reward"] = Reward(**values["reward"])
    if "race" in values:
        values["race"] = Race(**values["race"])
    for name in ("include", "exclude"):
        if name in values:
            values[name] = tuple(values[name])
    if "group_limits" in values:
        values["group_limits"] = {glob: GroupLimits(**limits) for glob, limits in values["group_limits"].items()}
    return values


def _explicit_schedule(value: Mapping[str, Any], usual: Mapping[Resource, Step]) -> dict[Resource, Step]:
    pairs = dict.fromkeys(RESOURCES, value) if value.keys() & {"initial", "decay"} else value
    return {
        resource: replace(usual.get(resource, usual["latency_ms"]), floor=0.0, **pairs[resource])
        for resource in sorted(pairs)
    }
