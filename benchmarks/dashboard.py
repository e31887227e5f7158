"""How soon the page of a job with 20,000 proposals can be used, and what it holds of memory; one JSON line.

Usable: all dots are drawn, the table counts all proposals, and a pointer over the chart is told the point beneath. The
clock runs in the page, from the navigation's start. Each run has a fresh browser context, nothing cached.

Memory is the proportional set size of the browser's process for the page: what it holds alone, and its share of what it
shares with the browser's other processes, which is mostly the browser's own code.
"""

import json
import platform
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from app.database import make_engine, make_sessions
from app.records import LOCAL_CALLER
from app.settings import Settings
from app.storage import Storage
from benchmarks.dashboard_rows import add_job
from benchmarks.live_service import live_process

RUNS = 5
PROPOSALS = 20_000
BAR_S, BAR_BYTES = 2.0, 200 * 1_000_000
USABLE = """async (count) => {
  const until = async (found) => { while (!found()) await new Promise((next) => setTimeout(next, 10)); };
  await until(() => document.body.innerText.includes(`${count} of ${count} proposals`));
  const over = document.querySelector(".chart .u-over");
  const box = over.getBoundingClientRect();
  const told = () => document.querySelector(".readout").textContent !== "";
  for (let x = 0.2; x < 0.9 && !told(); x += 0.1)
    for (let y = 0.1; y < 0.9 && !told(); y += 0.05)
      over.dispatchEvent(new MouseEvent("mousemove",
        { clientX: box.left + x * box.width, clientY: box.top + y * box.height }));
  await until(told);
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  return performance.now() / 1000;
}"""


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("there is no chromium: `make browser` installs it")
    with tempfile.TemporaryDirectory() as folder, live_process(Path(folder), "--no-worker") as service:
        job = _add_job(Path(folder) / "data")
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--enable-precise-memory-info"]
            )
            runs = [_open(browser, f"{service.address}/#/jobs/{job}") for _ in range(RUNS)]
            version = browser.version
            browser.close()
    seconds, memory = [run["seconds"] for run in runs], [run["process_bytes"] for run in runs]
    median, most = statistics.median(seconds), max(memory)
    print(
        json.dumps(
            {
                "bench": "dashboard",
                "proposals": PROPOSALS,
                "seconds": {"median": median, "all": seconds},
                "process_bytes": {"largest": most, "all": memory},
                "heap_bytes": [run["heap_bytes"] for run in runs],
                "bars": {"seconds": BAR_S, "bytes": BAR_BYTES},
                "ok": median <= BAR_S and most <= BAR_BYTES,
                "conditions": {"chromium": version, "python": platform.python_version(), "machine": platform.machine()},
            }
        )
    )
    if median > BAR_S or most > BAR_BYTES:
        sys.exit(1)


def _add_job(data: Path) -> str:
    settings = Settings(data_dir=data)
    engine = make_engine(settings.database_url)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            sessions = make_sessions(engine, Storage(settings.storage_url, Path(scratch)))
            return add_job(sessions, owner=LOCAL_CALLER.id, proposals=PROPOSALS)
    finally:
        engine.dispose()


def _open(browser: Browser, address: str) -> dict[str, Any]:
    """`heap_bytes`: of the page's script, of `process_bytes` a part."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(address)
    seconds = page.evaluate(USABLE, PROPOSALS)
    heap = context.new_cdp_session(page).send("Runtime.getHeapUsage")["usedSize"]
    held = max(_of_pages(browser))
    context.close()
    return {"seconds": round(seconds, 3), "heap_bytes": int(heap), "process_bytes": held}


def _of_pages(browser: Browser) -> list[int]:
    """Of the job's page, and of empty ones that the browser keeps ready."""
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return [_proportional_set_bytes(one["id"]) for one in found if one["type"] == "renderer"]


def _proportional_set_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main()
