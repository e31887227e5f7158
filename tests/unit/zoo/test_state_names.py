"""Names in a file of weights: whatever stands before them, each is one tensor's."""

import zipfile
from pathlib import Path

import pytest

from adapt.errors import FormatRefused, NetworkRefused
from adapt.zoo.catalogue import get_architecture
from adapt.zoo.published import read_published
from adapt.zoo.state_names import file_names


def test_a_tensor_inside_and_one_outside_of_a_prefix_are_not_taken_for_each_other() -> None:
    architecture = get_architecture("squeezenet1_1")
    shapes = architecture.published_graph().weight_shapes
    stored = {f"model.{name}": shape for name, shape in shapes.items()}
    assert file_names(architecture, stored) == {name: f"model.{name}" for name in shapes}
    stray = next(reversed(shapes))
    with pytest.raises(NetworkRefused, match=r"is model\..* too, but for the prefix"):
        file_names(architecture, {**stored, stray: shapes[stray]})


def test_a_checkpoint_of_torch_save_is_told_how_to_become_weights(tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("resnet18/data.pkl", b"\x80\x02}q\x00.")
    with pytest.raises(FormatRefused, match=r"pickled checkpoint .*save_file.*weights_only=True"):
        read_published(path, "resnet18")


def test_a_network_that_carries_its_structure_needs_no_architecture(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"\x08\x08\x12\x07pytorch" + bytes(100))
    with pytest.raises(FormatRefused, match=r"a \.onnx file carries its own structure; leave out `architecture`"):
        read_published(path, "resnet18")
