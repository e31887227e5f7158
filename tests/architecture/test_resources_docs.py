"""docs/resources.md names the resources there are, and its worked example runs as it stands there."""

import re
from pathlib import Path

import pytest

import netadapt
from adapt.errors import AdaptError
from adapt.events import IterationDone, Measured
from adapt.spec import RESOURCES
from tests.trained import trained_pt2

TEXT = (Path(__file__).parents[2] / "docs" / "resources.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
FAST = {"preset": "quick", "short_term_steps": 2, "long_term_epochs": 1, "executor": "serial"}


def test_the_page_names_every_resource() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert tuple(rows) == RESOURCES
    assert "peak_memory_bytes" in TEXT


class Counter:
    """A stand-in for the processor's: joules grow with the mult-adds that were run, by the test's own clock."""

    def __init__(self) -> None:
        self.joules, self.per_run = 0.0, 0.0

    def __call__(self) -> float:
        self.joules += 20 * self.per_run
        return self.joules


def test_the_worked_example_meets_a_budget_in_energy(tmp_path: Path) -> None:
    names: dict = {}
    exec(compile(BLOCKS[0], "docs/resources.md", "exec"), names)  # our own page
    counter = Counter()

    class Told(names["EnergyPerInference"]):
        """Tells the counter which network is about to run."""

        def measure(self, key, network, effort="usual"):
            counter.per_run = names["costs"](network.graph).macs * 1e-9
            return super().measure(key, network, effort)

    path = tmp_path / "network.pt2"
    path.write_bytes(trained_pt2())
    events: list = []
    adapted = netadapt.run(
        path,
        {"energy_mj": "70%"},
        resources={"energy_mj": Told(counter)},
        on_event=events.append,
        **FAST,
    )
    energy = [event for event in events if isinstance(event, Measured) and event.resource == "energy_mj"]
    original = next(event.figure for event in energy if event.key == "0")
    assert adapted.figures["energy_mj"].high <= 0.7 * original.value
    assert adapted.resources["energy_mj"] == adapted.figures["energy_mj"].value
    assert adapted.iterations == len([event for event in events if isinstance(event, IterationDone)]) > 0
    assert {event.key for event in energy} >= {"0", "smallest", "1", f"final-{adapted.iterations}"}


def test_the_example_without_a_counter_measures_time_and_both_readers_count_up() -> None:
    names: dict = {}
    exec(compile(BLOCKS[0], "docs/resources.md", "exec"), names)
    first = names["joules_by_clock"]()
    assert names["joules_by_clock"]() > first
    if names["RAPL"].exists():
        assert names["joules_by_counter"]() >= 0
    compile(BLOCKS[1], "docs/resources.md", "exec")
    assert "netadapt.run(" in BLOCKS[1]


def test_a_step_of_what_is_no_resource_is_refused() -> None:
    with pytest.raises(AdaptError, match=r"^schedule: latency is no resource; there are latency_ms"):
        netadapt.run("net.pt2", {"macs": "60%"}, schedule={"latency": {"initial": 0.1, "decay": 1.0}})


@pytest.mark.parametrize(
    ("budget", "own", "why"),
    [
        ({"energy_mj": "60%"}, {}, "energy_mj is no resource; there are latency_ms, macs, params, memory_bytes"),
        ({}, {}, "budget: names no resource; there are latency_ms, macs, params, memory_bytes"),
        ({"macs": 0}, {}, "budget: macs: 0 is neither a number above 0 nor a percentage such as '60%'"),
        ({"macs": float("nan")}, {}, "budget: macs: nan is neither"),
        ({"macs": "-5%"}, {}, "budget: macs: '-5%' is neither"),
        ({"macs": None}, {}, "budget: macs: None is neither"),
        ({"macs": "60%"}, {"macs": object()}, "macs is there already"),
        ({"peak_memory_bytes": 1e6}, {}, "limit memory_bytes"),
    ],
)
def test_a_name_that_is_no_resource_or_one_of_ours_is_refused(
    tmp_path: Path, budget: dict, own: dict, why: str
) -> None:
    path = tmp_path / "network.pt2"
    path.write_bytes(trained_pt2())
    with pytest.raises(AdaptError, match=why):
        netadapt.run(path, budget, resources=own, **FAST)
