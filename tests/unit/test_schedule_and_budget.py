"""Budgets, schedules and counts: the arithmetic that the search steers by."""

import json
import re
from dataclasses import replace
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapt.bounds import BOUNDS
from adapt.budget import Budget, Share, parse_limit, resolve
from adapt.errors import AdaptError, ScheduleTooShort
from adapt.graph.pruning import ChannelGroup, Slice
from adapt.presets import PRESETS, effective_settings, settings_from_document, settings_to_document, unread
from adapt.reach import Bundle, bundles, smaller_counts, smallest_counts
from adapt.schedule import check_reaches, estimate_iterations, tighten
from adapt.spec import RESOURCES, GroupLimits, Reward, Settings, Step, derive_seed


def group(channels: int, *, name: str = "features.0", multiple: int = 1, prunable: bool = True) -> ChannelGroup:
    each = tuple((channel,) for channel in range(channels))
    return ChannelGroup(
        id=name,
        kind="plain",
        layers=(name,),
        channels=channels,
        slices=(Slice(tensor=f"{name}.weight", axis=0, positions=each, filters=True),),
        prunable=prunable,
        reason=None if prunable else "it makes the classes",
        channel_multiple=multiple,
    )


def alone(channels: int, **values) -> Bundle:
    return Bundle(groups=(group(channels, **values),))


def test_a_limit_is_a_number_or_a_percentage():
    assert parse_limit("60%") == Share(0.6)
    assert parse_limit(8) == 8.0
    with pytest.raises(ValueError, match="neither a number nor a percentage"):
        parse_limit("sixty")


def test_the_furthest_resource_comes_first():
    budget = Budget(limits={"macs": 50.0, "params": 10.0})
    assert budget.unmet({"macs": 60.0, "params": 30.0}) == ("params", "macs")
    assert budget.unmet({"macs": 60.0, "params": 10.0}) == ("macs",)


def test_the_margin_is_for_what_is_measured_alone():
    budget = Budget(limits={"latency_ms": 10.0, "macs": 50.0}, margins={"latency_ms": 0.02})
    assert budget.aim("latency_ms") == pytest.approx(9.8)
    assert budget.aim("macs") == 50.0


def test_shares_are_taken_of_the_original():
    original = {"latency_ms": 10.0, "macs": 200.0}
    budget = resolve({"latency_ms": Share(0.6), "macs": 150.0}, original, original)
    assert budget.limits == {"latency_ms": 6.0, "macs": 150.0}


@given(
    current=st.floats(min_value=1.0, max_value=100.0),
    limit=st.floats(min_value=0.1, max_value=99.0),
    initial=st.floats(min_value=0.001, max_value=1.0),
    iteration=st.integers(min_value=1, max_value=500),
)
def test_a_schedule_never_overshoots_and_always_tightens(current, limit, initial, iteration):
    budget = Budget(limits={"macs": limit})
    if current <= limit:
        return
    schedule = {"macs": Step(initial=initial, decay=0.96, floor=0.005)}
    asked = {"original": {"macs": 100.0}, "current": {"macs": current}, "unmet": ("macs",)}
    constraint = tighten(budget, schedule, iteration, asked_to_fall=("macs",), **asked)["macs"]
    assert limit <= constraint < current
    assert tighten(budget, schedule, iteration, asked_to_fall=(), **asked)["macs"] == current


def test_a_met_resource_only_has_to_stay_within_its_budget():
    limits = tighten(
        Budget(limits={"macs": 50.0, "params": 10.0}),
        PRESETS["netadapt"].schedule,
        1,
        original={"macs": 100.0, "params": 20.0},
        current={"macs": 80.0, "params": 9.0},
        unmet=("macs",),
        asked_to_fall=("macs",),
    )
    assert limits == {"macs": 77.0, "params": 10.0}


def test_the_authors_default_schedule_is_refused_and_the_suggested_decay_is_enough():
    original = {"macs": 100.0}
    budget = Budget(limits={"macs": 25.0})
    with pytest.raises(ScheduleTooShort) as error:
        check_reaches(budget, {"macs": Step(initial=0.025, decay=0.96)}, original)
    assert error.value.reachable == pytest.approx(0.625)
    check_reaches(budget, {"macs": Step(initial=0.025, decay=error.value.decay)}, original)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_always_arrives(preset):
    schedule = PRESETS[preset].schedule
    check_reaches(Budget(limits={"macs": 1.0}), schedule, {"macs": 1e6})
    assert estimate_iterations(Budget(limits={"macs": 1.0}), schedule, {"macs": 1e6}) < 300


def test_smaller_counts_are_multiples_largest_first():
    settings = Settings(round_channels_to=8, min_channels=16)
    assert smaller_counts(alone(60), 60, settings) == [56, 48, 40, 32, 24, 16]
    assert smaller_counts(alone(60), 16, settings) == []
    assert smaller_counts(alone(60, multiple=12), 60, settings) == [48, 24]


