"""docs/operating.md says what the code does: settings and their defaults, waiting times, problems, files."""

import re
from pathlib import Path

from app import retention
from app.blobs import SPARED_S
from app.datasets.repository import REFUSAL_SHOWN_S
from app.idempotency import KEPT_FOR
from app.problems import PROBLEMS
from app.settings import GIB, Settings
from app.storage import StorageError
from workers.housekeeping import EVERY_S
from workers.lane import LONGEST_PAUSE_S

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "operating.md").read_text()


def section(title: str) -> str:
    return TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_every_setting_that_is_named_is_there() -> None:
    named = {name.lower() for name in re.findall(r"NETADAPT_([A-Z_]+[A-Z])", TEXT)}
    assert named <= set(Settings.model_fields)
    for title, names in (
        ("Database", {"database_url", "data_dir"}),
        ("Storage", {"storage_url"}),
        ("Retention", {"keep_jobs_days", "keep_unused_days"}),
    ):
        rows = set(re.findall(r"^\| `NETADAPT_([A-Z_]+)`", section(title), flags=re.MULTILINE))
        assert {row.lower() for row in rows} == names


def test_the_defaults_are_the_codes(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert settings.database_url == f"sqlite:///{tmp_path / 'netadapt.db'}"
    assert settings.storage_url == str(tmp_path / "files")
    assert settings.scratch_dir == tmp_path / "scratch"
    assert (settings.keep_jobs_days, settings.keep_unused_days) == (None, None)
    assert f"(`NETADAPT_SESSION_HOURS`, {settings.session_hours:g})" in TEXT
    assert f"`NETADAPT_MAX_UPLOAD_BYTES` ({settings.max_upload_bytes // GIB} GiB)" in TEXT


def test_the_waiting_times_are_the_codes() -> None:
    assert section("Database").count(f"every {LONGEST_PAUSE_S:g} s at most") == 1
    assert section("Storage").count(f"every {LONGEST_PAUSE_S:g} s at most") == 1
    assert SPARED_S == EVERY_S == 3600
    assert KEPT_FOR.total_seconds() == 24 * 3600
    assert REFUSAL_SHOWN_S == retention.TASKS_KEPT.total_seconds() == 24 * 3600
    assert f"{retention.AT_ONCE} of a kind" in TEXT


def test_the_problems_are_those_of_the_storage() -> None:
    named = re.search(r"\((`storage-unavailable`[^)]*)\)", TEXT)
    assert named is not None
    slugs = {problem.slug for kind, problem in PROBLEMS.items() if issubclass(kind, StorageError)}
    assert set(re.findall(r"`([a-z-]+)`", named[1])) == slugs


def test_the_readme_leads_here() -> None:
    assert "(docs/operating.md)" in (ROOT / "README.md").read_text()
