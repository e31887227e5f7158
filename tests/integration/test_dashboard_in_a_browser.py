"""The dashboard in a real browser, on jobs made of rows: what it shows, what it says of mistakes, how it keeps up."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from sqlalchemy import delete

from app.database import unit_of_work
from app.settings import Settings
from app.tables import SessionRow
from benchmarks.dashboard_rows import add_job, add_measurements, add_news
from tests.browser import grave_violations, watched_page
from tests.served_app import ServedApp, served_app

HOSTILE = "<script>document.title = 'mine'</script><img src=x onerror=alert(1)>"
PHONE = {"width": 360, "height": 740}
LIMIT_BYTES = 100_000
DROP = """(name) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File(["nothing that can be read"], name));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("service"), max_upload_bytes=LIMIT_BYTES, requests_per_s=0)
    with served_app(settings) as running:
        yield running


@pytest.fixture(scope="module")
def job(app: ServedApp) -> str:
    return add_job(app.sessions, owner="local", proposals=200)


def test_an_empty_service_says_what_to_do_first(browser: Browser, tmp_path: Path) -> None:
    with served_app(Settings(data_dir=tmp_path)) as empty, watched_page(browser, empty.url) as page:
        page.goto("/")
        expect(page.get_by_text("There are no jobs yet.")).to_be_visible()
        page.get_by_role("link", name="a new job").click()
        expect(page.get_by_role("heading", name="New job")).to_be_visible()


def test_the_list_shows_state_progress_and_budget_and_can_be_filtered(
    browser: Browser, app: ServedApp, job: str
) -> None:
    add_job(app.sessions, owner="local", proposals=20, name="one that failed", state="failed")
    with watched_page(browser, app.url) as page:
        page.goto("/#/jobs")
        row = page.get_by_role("row").filter(has_text=job)
        expect(row).to_contain_text("adapting")
        expect(row).to_contain_text("latency 45 % (4.5 ms)")
        expect(row).to_contain_text("10 min left")
        page.get_by_label("State", exact=True).select_option("failed")
        expect(page.get_by_role("row").filter(has_text="one that failed")).to_be_visible()
        expect(row).to_have_count(0)


def test_a_job_shows_its_proposals_and_says_why_one_was_not_picked(browser: Browser, app: ServedApp, job: str) -> None:
    with watched_page(browser, app.url) as page:
        page.goto(f"/#/jobs/{job}")
        expect(page.get_by_text("200 of 200 proposals")).to_be_visible()
        page.get_by_label("Iteration", exact=True).fill("3")
        expect(page.get_by_text("20 of 200 proposals")).to_be_visible()
        page.get_by_label("Show", exact=True).select_option("picked")
        expect(page.get_by_text("1 of 200 proposals")).to_be_visible()
        page.get_by_label("Show", exact=True).select_option("evaluated")
        page.get_by_role("region", name="Proposals").get_by_role("button", name="features.4", exact=True).click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text("another proposal kept a higher accuracy")
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)


def test_the_curve_can_be_walked_along_by_keys(browser: Browser, app: ServedApp, job: str) -> None:
    with watched_page(browser, app.url) as page:
        page.goto(f"/#/jobs/{job}")
        expect(page.get_by_text("200 of 200 proposals")).to_be_visible()
        page.get_by_role("application", name="Accuracy against latency [ms]").focus()
        page.keyboard.press("ArrowRight")
        expect(page.get_by_text("pick, measured of iteration 10: 5 ms, accuracy 85.0 %")).to_be_visible()
        page.keyboard.press("ArrowLeft")  # around to the last, by its hold-out like the others
        expect(page.get_by_text("original: 10 ms, accuracy 96.0 %")).to_be_visible()


