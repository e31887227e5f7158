"""Names in a file of weights: whatever stands before them, each is one tensor's."""

import pytest

from adapt.errors import NetworkRefused
from adapt.zoo.catalogue import get_architecture
from adapt.zoo.state_names import file_names


def test_a_tensor_inside_and_one_outside_of_a_prefix_are_not_taken_for_each_other() -> None:
    architecture = get_architecture("squeezenet1_1")
    shapes = architecture.published_graph().weight_shapes
    stored = {f"model.{name}": shape for name, shape in shapes.items()}
    assert file_names(architecture, stored) == {name: f"model.{name}" for name in shapes}
    stray = next(reversed(shapes))
    with pytest.raises(NetworkRefused, match=r"is model\..* too, but for the prefix"):
        file_names(architecture, {**stored, stray: shapes[stray]})
