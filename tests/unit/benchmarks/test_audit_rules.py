"""The audit finds what it is there to find: a sound record passes, and each single lie in it is named."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from benchmarks.audit_rules import Record, violations

Parts = dict[str, Any]


def proposal(iteration: int, group: str, *, before: int, after: int, macs: float, accuracy: float) -> dict[str, Any]:
    start, control = {1: (1000.0, 0.95), 2: (880.0, 0.94)}[iteration]
    step = {"filters": after + 8, "predicted": {"macs": macs + 50.0}} if after + 8 < before else None
    delta = accuracy - control
    return {
        "id": f"prp_{iteration}{group}", "iteration": iteration, "group": group, "state": "evaluated",
        "filters_before": before, "filters_after": after, "predicted": {"macs": macs}, "next_larger": step,
        "kept": list(range(after)), "accuracy": accuracy, "loss": 0.5, "delta_accuracy": delta,
        "slope": delta / ((start - macs) / start), "picked": False, "reason": "below", "steps": 4,
    }  # fmt: skip


def sound_parts() -> Parts:
    """Two groups, two iterations of 10 % each to a budget of 80 %: the first pick is a, the second b."""
    proposals = [
        proposal(1, "a", before=32, after=16, macs=880.0, accuracy=0.93),
        proposal(1, "b", before=16, after=8, macs=890.0, accuracy=0.90),
        proposal(2, "a", before=16, after=8, macs=790.0, accuracy=0.80),
        proposal(2, "b", before=16, after=8, macs=770.0, accuracy=0.91),
    ]
    for picked in (proposals[0], proposals[3]):
        picked["picked"], picked["reason"] = True, None
    iterations = [
        {"iteration": 1, "constraint": {"macs": 900.0}, "before": {"macs": 1000.0}, "after": {"macs": 880.0},
         "control": {"accuracy": 0.95, "loss": 0.4}, "picked": ["prp_1a"]},
        {"iteration": 2, "constraint": {"macs": 800.0}, "before": {"macs": 880.0}, "after": {"macs": 770.0},
         "control": {"accuracy": 0.94, "loss": 0.4}, "picked": ["prp_2b"]},
    ]  # fmt: skip
    return {
        "job": {
            "budget": {"macs": "80%"}, "limits": {"macs": 800.0}, "original": {"macs": 1000}, "result": {"macs": 770},
            "settings": {
                "round_channels_to": 8, "min_channels": 8, "largest_share": 0.5, "short_term_steps": 4,
                "pick": "highest-accuracy", "schedule": {"macs": {"initial": 0.1, "decay": 1.0, "floor": 0.0}},
            },
        },
        "model": {
            "groups": [
                {"id": "a", "kind": "plain", "layers": ["a"], "channels": 32, "prunable": True},
                {"id": "b", "kind": "plain", "layers": ["b"], "channels": 16, "prunable": True},
                {"id": "head", "kind": "linear", "layers": ["head"], "channels": 10, "prunable": False},
            ]
        },
        "iterations": iterations,
        "proposals": proposals,
        "checkpoints": [
            {"checkpoint": "0", "kind": "original", "iteration": 0, "filters": {"a": 32, "b": 16}},
            {"checkpoint": "1", "kind": "pick", "iteration": 1, "filters": {"a": 16, "b": 16}},
            {"checkpoint": "2", "kind": "pick", "iteration": 2, "filters": {"a": 16, "b": 8}},
            {"checkpoint": "final", "kind": "final", "iteration": 2, "filters": {"a": 16, "b": 8}},
        ],
        "events": [{"id": number, "event": "phase", "data": {}} for number in (1, 2, 3)],
    }  # fmt: skip


def found(parts: Parts) -> list[str]:
    return violations(Record(**parts))


def test_a_sound_record_passes() -> None:
    assert found(sound_parts()) == []


def test_a_record_that_picks_by_reward_is_judged_by_the_share_of_the_budget() -> None:
    parts = sound_parts()
    parts["job"]["settings"] |= {"pick": "mnasnet-reward", "reward": {"alpha": 0.0, "beta": -1.0}}
    assert found(parts) == []
    parts["proposals"][1]["predicted"]["macs"] = 820.0  # .90 x (820 / 800)^-1 = .878, above .93 x (880 / 800)^-1 = .845
    assert any("the rule's best is prp_1b" in text for text in found(parts))


def test_a_sound_record_of_the_papers_proposals_passes_and_a_group_left_behind_is_named() -> None:
    parts = sound_parts()
    parts["job"]["settings"]["proposals"] = "paper"
    a, b, head = parts["model"]["groups"]
    twin = {**b, "id": "c", "layers": ["c"], "kind": "bottleneck"}
    parts["model"]["groups"] = [{**a, "kind": "expansion"}, {**b, "kind": "bottleneck"}, twin, head]
    for checkpoint in parts["checkpoints"]:
        checkpoint["filters"]["c"] = checkpoint["filters"]["b"]
    for each in parts["proposals"]:
        each["further"] = {"c": list(each["kept"])} if each["group"] == "b" else {}
    assert found(parts) == []
    parts["proposals"][3]["further"] = {}
    assert any("shrinks ['b']" in text for text in found(parts))
    parts["proposals"][3]["further"] = {"c": [0, 1, 2]}
    assert any("keeps 3 filters of c" in text for text in found(parts))


def test_what_the_settings_leave_alone_needs_no_proposal_and_a_limit_that_is_passed_is_named() -> None:
    parts = sound_parts()
    parts["job"]["settings"] |= {"exclude": ["x"], "max_removed": 0.5, "group_limits": {"a": {"max_removed": 0.8}}}
    assert found(parts) == []
    parts["job"]["settings"]["group_limits"] = {}
    assert any("32" not in text and "no step of the rounding" in text for text in found(parts))
    excluding = sound_parts()
    excluding["job"]["settings"]["exclude"] = ["a"]
    assert any("prunable are ['b']" in text for text in found(excluding))


def swap_pick(parts: Parts) -> None:
    first, second = parts["proposals"][:2]
    first["picked"], second["picked"] = False, True
    parts["iterations"][0]["picked"] = ["prp_1b"]


LIES: dict[str, tuple[Callable[[Parts], None], str]] = {
    "a group without a proposal": (lambda p: p["proposals"].pop(1), "prunable are"),
    "a group with two proposals": (lambda p: p["proposals"].append(deepcopy(p["proposals"][0])), "prunable are"),
    "a count of no rounding": (lambda p: p["proposals"][3].update(filters_after=9), "no step of the rounding"),
    "too large a share at once": (lambda p: p["proposals"][0].update(filters_after=8), "no step of the rounding"),
    "a missed constraint": (lambda p: p["proposals"][0]["predicted"].update(macs=901.0), "misses its constraint"),
    "a larger count that meets": (
        lambda p: p["proposals"][0]["next_larger"]["predicted"].update(macs=899.0),
        "would have met the constraint too",
    ),
    "a step left out": (lambda p: p["proposals"][0]["next_larger"].update(filters=28), "the next larger count is 24"),
    "nothing larger looked at": (lambda p: p["proposals"][0].update(next_larger=None), "never looked at"),
    "another pick": (swap_pick, "the rule's best is prp_1a"),
    "no training": (lambda p: p["proposals"][2].update(steps=0), "trained for 0 steps"),
    "a filter kept twice": (lambda p: p["proposals"][2].update(kept=[0, 1, 2, 3, 4, 5, 6, 6]), "keeps 8 filters"),
    "a filter from elsewhere": (lambda p: p["proposals"][2].update(kept=[0, 1, 2, 3, 4, 5, 6, 16]), "keeps 8 filters"),
    "a wrong delta": (lambda p: p["proposals"][2].update(delta_accuracy=0.0), "the figures give"),
    "a wrong slope": (lambda p: p["proposals"][2].update(slope=0.0), "the figures give"),
    "a tighter constraint": (lambda p: p["iterations"][0]["constraint"].update(macs=895.0), "its schedule says"),
    "a looser constraint": (lambda p: p["iterations"][0]["constraint"].update(macs=950.0), "its schedule says"),
    "a jump between iterations": (lambda p: p["iterations"][1]["before"].update(macs=870.0), "does not begin where"),
    "a missing iteration": (lambda p: p["iterations"].pop(0), "numbered"),
    "another start": (lambda p: p["proposals"][2].update(filters_before=24), "the picks left another number"),
    "another checkpoint": (lambda p: p["checkpoints"][2]["filters"].update(b=16), "checkpoint 2 has other filters"),
    "a lost event": (lambda p: p["events"].pop(1), "gaps"),
    "no reason": (lambda p: p["proposals"][1].update(reason=None), "no reason is given"),
    "a result over the budget": (lambda p: p["job"]["result"].update(macs=801), "the limit 800"),
}


@pytest.mark.parametrize("lie", LIES)
def test_each_lie_is_named(lie: str) -> None:
    change, said = LIES[lie]
    parts = sound_parts()
    change(parts)
    assert any(said in text for text in found(parts)), found(parts)


def racing_parts() -> Parts:
    """The same by races of 4 steps, with rungs at 1 and 2: b leaves the first one at its first rung and rests, so a is
    picked once more."""
    parts = sound_parts()
    parts["job"]["settings"] |= {"search": "racing", "race": {"standard_errors": 2.0, "rest": 1, "picks": 1}}
    for each in parts["proposals"]:
        each |= {"rung": None, "behind": None}
    first, rests = parts["proposals"][1], parts["proposals"][3]
    first |= {"state": "raced-out", "rung": 1, "steps": 1, "behind": 0.03}
    rests |= {"state": "raced-out", "rung": 0, "steps": 0, "accuracy": None, "picked": False, "reason": "rests"}
    parts["proposals"][2] |= {"picked": True, "reason": None}
    parts["iterations"][1] |= {"picked": ["prp_2a"], "after": {"macs": 790.0}}
    parts["job"]["result"] = {"macs": 790}
    for checkpoint in parts["checkpoints"][2:]:
        checkpoint["filters"] = {"a": 8, "b": 16}
    return parts


def test_a_sound_record_of_races_passes() -> None:
    assert found(racing_parts()) == []


def test_several_picks_of_a_race_pass_when_the_best_is_among_them() -> None:
    parts = racing_parts()
    parts["job"]["settings"]["race"]["picks"] = 2
    parts["iterations"].pop()
    parts["proposals"], parts["checkpoints"] = parts["proposals"][:2], parts["checkpoints"][:2]
    both = parts["proposals"]
    both[1] |= {"state": "evaluated", "rung": None, "behind": None, "steps": 4, "picked": True, "reason": None}
    parts["iterations"][0] |= {"picked": ["prp_1a", "prp_1b"], "after": {"macs": 790.0}}
    parts["checkpoints"][1]["filters"] = {"a": 16, "b": 8}
    assert found(parts) == []
    both[0]["picked"], parts["iterations"][0]["picked"] = False, ["prp_1b"]
    assert any("the rule's best is prp_1a" in text for text in found(parts))


RACING_LIES: dict[str, tuple[Callable[[Parts], None], str]] = {
    "steps of another rung": (lambda p: p["proposals"][1].update(steps=2), "left at rung 1 after 2 steps"),
    "a rung that is none": (lambda p: p["proposals"][1].update(rung=3), "left at rung 3"),
    "no distance": (lambda p: p["proposals"][1].update(behind=None), "None behind the best"),
    "a rest that never ends": (lambda p: p["job"]["settings"]["race"].update(rest=0), "was not let in for 1"),
    "nobody left": (
        lambda p: p["proposals"][1].update(state="evaluated", rung=None, steps=4, behind=None),
        "0 of 2 left the race",
    ),
    "a race in an exact search": (lambda p: p["job"]["settings"].update(search="exact"), "is raced-out"),
}


@pytest.mark.parametrize("lie", RACING_LIES)
def test_each_lie_about_a_race_is_named(lie: str) -> None:
    tell, named = RACING_LIES[lie]
    parts = racing_parts()
    tell(parts)
    assert any(named in text for text in found(parts)), found(parts)
