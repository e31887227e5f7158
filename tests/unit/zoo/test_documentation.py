"""docs/zoo.md says what the code does."""

from pathlib import Path

from adapt.zoo.catalogue import FAMILIES, get_architecture
from benchmarks.zoo import BAR, counted_rows, notes, table

TEXT = (Path(__file__).parents[3] / "docs" / "zoo.md").read_text()


def test_the_documents_table_is_the_benchmarks() -> None:
    rows = counted_rows()
    assert TEXT.endswith("\n".join([*table(rows), "", *notes(rows), ""]))
    assert all(row["within"] for row in rows)


def test_what_is_counted_apart_is_marked_and_explained() -> None:
    apart = [row for row in counted_rows() if row["counted_apart"]]
    assert [row["name"] for row in apart] == ["mobilenet_v2_1.40", "squeezenet1_0", "googlenet_3x3"]
    for row in apart:
        assert row["note"]
        assert f"| `{row['name']}` |" in TEXT
    assert TEXT.count("(apart)") == sum(len(row["counted_apart"]) for row in apart) == 3  # type: ignore[arg-type]
    assert f"within {BAR:.0%}".replace("%", " %") in TEXT


def test_families_that_take_no_se_are_named() -> None:
    own = [name for name, family in FAMILIES.items() if family.excited is None]
    line = next(line for line in TEXT.splitlines() if line.startswith("| `se_` |"))
    assert sorted(own) == sorted(part for part in line.split("`")[3::2])


def test_names_in_the_text_are_names() -> None:
    for name in ("mobilenet_v2_0.50", "mobilenet_v1_0.50_160", "se_resnet18_96", "shufflenet_v2_1.50"):
        assert f"`{name}`" in TEXT
        assert get_architecture(name).name == name
