"""The dashboard's files: what may be asked for, under which policy, and how much a browser has to load."""

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.dashboard.router import names
from app.settings import Settings
from tests.served_app import served_app

ROOT = Path(__file__).resolve().parents[2]
VENDOR = ROOT / "app/dashboard/static/vendor"
FIRST_PAGE_BYTES = 300_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with served_app(Settings(data_dir=tmp_path_factory.mktemp("service"))) as app, app.client() as client:
        yield client


def test_the_page_may_load_from_this_service_alone_and_runs_no_inline_script(client: httpx.Client) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'"} <= set(policy.split("; "))
    assert "unsafe" not in policy
    assert "http" not in policy
    assert re.findall(r"<script(?![^>]* src=)|\sstyle=|<style|\son\w+=", page.text) == []
    for path in re.findall(r'(?:src|href)="(/[^"]*)"', page.text):
        assert client.get(path).status_code == 200


def test_all_of_its_script_is_asked_for_at_once(client: httpx.Client) -> None:
    asked = re.findall(r'(?:modulepreload" href|type="module" src)="/dashboard/([^"]*)"', client.get("/").text)
    assert sorted(asked) == sorted(name for name in names() if name.endswith(".js") and "/" not in name)


def test_no_file_of_it_writes_markup_or_runs_text(client: httpx.Client) -> None:
    for name in names():
        if name.endswith(".js") and not name.startswith("vendor/"):
            text = client.get(f"/dashboard/{name}").text
            assert (
                re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text) == []
            )
            assert re.findall(r"https?://", text) == []


def test_a_browser_asks_again_for_what_it_has_and_is_told_that_it_is_the_same(client: httpx.Client) -> None:
    first = client.get("/dashboard/main.js")
    assert (first.status_code, first.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/dashboard/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["nothing.js", "../router.py", "..%2frouter.py", "vendor", "", "vendor/uPlot.LICENSE"])
def test_nothing_else_is_given_out(client: httpx.Client, path: str) -> None:
    answer = client.get(f"/dashboard/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_first_page_is_light_without_the_chart_library(client: httpx.Client) -> None:
    own = [f"/dashboard/{name}" for name in names() if not name.startswith("vendor/")]
    assert sum(len(client.get(path).content) for path in ["/", *own]) < FIRST_PAGE_BYTES


def test_what_is_not_ours_is_as_it_was_released() -> None:
    told = re.findall(r"^\| (\w{64}) \| (\S+) \|$", VENDOR.joinpath("ORIGIN.md").read_text(), re.MULTILINE)
    there = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in VENDOR.iterdir()}
    assert {name: digest for digest, name in told} == {name: there[name] for name in there if name != "ORIGIN.md"}


def test_an_installed_package_has_every_file(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(tmp_path), "."]
    copied = tmp_path / "source"
    ignored = ("netadapt-data", "build", "*.egg-info", ".venv*", ".git", "__pycache__", ".*_cache", "shared")
    shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(*ignored))
    built = subprocess.run(build, cwd=copied, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert {f"app/dashboard/static/{name}" for name in names()} <= packed
    assert {f"app/dashboard/static/vendor/{name}" for name in ("uPlot.LICENSE", "ORIGIN.md")} <= packed
