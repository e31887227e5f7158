"""The page that a benchmark writes: a table, the conditions, and what was printed."""

from pathlib import Path

import pytest

from benchmarks import results


def test_a_page_has_every_figure_and_every_condition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    rows = [{"iteration": 2, "wall_s": 1.25}, {"iteration": 3, "wall_s": 1.5}]
    line = {"bench": "overhead", "met": True, "ratio": 1.1, "conditions": {"cores": 2, "settings": {"steps": 10}}}
    page = results.write_page("overhead", "What it is.\n", rows, line).read_text()
    assert page.startswith("# overhead\n\nWhat it is.\n\nWritten by `make bench NAME=overhead`.")
    assert "| iteration | wall_s |\n| ---: | ---: |\n| 2 | 1.25 |\n| 3 | 1.5 |" in page
    assert '- cores: 2\n- settings: {"steps": 10}' in page
    assert '{"met": true, "ratio": 1.1}' in page
