"""A job that sets images aside to judge again what its hold-out does not tell apart, over HTTP, by a real worker."""

import csv
import io
import math
from collections.abc import Iterator
from typing import Any

import pytest

from adapt.events import ProposalJudged
from tests.live_api import LiveApi
from tests.worked_jobs import (
    Workshop,
    cut_off_after,
    file_of,
    job_of,
    run_out_of_lease,
    submit,
    work,
    workshop,
)

pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture(name="at_work", scope="module")
def _at_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with workshop(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(name="job", scope="module")
def _job(at_work: Workshop) -> str:
    job = judging(at_work)
    work(at_work.service)
    return job


def judging(at_work: Workshop) -> str:
    """The network has seen these images: its proposals are near each other."""
    return submit(at_work.api, at_work.model, {"macs": "95%"}, holdout_max=0.4, long_term_epochs=1)


def proposals(api: LiveApi, job: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = api.client.get(f"/v1/jobs/{job}/proposals", params={"limit": 500}).json()["data"]
    return listed


def messages(api: LiveApi, job: str) -> list[str]:
    events = api.client.get(f"/v1/jobs/{job}/events", params={"limit": 500}).json()["data"]
    return [event["data"]["text"] for event in events if event["event"] == "message"]


def test_the_scores_on_more_images_stand_in_the_proposals_and_the_best_of_them_is_picked(
    at_work: Workshop, job: str
) -> None:
    done = job_of(at_work.api, job)
    assert (done["state"], done["error"], done["settings"]["holdout_max"]) == ("succeeded", None, 0.4)
    listed = proposals(at_work.api, job)
    (iteration,) = [each for each in {p["iteration"] for p in listed} if each == 1]
    own = [each for each in listed if each["iteration"] == iteration and each["state"] == "evaluated"]
    again = {each["id"]: each["judged_again"] for each in own if each["judged_again"]}
    assert len(again) > 1
    (picked,) = [each for each in own if each["picked"]]
    assert again[picked["id"]]["accuracy"] == max(score["accuracy"] for score in again.values())
    for score in again.values():
        assert score["images"] > picked["holdout_images"]
        binomial = math.sqrt(score["accuracy"] * (1 - score["accuracy"]) / score["images"])
        assert score["standard_error"] == pytest.approx(max(binomial, 1 / score["images"]))
    (said,) = [text for text in messages(at_work.api, job) if "to judge again what it does not tell apart" in text]
    trained_on = int(said.split()[0])
    (images,) = {score["images"] for score in again.values()}
    assert images == pytest.approx(0.4 * (trained_on + images), abs=1)
    assert any("were judged again on" in text for text in messages(at_work.api, job))


def test_the_csv_has_them_in_columns_of_their_own(at_work: Workshop, job: str) -> None:
    text = at_work.api.client.get(f"/v1/jobs/{job}/proposals", params={"format": "csv"}).text
    rows = list(csv.DictReader(io.StringIO(text)))
    listed = {each["id"]: each["judged_again"] for each in proposals(at_work.api, job)}
    for row in rows:
        score = listed[row["id"]]
        for name in ("accuracy", "standard_error", "loss", "images"):
            assert row[f"judged_again.{name}"] == ("" if score is None else repr(score[name]))


def test_a_job_cut_off_between_two_of_them_ends_with_the_same_bytes(
    at_work: Workshop, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off = judging(at_work)
    with monkeypatch.context() as patch:
        cut_off_after(patch, 1, ProposalJudged)
        work(at_work.service)
    assert job_of(at_work.api, cut_off)["state"] == "running"
    run_out_of_lease(at_work.service)
    work(at_work.service)
    assert job_of(at_work.api, cut_off)["state"] == "succeeded"
    assert file_of(at_work.api, cut_off) == file_of(at_work.api, job)


def test_without_the_setting_no_proposal_is_judged_again(at_work: Workshop) -> None:
    plain = submit(at_work.api, at_work.model, {"macs": "75%"}, long_term_epochs=1)
    work(at_work.service)
    assert {each["judged_again"] for each in proposals(at_work.api, plain)} == {None}
    assert job_of(at_work.api, plain)["settings"]["holdout_max"] == 0.0


def test_a_share_that_the_holdout_has_already_sets_nothing_aside_and_says_so(at_work: Workshop) -> None:
    job = submit(at_work.api, at_work.model, {"macs": "95%"}, holdout_max=0.1, final="none")
    work(at_work.service)
    assert {each["judged_again"] for each in proposals(at_work.api, job)} == {None}
    assert any(
        "none more, it has holdout_max (0.1) of the training images" in text for text in messages(at_work.api, job)
    )


@pytest.mark.parametrize("value", [-0.1, 0.6, "much"])
def test_a_share_that_is_none_is_refused(at_work: Workshop, value: object) -> None:
    body = {"model": at_work.model, "budget": {"macs": "75%"}, "settings": {"holdout_max": value}}
    answer = at_work.api.client.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/settings/holdout_max")
