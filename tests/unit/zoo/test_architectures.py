"""The zoo against its papers: figures within 3 % of what they print, shapes, names and what is refused."""

import json

import pytest

from adapt.errors import NetworkRefused
from adapt.formats.architecture import read_architecture
from adapt.graph.costs import costs
from adapt.graph.network import Graph
from adapt.graph.shapes import check_classifier, infer_shapes
from adapt.graph.shares import shares_by_kind
from adapt.zoo.architecture import ArchitectureDoesNotFit, ArchitectureNotFound, printed
from adapt.zoo.catalogue import ARCHITECTURES, FAMILIES, find_architecture, get_architecture
from tests.zoo_instances import SIBLINGS, SMALL_INSTANCES, small_instance

BAR = 0.03


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_mult_adds_and_parameters_are_the_papers(name: str) -> None:
    row = ARCHITECTURES[name]
    counted, paper = costs(row.graph()), row.published
    assert paper is not None
    for resource, figure, count in (("macs", paper.macs, counted.macs), ("params", paper.params, counted.params)):
        if resource in paper.counted_apart:
            assert paper.why
        elif figure is not None:
            assert figure.error_of(count / 1e6) <= BAR


def test_a_printed_figure_allows_half_a_unit_of_its_last_digit() -> None:
    assert printed("5.4").error_of(5.449) == 0
    assert printed("5.4").error_of(5.55) == pytest.approx(0.1 / 5.4)
    assert printed("138").error_of(137.4) == pytest.approx(0.1 / 138)


def test_mobilenet_v1_is_made_of_what_its_paper_says() -> None:
    """Table 2. Of the 3 x 3 convolution it prints 1.19 % of the mult-adds, but its column then sums to 99.29 %:
    10.8 of 569 million are 1.91 %, and with that it sums to 100."""
    shares = shares_by_kind(ARCHITECTURES["mobilenet_v1"].graph())
    in_percent = {kind: (round(100 * share.macs, 2), round(100 * share.params, 2)) for kind, share in shares.items()}
    assert in_percent == {
        "conv1x1": (94.86, 74.59),
        "depthwise": (3.06, 1.06),
        "conv3x3": (1.91, 0.02),
        "linear": (0.18, 24.33),
    }


@pytest.mark.parametrize("family", SMALL_INSTANCES)
def test_a_family_takes_any_number_of_classes_and_a_shape_of_the_users_own(family: str) -> None:
    graph = small_instance(family)
    assert check_classifier(graph, infer_shapes(graph)) == 7


@pytest.mark.parametrize("family", SMALL_INSTANCES)
def test_a_graph_reads_back_as_a_stranger_would_have_sent_it(family: str) -> None:
    graph = small_instance(family)
    assert read_architecture(json.loads(graph.to_json())) == graph


@pytest.mark.parametrize(
    "family", [name for name in SMALL_INSTANCES if name in FAMILIES and FAMILIES[name].excited is not None]
)
def test_squeeze_and_excitation_goes_behind_every_block(family: str) -> None:
    plain, excited = small_instance(family), small_instance(f"se_{family}")
    assert check_classifier(excited, infer_shapes(excited)) == 7
    assert read_architecture(json.loads(excited.to_json())) == excited
    gates = excited.weight_shapes.keys() - plain.weight_shapes.keys()
    assert len(gates) >= 4 * 5
    assert all(".se.fc" in name for name in gates)
    assert {name: shape for name, shape in excited.weight_shapes.items() if name not in gates} == plain.weight_shapes


def test_a_gate_is_squeezed_sixteenfold() -> None:
    shapes = get_architecture("se_mobilenet_v1").graph().weight_shapes
    assert shapes["features.13.se.fc1.weight"] == (64, 1024, 1, 1)
    assert shapes["features.13.se.fc2.weight"] == (1024, 64, 1, 1)


def test_every_family_has_a_small_instance_in_these_tests() -> None:
    assert set(SMALL_INSTANCES) | SIBLINGS == {*FAMILIES, "se_resnet50"}