@pytest.mark.parametrize(("share", "least"), [(0.0, 100), (0.29, 71), (0.7, 30), (0.9, 10), (1.0, 1)])
def test_the_largest_share_removed_is_exact(share, least):
    settings = Settings(round_channels_to=1, min_channels=1, max_removed=share)
    assert smallest_counts([group(100)], settings) == {"features.0": least}
    assert (
        smaller_counts(alone(100), 100, replace(settings, largest_share=0.1)) == list(range(99, 89, -1))[: 100 - least]
    )


def test_of_several_patterns_the_strictest_holds_and_each_stands_in_for_the_settings_own():
    groups = [group(64, name=f"features.{index}") for index in range(3)]
    settings = Settings(
        min_channels=16,
        max_removed=0.5,
        group_limits={
            "features.0": GroupLimits(max_removed=0.9),
            "features.[01]": GroupLimits(min_channels=24),
            "*.1": GroupLimits(min_channels=40),
        },
    )
    assert smallest_counts(groups, settings) == {"features.0": 24, "features.1": 40, "features.2": 32}


def test_groups_that_shrink_together_visit_the_counts_that_all_of_them_may_have():
    settings = Settings(
        proposals="paper", round_channels_to=8, group_limits={"features.1": GroupLimits(min_channels=20)}
    )
    groups = [
        replace(group(48, name="features.0", multiple=16), kind="bottleneck"),
        replace(group(48, name="features.1"), kind="bottleneck"),
        replace(group(48, name="features.2"), kind="expansion"),
        replace(group(32, name="features.3"), kind="bottleneck"),
        group(48, name="features.4"),
    ]
    found = bundles(groups, settings)
    assert [(bundle.id, bundle.further) for bundle in found] == [
        ("features.0", ("features.1",)),
        ("features.2", ()),
        ("features.3", ()),
    ]
    assert smaller_counts(found[0], 48, settings) == [32]
    assert smallest_counts(groups, settings) == {
        "features.0": 32, "features.1": 32, "features.2": 8, "features.3": 8, "features.4": 48
    }  # fmt: skip
    alone_now = bundles(groups, replace(settings, exclude=("features.1",)))
    assert {bundle.further for bundle in alone_now} == {()}


