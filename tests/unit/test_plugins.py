"""What other packages add: found by their names, blamed by name for their faults, and no more than that."""

import logging
import math
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from adapt.added_resources import added_meters
from adapt.errors import MeasurementFailed, PluginAbsent, PluginFailed
from adapt.importance import find_criterion
from adapt.latency.runtimes.choice import RuntimeChoice
from adapt.latency.runtimes.opening import open_runtime
from adapt.plugins import load_plugin, names
from adapt.presets import effective_settings
from app.jobs.settings_schema import SettingsIn
from app.targets.schemas import read_new_target
from tests.plugin_package import install
from tests.unit.test_importance import GROUP, subject

MODULE = """
import sys
import numpy as np
from adapt.events import Figure
from adapt.latency.conditions import conditions_here

answer = None
def judge(group, subject): return answer
def leave(group, subject): sys.exit(3)

class Meter:
    unit, margin = "u", 0.0
    def predict(self, graph): return answer
    def measure(self, key, network, effort): return Figure(value=1.0, low=2.0, high=3.0)

class Session:
    def time_ms(self, repeats): return answer
    def close(self): pass

class Runtime:
    def __init__(self, choice): self.conditions = conditions_here(choice, "1")
    def load(self, file): return Session()
    def profile(self, file, repeats): raise KeyError("n7")

def other_conditions(choice):
    from dataclasses import replace
    return Runtime(replace(choice, threads=7))
"""
ENTRIES = {
    "netadapt.importances": {
        "judged": "tiny:judge",
        "leaving": "tiny:leave",
        "gone": "tiny:nothing_of_this_name",
        "absent-module": "nowhere:judge",
        "number": "tiny:answer",
        "l2": "tiny:judge",
        "Loud": "tiny:judge",
    },
    "netadapt.resources": {"units": "tiny:Meter", "peak_memory_bytes": "tiny:Meter"},
    "netadapt.runtimes": {"fake": "tiny:Runtime", "other": "tiny:other_conditions"},
    "somebody.elses": {"thing": "tiny:judge"},
}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The module of the package, of which `answer` says what everything in it answers."""
    monkeypatch.syspath_prepend(install(tmp_path, "tiny", MODULE, ENTRIES))
    monkeypatch.delitem(sys.modules, "tiny", raising=False)
    return import_module("tiny")


def test_names_come_after_ours_and_settings_and_targets_take_them(tiny) -> None:
    assert names("importance")[:2] == ("l1", "l2")
    assert names("importance")[-5:] == ("absent-module", "gone", "judged", "leaving", "number")
    assert names("resource")[-1] == "units"
    assert effective_settings({"importance": "judged"}).importance == "judged"
    assert SettingsIn(importance="judged").effective().importance == "judged"
    assert "judged" in SettingsIn.model_json_schema()["properties"]["importance"]["anyOf"][0]["enum"]
    assert read_new_target({"kind": "local", "runtime": "fake", "provider": "anything"}).runtime == "fake"


def test_names_that_are_ours_or_ill_formed_are_left_out_and_the_log_says_so(
    tiny, monkeypatch, tmp_path, caplog
) -> None:
    monkeypatch.syspath_prepend(tmp_path)  # another search path, which is looked through anew
    with caplog.at_level(logging.WARNING):
        assert "Loud" not in names("importance")
    told = "\n".join(caplog.messages)
    assert "importance 'l2' of tiny 1.0 is left out: the name is ours" in told
    assert "importance 'Loud' of tiny 1.0 is left out: names begin with a-z" in told
    assert "resource 'peak_memory_bytes' of tiny 1.0 is left out" in told


def test_an_unknown_name_is_refused_with_those_that_there_are(tiny) -> None:
    with pytest.raises(
        PluginAbsent, match=r"importance: 'unheard-of' is not one of 'l1', .*'judged'.* installed beside"
    ):
        find_criterion("unheard-of")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("gone", "cannot be imported .tiny:nothing_of_this_name.: AttributeError"),
        ("absent-module", "cannot be imported .nowhere:judge.: ModuleNotFoundError: No module named 'nowhere'"),
        ("number", "tiny:answer is no function or class, but NoneType"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_package(tiny, name: str, why: str) -> None:
    with pytest.raises(PluginFailed, match=rf"importance '{name}', which tiny 1.0 adds: {why}"):
        load_plugin("importance", name)


def test_a_package_that_cannot_be_read_spoils_nothing_else(tiny, tmp_path, monkeypatch, caplog) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    monkeypatch.syspath_prepend(install(broken, "broken", "", "[netadapt.importances]\nno equals sign\n"))
    with caplog.at_level(logging.WARNING):
        assert "judged" in names("importance")
    assert any("the entry points of broken cannot be read" in message for message in caplog.messages)


def test_two_packages_with_one_name_are_both_named(tiny, tmp_path, monkeypatch) -> None:
    second = tmp_path / "second"
    second.mkdir()
    monkeypatch.syspath_prepend(
        install(second, "second", "def judge(): ...", {"netadapt.importances": {"judged": "second:judge"}})
    )
    with pytest.raises(
        PluginFailed, match=r"'judged', which second 1.0 and tiny 1.0 adds: each brings one of this name"
    ):
        load_plugin("importance", "judged")
    assert load_plugin("importance", "leaving").package == "tiny 1.0"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ([1.0], r"an array of shape \[1\]"),
        ([1.0, 2.0, 3.0, math.nan], "some that are not finite"),
        ("abcd", "judging the channels of group .*: ValueError"),
    ],
)
def test_a_criterion_that_answers_something_else_is_told_with_the_group(tiny, answer, found) -> None:
    tiny.answer = answer
    with pytest.raises(PluginFailed, match=rf"'judged', which tiny 1.0 adds: .*{found}"):
        find_criterion("judged")(GROUP, subject())


def test_a_criterion_is_given_the_group_and_its_figures_are_taken(tiny) -> None:
    tiny.answer = [4, 3, 2, 1]
    np.testing.assert_array_equal(find_criterion("judged")(GROUP, subject()), [4.0, 3.0, 2.0, 1.0])


def test_a_criterion_cannot_end_the_process(tiny) -> None:
    with pytest.raises(PluginFailed, match=r"judging the channels of group .*: SystemExit: 3"):
        find_criterion("leaving")(GROUP, subject())


def test_a_meter_that_answers_something_else_is_told(tiny) -> None:
    meter = added_meters(["macs", "units"])["units"]
    with pytest.raises(
        PluginFailed, match=r"resource 'units', which tiny 1.0 adds: it measured 1.0 between 2.0 and 3.0"
    ):
        meter.measure("0", None)
    tiny.answer = 0.0
    with pytest.raises(PluginFailed, match=r"it predicts 0.0; it has to be above zero"):
        meter.predict(None)


def test_the_faults_of_a_runtime_are_told_as_a_measurement_that_failed(tiny) -> None:
    runtime = open_runtime(RuntimeChoice(runtime="fake", provider="cpu"))
    with pytest.raises(
        MeasurementFailed, match=r"runtime 'fake', which tiny 1.0 adds: it cannot profile: KeyError: 'n7'"
    ):
        runtime.profile(b"", 1)
    session = runtime.load(b"")
    for answer, why in ((None, "a run failed: TypeError"), ([1.0], "2 runs were asked for"), ([1, math.nan], "2 runs")):
        tiny.answer = answer
        with pytest.raises(MeasurementFailed, match=why):
            session.time_ms(2)
    tiny.answer = [1, 2]
    assert session.time_ms(2) == [1.0, 2.0]
    with pytest.raises(MeasurementFailed, match=r"asked for threads 1, it would measure with 7"):
        open_runtime(RuntimeChoice(runtime="other", provider="cpu"))
    with pytest.raises(MeasurementFailed, match=r"runtime: 'unheard-of' is not one of 'onnxruntime', "):
        open_runtime(RuntimeChoice(runtime="unheard-of", provider="cpu"))
