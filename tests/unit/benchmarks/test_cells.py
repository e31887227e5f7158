"""Results are found again by what they follow from, and an interrupted one goes on from where it was."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.cells import Cell, Cells
from tests.toy_search import chain_network

CELL = Cell(kind="trained", config={"network": "chain", "seed": 1})


def test_a_result_is_found_by_its_configuration_and_by_no_other(tmp_path: Path) -> None:
    Cells(tmp_path).store(CELL, {"test": 0.9})
    again = Cells(tmp_path)
    found = again.find(Cell(kind="trained", config={"seed": 1, "network": "chain"}))
    assert found is not None
    assert found.values == {"test": 0.9}
    assert again.find(Cell(kind="trained", config={"network": "chain", "seed": 2})) is None
    assert again.find(Cell(kind="other", config=CELL.config)) is None


def test_the_network_of_a_result_comes_back_bit_for_bit(tmp_path: Path) -> None:
    network = chain_network()
    cells = Cells(tmp_path)
    cells.store(CELL, {}, network)
    found = cells.find(CELL)
    assert found is not None
    assert found.network.graph == network.graph
    assert all(np.array_equal(found.network.weights[name], tensor) for name, tensor in network.weights.items())


def test_what_is_kept_halfway_comes_back_until_the_result_is_there(tmp_path: Path) -> None:
    cells = Cells(tmp_path)
    assert cells.halfway(CELL) is None
    cells.keep_halfway(CELL, {"epoch": 3}, {"weights/a": np.arange(3.0), "counter": np.array(7)})
    assert cells.find(CELL) is None
    halfway = cells.halfway(CELL)
    assert halfway is not None
    assert halfway.values == {"epoch": 3}
    assert halfway.arrays["weights/a"].tolist() == [0, 1, 2]
    cells.store(CELL, {})
    assert cells.halfway(CELL) is None


def test_a_configuration_that_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = Cell(kind="trained", config={"rate": float("nan")}).key
