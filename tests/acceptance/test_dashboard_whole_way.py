"""A user's whole way by the page alone: a file in, a budget checked, a search watched, a faster network out."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import onnxruntime
import pytest
from playwright.sync_api import Browser, Page, expect

from app.client import Client
from tests.browser import grave_violations, watched_page

LONG_MS = 300_000
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def finished(browser: Browser, address: str, net_file: Path) -> Iterator[Page]:
    """The page of a job that was submitted on it and has succeeded."""
    with watched_page(browser, address) as page:
        page.goto("/#/new")
        _fill_in(page, net_file, percent="88")
        expect(page.locator("#feasibility")).to_contain_text("This budget can be met", timeout=LONG_MS)
        expect(page.locator("#feasibility")).to_contain_text("measured")
        page.get_by_role("button", name="Start the job").click()
        expect(page).to_have_url(re.compile(r"#/jobs/job_"))
        expect(page.get_by_text(re.compile(r"[1-9]\d* of [1-9]\d* proposals"))).to_be_visible(timeout=LONG_MS)
        expect(page.locator("#job-state")).to_have_text("succeeded", timeout=LONG_MS)
        yield page


def _fill_in(page: Page, net_file: Path, *, percent: str, resource: str = "Latency") -> None:
    page.locator("#model-file").set_input_files(net_file)
    expect(page.get_by_text(re.compile(r"is there \(mdl_"))).to_be_visible()
    page.get_by_label("Preset", exact=True).select_option("quick")
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("short_term_steps", exact=True).fill("4")
    page.get_by_label("long_term_epochs", exact=True).fill("1")
    page.get_by_label("What the budget is of", exact=True).select_option(label=resource)
    page.get_by_label("Budget: at most", exact=True).fill(percent)


def test_the_job_was_watched_to_its_end_and_shows_what_was_found(finished: Page, address: str) -> None:
    with Client(address) as client:
        job = finished.url.rpartition("/")[2]
        proposals = list(client.proposals(job))
        checkpoints = list(client.checkpoints(job))
    expect(finished.get_by_text(f"{len(proposals)} of {len(proposals)} proposals")).to_be_visible()
    downloads = finished.get_by_role("region", name="Downloads")
    expect(downloads.get_by_role("row")).to_have_count(len(checkpoints) + 1)
    expect(finished.get_by_text(re.compile(r"Predicted by the look-up table"))).to_be_visible()
    assert grave_violations(finished) == []


def test_a_page_opened_afterwards_shows_the_same(finished: Page, browser: Browser, address: str) -> None:
    with watched_page(browser, address) as later:
        later.goto(finished.url)
        expect(later.locator("#job-state")).to_have_text("succeeded")
        for part in ("main table", ".bars"):
            expect(later.locator(part)).to_have_text(finished.locator(part).all_text_contents())


def test_a_proposal_says_why_it_was_not_picked(finished: Page) -> None:
    finished.get_by_label("Show", exact=True).select_option("evaluated")
    finished.get_by_role("region", name="Proposals").get_by_role("row").nth(1).get_by_role("button").click()
    dialog = finished.get_by_role("dialog")
    expect(dialog).to_contain_text("Why")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)


def test_what_there_is_to_copy_starts_the_same_search(finished: Page, address: str) -> None:
    curl, python = finished.get_by_role("main").locator("pre").all_text_contents()
    sent = json.loads(re.findall(r"-d '(.*)' http", curl)[0])
    (submit,) = [node for node in ast.walk(ast.parse(python)) if isinstance(node, ast.Call) and node.keywords[1:]]
    said = {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in submit.keywords}
    assert {**said, "model": ast.literal_eval(submit.args[0])} == sent
    with Client(address) as client:
        job = client.jobs.get(finished.url.rpartition("/")[2])
        again = client.submit(**sent)
        client.cancel(again["id"])
    assert all(again[part] == job[part] for part in ("model", "dataset", "target", "budget", "settings"))
    assert sent["settings"] == {"preset": "quick", "short_term_steps": 4, "long_term_epochs": 1}


def test_the_result_is_downloaded_and_runs(finished: Page, tmp_path: Path) -> None:
    row = finished.get_by_role("region", name="Downloads").get_by_role("row").filter(has_text="Result")
    with finished.expect_download() as started:
        row.get_by_role("link", name="onnx", exact=True).click()
    started.value.save_as(tmp_path / "adapted.onnx")
    assert onnxruntime.InferenceSession(tmp_path / "adapted.onnx").get_inputs()[0].shape[1:] == [1, 16, 16]


def test_the_job_is_extended_and_the_new_one_cancelled(finished: Page, browser: Browser, address: str) -> None:
    with watched_page(browser, address) as page:
        page.goto(finished.url)
        page.get_by_text("Extend with a tighter budget").click()
        page.get_by_label("Budget: at most", exact=True).fill("70")
        page.get_by_role("button", name="Extend").click()
        expect(page.get_by_role("link", name=finished.url.rpartition("/")[2])).to_be_visible()
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#job-state")).to_have_text("cancelled", timeout=LONG_MS)


def test_a_budget_that_cannot_be_met_is_said_beside_the_field(browser: Browser, address: str, net_file: Path) -> None:
    with watched_page(browser, address, refusals=True) as page:
        page.goto("/#/new")
        _fill_in(page, net_file, percent="0.01", resource="Parameters")
        expect(page.locator("#feasibility")).to_contain_text("This budget cannot be met", timeout=LONG_MS)
        page.get_by_role("button", name="Start the job").click()
        expect(page.locator(".field-error").filter(has_text="the least this network can reach")).to_be_visible()
