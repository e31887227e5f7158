"""Uploads are read in a child process: its result, its refusals and its limits come back as values."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from adapt.checkpoint import read_network, read_safetensors
from adapt.child_process import ChildLimits
from adapt.errors import FormatRefused, NetworkRefused, UnsupportedOperator
from adapt.formats.sandbox import read_in_child
from tests.pt2_files import edited, node_of, small_pt2, with_entry


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    path = tmp_path / "upload"
    path.write_bytes(small_pt2())
    return path


def test_the_child_leaves_a_checkpoint_of_ours(upload, tmp_path):
    out = tmp_path / "out.safetensors"
    graph = read_in_child(upload, out)
    expected, actual = read_network(upload), read_safetensors(out)
    assert graph == actual.graph == expected.graph
    for name, tensor in expected.weights.items():
        np.testing.assert_array_equal(actual.weights[name], tensor)


@pytest.mark.parametrize(
    ("change", "kind", "named"),
    [
        (lambda data: b"text", FormatRefused, "not a .pt2"),
        (lambda data: with_entry(data, "byteorder", b"big"), NetworkRefused, "little-endian"),
        (
            lambda data: edited(data, model=lambda d: node_of(d, "relu.default").update(target="torch.ops.aten.x.y")),
            UnsupportedOperator,
            "aten.x.y",
        ),
    ],
)
def test_a_refusal_comes_back_as_the_same_error_and_leaves_nothing(change, kind, named, upload, tmp_path):
    upload.write_bytes(change(upload.read_bytes()))
    out = tmp_path / "out.safetensors"
    with pytest.raises(kind, match=named) as refused:
        read_in_child(upload, out)
    assert type(refused.value) is kind
    assert not out.exists()


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (ChildLimits(memory_bytes=32 << 20), "MiB of memory"),
        (ChildLimits(cpu_s=0), "CPU time"),
        (ChildLimits(wall_s=0.001), "longer than 0.001 s"),
    ],
)
def test_a_child_that_runs_over_a_limit_is_a_refusal_that_says_which(limits, named, upload, tmp_path):
    out = tmp_path / "out.safetensors"
    upload.write_bytes(edited(upload.read_bytes(), model=lambda d: d.update(comment="x" * (20 << 20))))
    with pytest.raises(NetworkRefused, match=named):
        read_in_child(upload, out, limits)
    assert not out.exists()


def test_reading_and_writing_files_loads_no_torch():
    code = (
        "import sys, adapt.checkpoint, adapt.formats.sandbox, adapt.formats.onnx_writer, adapt.graph.costs;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
