"""Pages in headless Chromium, watched: what they log as an error, and what they ask of another host, fails the test."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

WAIT_MS = 30_000
"""Two busy cores: nothing is judged by how fast it is, only by whether it comes."""
GRAVE = {"serious", "critical"}


@contextmanager
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path is not None, "there is no chromium: `make browser` installs it"
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--enable-precise-memory-info", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@contextmanager
def watched_page(browser: Browser, url: str, *, refusals: bool = False, **context: Any) -> Iterator[Page]:
    """`refusals`: the service refuses something on purpose, or goes away, which a browser logs too. `context` is
    playwright's: viewport, color_scheme ..."""
    faults: list[str] = []
    own = urlsplit(url).netloc

    def logged(message: ConsoleMessage) -> None:
        refused = message.text.startswith("Failed to load resource")
        if message.type in {"error", "warning"} and not (refused and refusals):
            faults.append(f"{message.type}: {message.text}")

    opened = browser.new_context(base_url=url, **context)
    opened.set_default_timeout(WAIT_MS)
    page = opened.new_page()
    page.on("console", logged)
    page.on("pageerror", lambda error: faults.append(f"uncaught: {error}"))
    page.on("request", lambda asked: urlsplit(asked.url).netloc in {own, ""} or faults.append(f"asked {asked.url}"))
    page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    try:
        yield page
    finally:
        opened.close()
    assert faults == []


def grave_violations(page: Page) -> list[str]:
    """What axe-core finds serious or worse, with the elements concerned. axe is put in by the driver: the page's own
    policy lets no script in that is not the service's."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {[node['html'][:120] for node in one['nodes']][:3]}"
        for one in found
        if one["impact"] in GRAVE
    ]
