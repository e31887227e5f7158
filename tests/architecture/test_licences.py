"""Ours is stated, and what we depend on is listed with its own: none that would bind the code which uses it."""

import re
import tomllib
from email.message import Message
from pathlib import Path

from docs.licences import canonical, declared, licence, licences, pinned

ROOT = Path(__file__).resolve().parents[2]
ROWS = {
    name: (said, asked)
    for name, said, asked in re.findall(r"^\| `([\w-]+)` \| (.+?) \| (.*?) \|$", licences(), flags=re.MULTILINE)
}
STRONG = re.compile(r"\bA?GPL|GNU (Affero )?General Public", re.IGNORECASE)
DEVELOPMENT = "extra `dev`"


class Package:
    """A distribution of this metadata."""

    def __init__(self, **said: str) -> None:
        self.metadata = Message()
        for name, value in said.items():
            self.metadata[name.replace("_", "-")] = value


def test_our_licence_is_the_one_that_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]


def test_everything_that_is_declared_and_pinned_is_listed_with_a_licence_and_who_asks_for_it() -> None:
    asked = declared()
    assert {"httpx", "torch", "psycopg", "sphinx"} <= asked.keys()
    for name in asked.keys() & pinned():
        assert ROWS[name][0].strip()
        assert ROWS[name][1] == asked[name]


def test_what_runs_the_service_binds_nobody_who_uses_it() -> None:
    running = {name: said for name, (said, asked) in ROWS.items() if asked and asked != DEVELOPMENT}
    assert not [name for name, said in running.items() if STRONG.search(said)]


def test_the_shortest_statement_of_a_licence_counts() -> None:
    assert licence(Package(License_Expression="MIT", License="the whole text\nof it")) == "MIT"  # type: ignore[arg-type]
    assert licence(Package(License="BSD")) == "BSD"  # type: ignore[arg-type]
    classified = Package(License="a text\n" * 99, Classifier="License :: OSI Approved :: MIT License")
    assert licence(classified) == "MIT License"  # type: ignore[arg-type]
    assert licence(Package(Name="x")) == "as its own files say"  # type: ignore[arg-type]


def test_a_name_is_compared_as_indexes_compare_them() -> None:
    assert canonical("Torch_Pruning") == canonical("torch.pruning") == "torch-pruning"
