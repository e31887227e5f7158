"""Names that users give to what they upload: labels for people, never paths or keys."""

from app.uploads import FieldRefused

MAX_NAME = 200


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