@given(
    current=st.integers(min_value=1, max_value=600),
    rounding=st.integers(min_value=1, max_value=64),
    least=st.integers(min_value=1, max_value=64),
    share=st.sampled_from([0.01, 0.3, 0.5]),
    removed=st.floats(min_value=0, max_value=1),
)
def test_a_share_at_a_time_reaches_the_smallest_count(current, rounding, least, share, removed):
    settings = Settings(round_channels_to=rounding, min_channels=least, largest_share=share, max_removed=removed)
    one = alone(current)
    count = current
    while counts := smaller_counts(one, count, settings):
        assert all(n < count and n % rounding == 0 and n >= least for n in counts)
        assert counts[-1] >= count * (1 - share) - 1e-6 or counts == [(count - 1) // rounding * rounding]
        assert counts[-1] >= current * (1 - removed) - 1e-6
        count = counts[-1]
    assert smallest_counts(one.groups, settings)[one.id] == count


def test_include_and_exclude_are_globs_on_layer_names():
    groups = [group(8, name="features.0"), group(8, name="features.1"), group(8, name="head", prunable=False)]
    chosen = bundles(groups, Settings(include=("features.*",), exclude=("*.1",)))
    assert [one.id for one in chosen] == ["features.0"]


def test_explicit_settings_override_the_preset_and_survive_the_record():
    settings = effective_settings(
        {
            "preset": "mobilenetv3",
            "short_term_steps": 7,
            "schedule": {"macs": {"initial": 0.2, "decay": 0.9}},
            "include": ["a.*"],
            "reward": {"alpha": 0.0, "beta": -1.0},
            "group_limits": {"a.*": {"min_channels": 16}, "b": {"max_removed": 0.5}},
        }
    )
    assert settings.pick == "best-slope"
    assert settings.short_term_steps == 7
    assert settings.reward == Reward(alpha=0.0, beta=-1.0)
    assert settings.schedule["macs"] == Step(initial=0.2, decay=0.9)
    assert settings.schedule["params"] == PRESETS["mobilenetv3"].schedule["params"]
    assert settings.group_limits == {"a.*": GroupLimits(min_channels=16), "b": GroupLimits(max_removed=0.5)}
    assert settings_from_document(json.loads(json.dumps(settings_to_document(settings)))) == settings
    assert set(settings.schedule) == set(RESOURCES)


def test_of_a_step_and_its_decay_the_one_left_out_is_the_presets():
    one = effective_settings({"preset": "quick", "schedule": {"initial": 0.05}})
    assert one.schedule == dict.fromkeys(RESOURCES, Step(initial=0.05, decay=0.96))
    by_resource = effective_settings({"preset": "quick", "schedule": {"macs": {"decay": 1.0}}})
    assert by_resource.schedule["macs"] == Step(initial=0.1, decay=1.0)
    assert by_resource.schedule["params"] == PRESETS["quick"].schedule["params"]


def test_settings_of_a_choice_that_was_not_made_are_said_not_to_be_read():
    idle = {"race": {"picks": 3}, "reward": {"alpha": 0.0}, "distill_temperature": 2.0}
    assert list(unread(effective_settings(idle))) == [
        "not read, since search is exact and not racing: race",
        "not read, since pick is highest-accuracy and not mnasnet-reward: reward",
        "not read, since distill is false and not true: distill_temperature",
    ]
    made = idle | {"search": "racing", "pick": "mnasnet-reward", "distill": True}
    assert list(unread(effective_settings(made))) == []
    assert all(list(unread(preset)) == [] for preset in PRESETS.values())


@pytest.mark.parametrize(("name", "there_is"), [("importance", "'taylor'"), ("pick", "'best-slope'")])
def test_a_word_that_is_none_of_a_settings_is_refused_with_those_that_are(name, there_is):
    with pytest.raises(AdaptError, match=f"^{name}: 'other' is not one of .*{there_is}"):
        effective_settings({name: "other"})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"distill_weight": 2}, "distill_weight: 2 has to be at least 0 and at most 1"),
        ({"momentum": 1.0}, "momentum: 1.0 has to be at least 0 and below 1"),
        ({"learning_rate": float("nan")}, "learning_rate: nan is not a finite number"),
        ({"short_term_steps": 2.5}, "short_term_steps: 2.5 is not a whole number"),
        ({"short_term_steps": True}, "short_term_steps: True is not a whole number"),
        ({"round_channels_to": "8"}, "round_channels_to: '8' is not a whole number or 'auto'"),
        ({"round_channels_to": 0}, "round_channels_to: 0 has to be at least 1 and at most 1024"),
        ({"distill": "yes"}, "distill: 'yes' is not True or False"),
        ({"include": "features.*"}, "include: 'features.*' is not a list of texts"),
        ({"race": {"picks": 0}}, "race.picks: 0 has to be at least 1 and at most 8"),
        ({"race": {"pick": 1}}, "race.pick: there is no such setting; is it picks?"),
        ({"race": 2}, "race: 2 is not a mapping of standard_errors, rest, picks"),
        ({"reward": {"alpha": -1e6}}, "reward.alpha: -1000000.0 has to be at least -10 and at most 0"),
        ({"group_limits": {"a.*": {"max_removed": 3}}}, "group_limits.a.*.max_removed: 3 has to be at least 0 and"),
        ({"group_limits": 3}, "group_limits: 3 is not a mapping"),
        ({"schedule": {"initial": 0.1, "floor": 0.0}}, "schedule: {'initial': 0.1, 'floor': 0.0} is not of the form"),
        ({"schedule": {"macs": {"initial": 2, "decay": 1}}}, "schedule.macs.initial: 2 has to be at least 0.0001 and"),
        ({"preset": "fast"}, "preset: 'fast' is not one of 'netadapt', 'mobilenetv3', 'quick'"),
        ({"learning_rte": 0.1}, "learning_rte: there is no such setting; is it learning_rate?"),
    ],
)
def test_what_a_setting_cannot_be_is_refused_by_name(settings, told):
    with pytest.raises(AdaptError, match=f"^{re.escape(told)}"):
        effective_settings(settings)


def test_the_largest_seed_is_one():
    assert effective_settings({"seed": 2**63 - 1}).seed == 2**63 - 1


def test_every_number_among_the_settings_has_bounds():
    for kind, bounds in BOUNDS.items():
        floors = {"floor"} if kind is Step else set()  # the presets' own
        numbers = {name for name, hint in get_type_hints(kind).items() if re.search(r"\b(int|float)\b", str(hint))}
        assert numbers - floors == set(bounds), kind


def test_training_from_scratch_for_no_epoch_is_refused():
    with pytest.raises(AdaptError, match=r"^final: from-scratch trains for long_term_epochs"):
        effective_settings({"final": "from-scratch", "long_term_epochs": 0})


def test_seeds_depend_on_every_part_and_on_nothing_else():
    assert derive_seed(0, 1, "a") == derive_seed(0, 1, "a")
    assert len({derive_seed(0, 1, "a"), derive_seed(1, 1, "a"), derive_seed(0, 2, "a"), derive_seed(0, 1, "b")}) == 4
