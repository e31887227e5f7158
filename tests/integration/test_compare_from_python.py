"""`netadapt.run(..., compare="uniform")`: the comparison without the service."""

from pathlib import Path

import netadapt
from adapt.checkpoint import read_safetensors, write_safetensors
from adapt.graph.costs import costs
from tests.trained import trained_pt2


def test_a_result_comes_with_the_uniformly_thinned_network_and_its_figures(tmp_path: Path) -> None:
    path = tmp_path / "network.pt2"
    path.write_bytes(trained_pt2())
    fast = {"preset": "quick", "short_term_steps": 2, "long_term_epochs": 1, "executor": "serial"}
    adapted = netadapt.run(path, {"params": "70%", "macs": "80%"}, compare="uniform", **fast)
    uniform = adapted.uniform
    assert uniform is not None
    for resource in ("params", "macs"):
        assert uniform.resources[resource] <= adapted.resources[resource]
        assert costs(uniform.network.graph).resources[resource] == uniform.resources[resource]
    assert 0 < uniform.width < 1
    assert uniform.steps > 2 * adapted.iterations
    assert uniform.latency is not None
    assert uniform.latency.measured
    assert all(0 <= score.accuracy <= 1 for score in (uniform.holdout, uniform.test))
    assert 0 <= adapted.holdout_accuracy <= 1
    (tmp_path / "uniform.safetensors").write_bytes(write_safetensors(uniform.network))
    assert read_safetensors(tmp_path / "uniform.safetensors").graph.output == uniform.network.graph.output
    assert netadapt.run(path, {"params": "70%", "macs": "80%"}, **fast).uniform is None
