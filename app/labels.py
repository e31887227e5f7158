"""Names that users give to what they upload: labels for people, never paths or keys."""

from typing import Annotated

from pydantic import AfterValidator, Field

from app.uploads import FieldRefused

MAX_NAME = 200


def _printable(name: str) -> str:
    if not name.isprintable() or not name.strip():
        raise ValueError("has to be printable, and more than spaces")
    return name.strip()


Label = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_printable)]
"""The name in a JSON body, trimmed."""


def parse_name(text: str | None, default: str) -> str:
    """The label of a resource: printable, trimmed, never empty. Raises FieldRefused."""
    name = default if text is None else text.strip()
    if not 1 <= len(name) <= MAX_NAME:
        raise FieldRefused("/name", f"takes 1 to {MAX_NAME} characters, got {len(name)}")
    if not name.isprintable():
        raise FieldRefused("/name", "has characters that cannot be printed")
    return name


def label_from_filename(filename: str, default: str) -> str:
    """A default name from what the client calls its file; only ever a label, never a path."""
    stem = "".join(char for char in filename.replace("\\", "/").rsplit("/", 1)[-1] if char.isprintable()).strip()
    return stem[:MAX_NAME] or default
