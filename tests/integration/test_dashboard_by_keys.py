"""The dashboard by keys alone: whoever has no mouse is never dropped from where they were."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import delete, update

from app.database import unit_of_work
from app.settings import Settings
from app.tables import ModelRow, SessionRow
from benchmarks.dashboard_rows import add_job, add_news
from tests.browser import watched_page
from tests.served_app import ServedApp, served_app


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    with served_app(Settings(data_dir=tmp_path_factory.mktemp("service"), requests_per_s=0)) as running:
        yield running


@pytest.fixture(scope="module")
def job(app: ServedApp) -> str:
    return add_job(app.sessions, owner="local", proposals=40)


def test_who_sent_a_file_is_still_on_its_field(browser: Browser, app: ServedApp, tmp_path: Path) -> None:
    (tmp_path / "broken.pt2").write_bytes(b"no archive")
    with watched_page(browser, app.url, refusals=True) as page:
        page.goto("/#/new")
        given = page.locator("#model-file")
        given.focus()
        given.set_input_files(tmp_path / "broken.pt2")
        expect(page.locator("#model-error")).to_contain_text("broken.pt2:")
        expect(given).to_be_focused()


def test_who_sent_a_form_is_brought_to_what_is_at_fault(browser: Browser, app: ServedApp, job: str) -> None:
    with watched_page(browser, app.url, refusals=True) as page:
        page.goto("/#/new")
        page.get_by_role("button", name="Start the job").press("Enter")
        expect(page.get_by_label("Network", exact=True)).to_be_focused()
        page.get_by_label("Network", exact=True).select_option(index=1)
        page.get_by_text("Settings", exact=True).press("Enter")
        page.get_by_label("learning_rate", exact=True).fill("99")
        page.get_by_role("button", name="Start the job").press("Enter")
        expect(page.get_by_label("learning_rate", exact=True)).to_be_focused()


def test_who_pauses_a_job_is_on_what_resumes_it_and_who_cancels_it_among_what_is_left(
    browser: Browser, app: ServedApp
) -> None:
    queued = add_job(app.sessions, owner="local", proposals=20, state="queued")
    with watched_page(browser, app.url) as page:
        page.goto(f"/#/jobs/{queued}")
        pause, resume = (page.get_by_role("button", name=name, exact=True) for name in ("Pause", "Resume"))
        pause.press("Enter")
        expect(resume).to_be_focused()
        page.keyboard.press("Enter")
        expect(pause).to_be_focused()
        page.get_by_role("button", name="Cancel", exact=True).press("Enter")
        expect(page.locator("#job-state")).to_have_text("cancelled")
        expect(page.get_by_role("group", name="Actions")).to_be_focused()


def test_who_closes_a_proposal_is_on_it_again_though_the_table_was_drawn_anew(browser: Browser, app: ServedApp) -> None:
    growing = add_job(app.sessions, owner="local", proposals=20)
    with watched_page(browser, app.url) as page:
        page.goto(f"/#/jobs/{growing}")
        opened = page.get_by_role("region", name="Proposals").get_by_role("button", name="features.4", exact=True)
        opened.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        add_news(app.sessions, growing, group="a.new.layer")
        expect(page.get_by_text("21 of 21 proposals")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(opened).to_be_focused()


def test_who_turns_to_the_last_page_is_still_on_the_button(browser: Browser, app: ServedApp, job: str) -> None:
    with watched_page(browser, app.url) as page:
        page.goto(f"/#/jobs/{job}")
        expect(page.get_by_text("page 1 of 2")).to_be_visible()
        following = page.get_by_role("button", name="Next", exact=True)
        for _ in range(2):  # there is no third page
            following.press("Enter")
            expect(page.get_by_text("page 2 of 2")).to_be_visible()
        expect(following).to_be_focused()


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


def test_what_is_unfolded_among_networks_stays_while_one_is_checked(browser: Browser, app: ServedApp, job: str) -> None:
    with unit_of_work(app.sessions) as session:
        session.execute(update(ModelRow).values(state="checking"))
    with watched_page(browser, app.url) as page:
        page.goto("/#/models")
        unfolded = page.get_by_text("groups of layers that shrink together").first
        unfolded.press("Enter")
        for _ in range(2):  # the second is asked for once the first has been drawn
            page.wait_for_event("response", lambda answer: "/v1/models?" in answer.url)
        expect(page.get_by_role("region", name="Groups").first).to_be_visible()
        expect(unfolded).to_be_focused()


def test_who_deletes_a_network_is_among_those_that_are_left(browser: Browser, tmp_path: Path) -> None:
    with served_app(Settings(data_dir=tmp_path)) as own, watched_page(browser, own.url) as page:
        finished = add_job(own.sessions, owner="local", proposals=20, state="succeeded")
        assert httpx.delete(f"{own.url}/v1/jobs/{finished}").is_success  # a network that a job needs would stay
        page.goto("/#/models")
        page.evaluate("confirm = () => true")
        page.get_by_role("button", name="Delete").press("Enter")
        expect(page.get_by_text("No network was sent yet.")).to_be_visible()
        expect(page.get_by_role("group", name="Networks that were sent")).to_be_focused()


def test_signing_in_cannot_be_escaped_from_and_gives_the_focus_back(browser: Browser, tmp_path: Path) -> None:
    with served_app(Settings(data_dir=tmp_path)) as guarded, watched_page(browser, guarded.url, refusals=True) as page:
        token = guarded.create_token("local")
        page.goto("/#/new")
        _sign_in(page, token)
        page.get_by_label("Network", exact=True).focus()
        with unit_of_work(guarded.sessions) as session:
            session.execute(delete(SessionRow))
        page.keyboard.press("ArrowDown")
        for _ in range(3):  # a browser closes a dialog on the second one, whatever the page says
            expect(page.get_by_label("Token", exact=True)).to_be_focused()
            page.keyboard.press("Escape")
        _sign_in(page, token)
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.get_by_label("Network", exact=True)).to_be_focused()


def _sign_in(page: Page, token: str) -> None:
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    page.keyboard.type(token)
    page.keyboard.press("Enter")