def test_names_say_width_and_resolution_in_their_shortest_form() -> None:
    assert get_architecture("mobilenet_v1_0.50_160").image_shape == (3, 160, 160)
    assert get_architecture("mobilenet_v1_1.00_224").name == "mobilenet_v1"
    assert get_architecture("mobilenet_v2_96").image_shape == (3, 96, 96)
    assert get_architecture("mobilenet_v1_plain_0.25").family.name == "mobilenet_v1_plain"
    assert get_architecture("resnet18_128").image_shape == (3, 128, 128)
    assert get_architecture("mobilenet_v2_1.4").name == "mobilenet_v2_1.40"
    assert get_architecture("se_shufflenet_v2_1.50_96").name == "se_shufflenet_v2_1.50_96"


@pytest.mark.parametrize(
    "name", ["", "mobilenet", "vgg16_0.50", "mobilenet_v1_0.05", "mobilenet_v1_8", "mdl_a1", "../x"]
)
def test_what_the_zoo_does_not_have_has_no_name(name: str) -> None:
    assert find_architecture(name) is None
    with pytest.raises(ArchitectureNotFound):
        get_architecture(name)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("MobileNetV2", r"did you mean mobilenet_v2\?"),
        ("mobilenet_v3", "mobilenet_v3_large or mobilenet_v3_small"),
        ("SE-ResNet-50", r"did you mean se_resnet50\?"),
        ("densenet169", "densenet121"),
        ("vgg16_0.50", "vgg16 has no width multiplier"),
        ("shufflenet_v2_0.75", "has the widths 0.50, 1.00, 1.50, 2.00"),
        ("mobilenet_v1_9.00", "widths go from 0.10 to 4.00"),
        ("resnet18_2000", "resolutions go from 16 to 1024"),
        ("se_efficientnet_b0", "efficientnet_b0 has squeeze-and-excitation of its own"),
        ("bert", r"zoo: names are \[se_\]<family>"),
    ],
)
def test_a_name_that_is_none_gets_advice(name: str, advice: str) -> None:
    with pytest.raises(ArchitectureNotFound, match=advice):
        get_architecture(name)


def test_listed_names_are_what_they_stand_for() -> None:
    for name in ARCHITECTURES:
        assert find_architecture(name) == ARCHITECTURES[name]


@pytest.mark.parametrize("size", [32, 64])
def test_small_images_are_not_halved_at_once(size: int) -> None:
    shapes = infer_shapes(get_architecture("mobilenet_v1_0.25").graph(10, (1, size, size)))
    assert shapes["features_0_0"][2] == size
    assert shapes["features_13_4"][2] == size // 16
    assert infer_shapes(get_architecture("mobilenet_v2_0.35").graph(10, (3, 65, 65)))["features_0_0"][2] == 33


@pytest.mark.parametrize(
    ("name", "classes", "shape"),
    [
        ("vgg16", 10, (3, 16, 16)),
        ("alexnet", 10, (3, 32, 32)),
        ("resnet18", 1, (3, 64, 64)),
        ("resnet18", 10, (0, 64, 64)),
        ("resnet18", 10, (3, 5000, 64)),
    ],
)
def test_images_that_the_strides_do_not_allow_are_refused_by_name(
    name: str, classes: int, shape: tuple[int, int, int]
) -> None:
    with pytest.raises(ArchitectureDoesNotFit, match=name):
        get_architecture(name).graph(classes, shape)


def test_a_width_thins_every_layer() -> None:
    def filters(graph: Graph) -> int:
        return sum(shape[0] for shape in graph.weight_shapes.values() if len(shape) == 4)

    assert filters(get_architecture("mobilenet_v2_0.50").graph()) < 0.6 * filters(
        get_architecture("mobilenet_v2").graph()
    )


def test_what_cannot_be_shared_out_is_refused_as_anywhere() -> None:
    graph = small_instance("resnet18")
    with pytest.raises(NetworkRefused):
        shares_by_kind(graph.with_weight_shapes({"conv1.weight": (64, 5, 7, 7)}))
