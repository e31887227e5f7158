"""The pages about operating name every setting and every problem that there is, with their defaults and statuses."""

import re
from pathlib import Path

from app.gate import MAX_ADDRESS, MAX_HEAD_BYTES
from app.info import OWNERS_LIMITS
from app.json_body import MAX_DEPTH
from app.problem_documents import MAX_FIELDS
from app.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
OPERATING = (ROOT / "docs" / "operating.md").read_text()
PROBLEMS = (ROOT / "docs" / "problems.md").read_text()
SOURCES = [path.read_text() for folder in ("app", "workers") for path in (ROOT / folder).rglob("*.py")]
MINE = {
    *OWNERS_LIMITS,
    "allowed_hosts",
    "trusted_proxies",
    "behind_tls",
    "session_hours",
    "max_upload_bytes",
    "max_body_bytes",
    "max_network_bytes",
    "max_connections",
    "head_timeout_s",
    "body_timeout_s",
    "answer_timeout_s",
}


def test_every_problem_of_the_code_is_told_with_its_status_and_no_other() -> None:
    spelt = re.findall(r"problem_document\(\s*\"(?P<slug>[a-z-]+)\", \"[^\"]*\", (?P<status>\d+)", "\n".join(SOURCES))
    listed = re.findall(r"Problem\(\s*(?P<status>\d{3}), \"(?P<slug>[a-z-]+)\"", "\n".join(SOURCES))
    known = {*spelt, *((slug, status) for status, slug in listed)}
    told = {(slug, status) for status, slug in re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", PROBLEMS, re.MULTILINE)}
    assert told == known
    assert f"the first {MAX_FIELDS} are told" in PROBLEMS


def test_every_setting_of_these_sections_is_there_with_its_default() -> None:
    told = dict(re.findall(r"^\| `NETADAPT_([A-Z_]+)` \| ([^|]+) \|", OPERATING, re.MULTILINE))
    words = {2 * 1024**3: "2 GiB", 1024**2: "1 MiB", 16 * 1024**3: "16 GiB", (): "none", False: "false"}
    for name in MINE - {"session_hours"}:
        default = Settings.model_fields[name].default
        shown = words.get(default) if default != 0 or default is False else "0"
        assert told[name.upper()] == (shown or f"{default:g}"), name
    assert f"`NETADAPT_SESSION_HOURS` ({Settings.model_fields['session_hours'].default:g})" in OPERATING


def test_the_fixed_limits_are_those_of_the_code() -> None:
    assert f"| {MAX_ADDRESS // 1024} KiB | 414" in OPERATING
    assert f"| {MAX_HEAD_BYTES // 1024} KiB | 431" in OPERATING
    assert f"at most {MAX_DEPTH} levels" in OPERATING


def test_the_readme_leads_to_both_pages() -> None:
    readme = (ROOT / "README.md").read_text()
    assert {"docs/operating.md", "docs/problems.md"} <= set(re.findall(r"\]\((docs/[a-z_]+\.md)\)", readme))
