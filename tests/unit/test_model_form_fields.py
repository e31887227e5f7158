"""What comes beside a network file is checked against the network, and the field at fault is named."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapt.spec import IMAGENET, Normalization
from app.labels import label_from_filename, parse_name
from app.models.form_fields import parse_classes, parse_normalization
from app.uploads import FieldRefused


def test_normalization_defaults_to_imagenets_for_three_channels_and_one_half_for_one() -> None:
    assert parse_normalization(None, 3) == IMAGENET
    assert parse_normalization(None, 1) == Normalization(mean=(0.5,), std=(0.5,))


def test_normalization_is_taken_as_given() -> None:
    assert parse_normalization('{"mean": [0], "std": [1]}', 1) == Normalization(mean=(0.0,), std=(1.0,))


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("", "/normalization"),
        ("{", "/normalization"),
        ("[" * 100_000, "/normalization"),
        ("9" * 5000, "/normalization"),
        ("[1]", "/normalization"),
        ('{"mean": [0]}', "/normalization"),
        ('{"mean": [0], "std": [1], "gamma": 1}', "/normalization"),
        ('{"mean": [0, 0], "std": [1]}', "/normalization/mean"),
        ('{"mean": 0, "std": [1]}', "/normalization/mean"),
        ('{"mean": ["0"], "std": [1]}', "/normalization/mean"),
        ('{"mean": [true], "std": [1]}', "/normalization/mean"),
        ('{"mean": [NaN], "std": [1]}', "/normalization"),
        ('{"mean": [1e999], "std": [1]}', "/normalization/mean"),
        ('{"mean": [' + "9" * 400 + '], "std": [1]}', "/normalization/mean"),
        ('{"mean": [0], "std": [0]}', "/normalization/std"),
        ('{"mean": [0], "std": [-1]}', "/normalization/std"),
        ('{"mean": [0], "std": [1e-300]}', "/normalization/std"),
        ('{"mean": [0], "std": []}', "/normalization/std"),
    ],
)
def test_a_bad_normalization_is_refused_by_pointer(text: str, pointer: str) -> None:
    with pytest.raises(FieldRefused) as caught:
        parse_normalization(text, 1)
    assert caught.value.pointer == pointer


def test_classes_are_names_in_the_networks_order() -> None:
    assert parse_classes('["cat", "dog"]', 2) == ("cat", "dog")
    assert parse_classes(None, 2) is None


@pytest.mark.parametrize(
    "text", ["", "{}", '["cat"]', '["cat", 1]', '["cat", "cat"]', '["cat", ""]', '["a\\u0000", "b"]']
)
def test_bad_classes_are_refused(text: str) -> None:
    with pytest.raises(FieldRefused) as caught:
        parse_classes(text, 2)
    assert caught.value.pointer == "/classes"


@given(st.text(max_size=300), st.integers(1, 4))
def test_any_text_is_either_read_or_refused(text: str, channels: int) -> None:
    for parse in (parse_normalization, parse_classes):
        try:
            parse(text, channels)
        except FieldRefused:
            continue
    with suppress(FieldRefused):
        assert parse_name(text, "net") == text.strip()


@given(st.text(max_size=300))
def test_any_file_name_gives_a_label(filename: str) -> None:
    label = label_from_filename(filename, "net")
    assert parse_name(label, "net") == label
    assert json.loads(json.dumps(label)) == label
