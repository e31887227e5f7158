"""What is typed, as the API wants it."""

import pytest
import typer

from app.cli.arguments import budget_of, settings_of
from app.cli.connection import checked_url


def test_a_latency_is_a_number_of_milliseconds() -> None:
    assert budget_of("8", []) == {"latency_ms": 8.0}


def test_per_cents_stay_text_and_several_resources_go_together() -> None:
    assert budget_of("60%", ["params=2e6", "macs=50 %"]) == {"latency_ms": "60%", "params": 2e6, "macs": "50%"}


@pytest.mark.parametrize("text", ["params", "=3", "params=", "params=many", "params=nan", "params=inf%"])
def test_a_budget_that_is_none_is_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        budget_of(None, [text])


def test_no_budget_and_the_same_twice_are_wrong_usage() -> None:
    with pytest.raises(typer.BadParameter, match="give --latency-ms"):
        budget_of(None, [])
    with pytest.raises(typer.BadParameter, match="twice"):
        budget_of("8", ["latency_ms=60%"])


def test_zero_and_strange_resources_are_left_to_the_service() -> None:
    assert budget_of("0", ["joules=-1"]) == {"latency_ms": 0.0, "joules": -1.0}


def test_settings_are_json_with_dotted_keys() -> None:
    typed = ["schedule.initial=0.05", "schedule.decay=1", "pick=best-slope", 'include=["a.*"]', "distill=false"]
    assert settings_of("quick", typed) == {
        "preset": "quick",
        "schedule": {"initial": 0.05, "decay": 1},
        "pick": "best-slope",
        "include": ["a.*"],
        "distill": False,
    }


@pytest.mark.parametrize("typed", [["a=1", "a=2"], ["a=1", "a.b=2"], ["a.b=1", "a=2"], ["preset=x"], ["a=NaN"]])
def test_settings_that_contradict_each_other_are_wrong_usage(typed: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        settings_of("quick", typed)


@pytest.mark.parametrize("url", ["bogus", "ftp://there", "http://", "localhost:8000"])
def test_an_address_that_is_none_is_wrong_usage(url: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no address such as"):
        checked_url(url)


def test_an_address_is_taken_as_it_is() -> None:
    assert checked_url("https://there:8443/") == "https://there:8443/"