def test_a_pick_is_trained_to_the_end_and_stands_among_the_networks(browser: Browser, app: ServedApp, job: str) -> None:
    with watched_page(browser, app.url, refusals=True) as page:
        page.goto(f"/#/jobs/{job}")
        networks = page.get_by_role("region", name="Networks")
        expect(networks.get_by_role("row").filter(has_text="Original")).to_contain_text("95.0 %")
        page.get_by_text("Train picks to the end").click()
        for words, fault in (("two", "Numbers of iterations"), ("400", "400")):
            page.get_by_label("Iterations", exact=True).fill(words)
            page.get_by_role("button", name="Train these picks").click()
            expect(page.locator("#family-error")).to_contain_text(fault)
        page.get_by_label("Iterations", exact=True).fill("2, 5")
        page.get_by_role("button", name="Train these picks").click()
        member = networks.get_by_role("row").filter(has_text="Member, iteration 5")
        member.get_by_role("link").click()
        expect(page.get_by_text("its pick of iteration 5")).to_be_visible()


def test_what_a_user_named_something_is_text(browser: Browser, app: ServedApp) -> None:
    named = add_job(app.sessions, owner="local", proposals=20, name=HOSTILE)
    with watched_page(browser, app.url) as page:
        for path in ("jobs", f"jobs/{named}", "new", "models", "compare"):
            page.goto(f"/#/{path}")
            expect(page.get_by_text(HOSTILE).first).to_be_attached()
            assert page.title() != "mine"
        assert page.locator("main script, main img[src=x]").count() == 0


def test_what_a_worker_finds_appears_by_itself_and_a_page_opened_later_shows_the_same(
    browser: Browser, app: ServedApp
) -> None:
    running = add_job(app.sessions, owner="local", proposals=40)
    with watched_page(browser, app.url) as early, watched_page(browser, app.url) as late:
        early.goto(f"/#/jobs/{running}")
        expect(early.get_by_text("40 of 40 proposals")).to_be_visible()
        add_news(app.sessions, running, group="a.new.layer")
        expect(early.get_by_text("41 of 41 proposals")).to_be_visible()
        late.goto(f"/#/jobs/{running}")
        expect(late.get_by_text("41 of 41 proposals")).to_be_visible()
        for page in (early, late):  # until the reasons of the rows are read
            expect(page.locator("tbody[aria-busy=true]")).to_have_count(0)
        for part in ("#main h1", "main table", ".bars", ".log"):
            expect(late.locator(part)).to_have_text(early.locator(part).all_text_contents())


