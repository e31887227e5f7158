"""HTML from values: what a user wrote is escaped here, and nowhere else."""

from collections.abc import Iterable
from html import escape


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """`<tag a="1">...</tag>`; None leaves an attribute or a child out, `class_` is the attribute `class`, and `_`
    stands for a hyphen. What is not Markup is escaped."""
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{given}>{joined(children)}</{tag}>")


def joined(children: Iterable[object]) -> Markup:
    parts = []
    for child in children:
        if isinstance(child, Markup):
            parts.append(str(child))
        elif isinstance(child, list | tuple):
            parts.append(str(joined(child)))
        elif child is not None:
            parts.append(escape(str(child)))
    return Markup("".join(parts))


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Markup:
    return element(
        "table",
        element("thead", element("tr", [element("th", name, scope="col") for name in head])),
        element("tbody", [element("tr", [element("td", cell) for cell in row]) for row in rows]),
    )
