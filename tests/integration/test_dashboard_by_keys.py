"""The dashboard by keys alone: whoever has no mouse is never dropped from where they were."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from app.settings import Settings
from benchmarks.dashboard_rows import add_job
from tests.browser import chromium, watched_page
from tests.served_app import ServedApp, served_app


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    with served_app(Settings(data_dir=tmp_path_factory.mktemp("service"), requests_per_s=0)) as running:
        yield running


@pytest.fixture(scope="module")
def job(app: ServedApp) -> str:
    return add_job(app.sessions, owner="local", proposals=40)


def test_a_point_of_the_curve_that_is_walked_to_opens_what_was_picked_there(
    browser: Browser, app: ServedApp, job: str
) -> None:
    with watched_page(browser, app.url) as page:
        page.goto(f"/#/jobs/{job}")
        expect(page.get_by_text("40 of 40 proposals")).to_be_visible()
        chart = page.get_by_role("application", name="Accuracy against latency [ms]")
        for number in (2, 1):
            chart.press("ArrowRight")
            expect(page.get_by_text(f"pick, measured of iteration {number}:")).to_be_visible()
        chart.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("evaluated, picked")
        page.keyboard.press("Escape")
        expect(chart).to_be_focused()
