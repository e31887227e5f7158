"""The site's tables are made from the code and leave nothing out, and its contents lead to every page."""

import re
from pathlib import Path

import pytest

from adapt import loop
from app.jobs.settings_schema import SettingsIn
from app.settings import Settings
from docs import conf, settings_reference
from docs.json_schema import in_words
from docs.rest_reference import openapi, rest_reference

DOCS = Path(conf.__file__).parent
ALGORITHM = (DOCS / "algorithm.md").read_text()


def rows(table: str) -> dict[str, str]:
    return dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", table, flags=re.MULTILINE))


def test_every_setting_of_a_job_is_in_the_reference_and_says_what_it_means() -> None:
    told = rows(settings_reference.job_settings().partition("###")[0])
    assert list(told) == list(SettingsIn.model_fields)
    assert all(line.rpartition("|")[2].strip() for line in told.values())


def test_every_setting_of_the_service_is_in_the_reference_and_leads_to_where_it_is_told() -> None:
    told = rows(settings_reference.service_settings())
    assert list(told) == [f"NETADAPT_{name.upper()}" for name in Settings.model_fields]
    assert all("](operating.md#" in line for line in told.values())


def test_every_request_and_every_object_is_in_the_reference() -> None:
    text, document = rest_reference(), openapi()
    requests = {f"{verb.upper()} {path}" for path, verbs in document["paths"].items() for verb in verbs}
    headings = re.findall(r"^### (.+)$", text, flags=re.MULTILINE)
    assert sorted(headings) == sorted([*requests, *document["components"]["schemas"]])


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 1_000_000}, "a whole number from 1 to 1,000,000"),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, "a number above 0 below 0.5"),
        ({"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]}, "`a`, `b` or null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/JobOut"}}, "a list of [JobOut](rest.md#jobout)"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "an object, by name a number"),
    ],
)
def test_a_schema_is_told_in_words(schema: dict, words: str) -> None:
    assert in_words(schema) == words


def test_a_mark_that_stands_for_nothing_ends_the_build() -> None:
    with pytest.raises(KeyError, match="weather"):
        conf.fill_in(None, "settings", ["<!-- generated: weather -->"])  # type: ignore[arg-type]  # it looks at no app


def test_the_contents_end_with_the_pages_that_they_do_not_name() -> None:
    source = [(DOCS / "index.md").read_text()]
    conf.list_the_others(None, "index", source)  # type: ignore[arg-type]
    named = re.findall(r"^[a-z][a-z0-9_/]*$", source[0], flags=re.MULTILINE)
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")} - {"index"}
    assert sorted(named) == sorted(pages)


def test_the_page_beside_the_paper_names_functions_that_the_loop_has_and_all_of_its_lines() -> None:
    lines = dict(re.findall(r"^\| ([\d-]+) \|.*\| (.*) \|$", ALGORITHM, flags=re.MULTILINE))
    assert list(lines) == ["1-2", "3", "4", "5", "6-9", "10", "11", "12", "13", "14", "15"]
    named = {
        name for line in lines.values() for name in re.findall(r"`([a-z_]+)`", line) if "_" in name or name == "begin"
    }
    called = (Path(loop.__file__)).read_text()
    settings = set(SettingsIn.model_fields)
    assert all(f"{name}(" in called for name in named - settings)


def test_what_the_pages_show_in_python_is_python() -> None:
    for page in [DOCS.parent / "README.md", *DOCS.rglob("*.md")]:
        for number, program in enumerate(
            re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        ):
            compile(program, f"{page.name}, program {number}", "exec")
