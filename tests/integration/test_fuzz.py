"""A few hundred mutated files of each format: read, or refused by an error that becomes an answer 4xx."""

import subprocess
import sys

import pytest

from benchmarks.fuzz import Tallies, fuzz
from benchmarks.fuzzing.formats import FORMATS

CASES = {"pt2": 200, "onnx": 250, "safetensors": 150, "npz": 250, "zip": 100, "tar": 100, "packed-tar": 40}
CASES |= {"parquet": 120, "lookup-table": 200}


@pytest.fixture(scope="module")
def tallies(tmp_path_factory: pytest.TempPathFactory) -> Tallies:
    """By another seed than the bench's, so that the two do not try the same files; in one child."""
    folder = tmp_path_factory.mktemp("corpus")
    subprocess.run([sys.executable, "-m", "benchmarks.fuzzing.corpus", str(folder)], check=True)
    return fuzz(folder, 1, [(name, 0, count) for name, count in CASES.items()])


@pytest.mark.parametrize("name", FORMATS)
def test_a_mutated_file_is_read_or_refused(name: str, tallies: Tallies) -> None:
    tally = tallies[name]
    assert tally.findings == []
    assert tally.cases == CASES[name]
    assert tally.outcomes["read"] > 0  # else only the container is ever looked at
    assert len(tally.outcomes) > 1