def test_after_the_service_restarts_the_page_catches_up_by_itself(browser: Browser, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with served_app(settings) as first:
        running = add_job(first.sessions, owner="local", proposals=20)
        url = first.url
    port = int(url.rpartition(":")[2])
    with watched_page(browser, url, refusals=True) as page:
        with served_app(settings, port):
            page.goto(f"/#/jobs/{running}")
            expect(page.get_by_text("20 of 20 proposals")).to_be_visible()
        expect(page.get_by_text("The service does not answer.")).to_be_visible()
        with served_app(settings, port) as again:
            add_news(again.sessions, running, group="after.the.restart")
            expect(page.get_by_text("21 of 21 proposals")).to_be_visible()
            expect(page.get_by_text("The service does not answer.")).to_be_hidden()


def test_a_session_that_ends_in_mid_page_keeps_the_form(browser: Browser, tmp_path: Path) -> None:
    with served_app(Settings(data_dir=tmp_path)) as guarded, watched_page(browser, guarded.url, refusals=True) as page:
        token = guarded.create_token("local")
        add_job(guarded.sessions, owner="local", proposals=20)
        page.goto("/#/new")
        _sign_in(page, token)
        page.get_by_label("Name (optional)", exact=True).fill("still here")
        with unit_of_work(guarded.sessions) as session:
            session.execute(delete(SessionRow))
        page.get_by_label("Network", exact=True).select_option(index=1)
        _sign_in(page, "not a token")
        expect(page.get_by_text("This token is not valid here.")).to_be_visible()
        _sign_in(page, token)
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(page.get_by_label("Name (optional)", exact=True)).to_have_value("still here")
        assert token not in str(page.evaluate("[document.cookie, {...localStorage}, {...sessionStorage}]"))


def _sign_in(page: Page, token: str) -> None:
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Sign in").click()


def test_a_file_of_the_wrong_kind_or_over_the_limit_is_refused_before_it_is_sent(
    browser: Browser, app: ServedApp, tmp_path: Path
) -> None:
    with watched_page(browser, app.url) as page:
        sent: list[str] = []
        page.on("request", lambda asked: sent.append(asked.url) if asked.method == "POST" else None)
        page.goto("/#/new")
        given = page.locator("#model-file")
        for name, size, words in (
            ("photo.jpg", 10, "photo.jpg is of the wrong kind; this takes .pt2, .onnx, .safetensors."),
            ("big.onnx", LIMIT_BYTES + 1, "big.onnx has 100 kB, and this service takes files up to 100 kB."),
            ("empty.pt2", 0, "empty.pt2 is empty."),
        ):
            (tmp_path / name).write_bytes(b"x" * size)
            given.set_input_files(tmp_path / name)
            expect(page.locator("#model-error")).to_contain_text(words)
        assert sent == []


def test_a_file_dropped_anywhere_goes_where_its_ending_says(browser: Browser, app: ServedApp) -> None:
    with watched_page(browser, app.url, refusals=True) as page:
        page.goto("/#/new")
        expect(page.get_by_label("Network", exact=True)).to_be_visible()
        for name, place in (("images.npz", "#dataset-error"), ("net.onnx", "#model-error"), ("a.txt", "#model-error")):
            page.evaluate(DROP, name)
            expect(page.locator(place)).to_contain_text(name)


def test_what_the_service_refuses_stands_beside_the_field(
    browser: Browser, app: ServedApp, tmp_path: Path, job: str
) -> None:
    with watched_page(browser, app.url, refusals=True) as page:
        page.goto("/#/new")
        (tmp_path / "broken.pt2").write_bytes(b"no archive")
        page.locator("#model-file").set_input_files(tmp_path / "broken.pt2")
        expect(page.locator("#model-error")).to_contain_text("broken.pt2:")
        page.get_by_label("Network", exact=True).select_option(index=1)
        page.get_by_text("Settings", exact=True).click()
        page.get_by_label("learning_rate", exact=True).fill("99")
        page.get_by_role("button", name="Start the job").click()
        expect(page.locator("#setting-learning_rate-error")).not_to_be_empty()
        page.get_by_label("learning_rate", exact=True).fill("")
        page.get_by_label("Budget: at most", exact=True).fill("160")
        page.get_by_role("button", name="Start the job").click()
        expect(page.locator("#budget-error")).to_contain_text("up to 100")


def test_a_budget_of_several_resources_is_asked_for_and_each_fault_stands_beside_its_limit(
    browser: Browser, app: ServedApp, job: str
) -> None:
    with watched_page(browser, app.url, refusals=True) as page:
        page.goto("/#/new")
        page.get_by_label("Network", exact=True).select_option(index=1)
        page.get_by_role("button", name="Limit one more").click()
        expect(page.get_by_label("What the budget is of").nth(1)).to_have_value("macs")
        expect(page.get_by_label("What the budget is of").nth(0).locator("option[value=macs]")).to_have_count(0)
        page.get_by_label("What the budget is of").nth(1).select_option("params")
        page.get_by_label("and at most", exact=True).fill("160")
        page.get_by_role("button", name="Start the job").click()
        expect(page.locator("#budget-2-error")).to_contain_text("up to 100")
        expect(page.locator("#budget-error")).to_be_empty()
        page.get_by_label("and at most", exact=True).fill("50")
        page.get_by_role("button", name="Limit one more").click()
        page.get_by_role("button", name="Remove").last.click()
        with page.expect_request(lambda asked: asked.url.endswith("/v1/jobs")) as sent:
            page.get_by_role("button", name="Start the job").click()
        assert sent.value.post_data_json["budget"] == {"latency_ms": "60%", "params": "50%"}


def test_while_a_budget_is_checked_anew_no_earlier_answer_stands(browser: Browser, app: ServedApp, job: str) -> None:
    held: list[Route] = []
    with watched_page(browser, app.url) as page:
        page.goto("/#/new")
        page.get_by_label("Network", exact=True).select_option(index=1)
        answer = page.get_by_text("Not known yet:")
        expect(answer).to_be_visible()
        page.route("**/v1/jobs?validate_only=true", lambda route: held.append(route))
        page.get_by_label("Preset", exact=True).select_option("quick")
        expect(page.get_by_text("Checking …")).to_be_visible()
        expect(answer).to_be_hidden()
        page.unroute("**/v1/jobs?validate_only=true")
        for route in held:
            route.continue_()
        expect(answer).to_be_visible()


def test_the_log_says_what_was_measured_and_what_was_only_predicted(browser: Browser, app: ServedApp) -> None:
    measured = add_job(app.sessions, owner="local", proposals=20, state="succeeded")
    latency = {"ms": 2.5, "low": 2.4, "high": 2.6, "measured": True}
    add_measurements(app.sessions, measured, {"0": latency, "smallest": {**latency, "measured": False}})
    with watched_page(browser, app.url) as page:
        page.goto(f"/#/jobs/{measured}")
        expect(page.get_by_text("measured checkpoint 0: 2.5 ms")).to_be_visible()
        expect(page.get_by_text("predicted smallest: 2.5 ms")).to_be_visible()


def test_a_finished_job_offers_its_result_at_the_top_and_says_where_each_accuracy_was_taken(
    browser: Browser, app: ServedApp
) -> None:
    finished = add_job(app.sessions, owner="local", proposals=20, state="succeeded")
    with watched_page(browser, app.url) as page:
        page.goto(f"/#/jobs/{finished}")
        link = page.get_by_role("link", name="Download the result (ONNX)")
        expect(link).to_have_attribute("href", f"/v1/jobs/{finished}/checkpoints/final/file?format=onnx")
        expect(page.get_by_text("accuracy 95.0 % on the test images")).to_be_visible()
        expect(page.get_by_text("5 ms (50 % of the original)")).to_contain_text("on the hold-out")
        row = page.get_by_role("region", name="Downloads").get_by_role("row").filter(has_text="Iteration 1")
        expect(row).to_contain_text("hold-out")


def test_a_report_is_saved_that_opens_without_the_service(
    browser: Browser, app: ServedApp, job: str, tmp_path: Path
) -> None:
    with watched_page(browser, app.url) as page:
        page.goto(f"/#/jobs/{job}")
        with page.expect_download() as started:
            page.get_by_role("link", name="Save a report").click()
        started.value.save_as(tmp_path / "report.html")
    with watched_page(browser, app.url) as page:
        page.goto((tmp_path / "report.html").as_uri())
        expect(page.get_by_role("img")).to_be_visible()
        expect(page.get_by_role("heading", name="a long search")).to_be_visible()
        assert grave_violations(page) == []


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_every_page_can_be_used_by_everybody(browser: Browser, app: ServedApp, job: str, look: str) -> None:
    context = {"viewport": PHONE} if look == "phone" else {"color_scheme": look}
    paths = ("jobs", f"jobs/{job}", "new", "compare/" + job, "models", "datasets", "targets", "nowhere")
    with watched_page(browser, app.url, **context) as page:
        for path in paths:
            page.goto(f"/#/{path}")
            expect(page.locator("main h1")).to_be_visible()
            page.wait_for_load_state("networkidle") if path != f"jobs/{job}" else expect(
                page.get_by_text("200 of 200")
            ).to_be_visible()
            page.evaluate("document.querySelectorAll('details').forEach((folded) => { folded.open = true; })")
            assert grave_violations(page) == [], path
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
