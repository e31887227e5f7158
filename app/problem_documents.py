"""Problem documents (RFC 9457) as plain values: stored with what failed, and sent. No HTTP framework here."""

import re
from collections.abc import Sequence
from typing import Any

TYPE_PREFIX = "urn:netadapt:problem:"
# What a problem repeats of a request is cut: a name of megabytes would come back, be stored and be logged.
MAX_DETAIL = 8000
MAX_FIELD = 500  # characters of each member of a field at fault
MAX_FIELDS = 50  # of one document that are told

SECRET = re.compile(r"(nat_|nas_|whsec_)[A-Za-z0-9+/=_-]{20,}")
"""Our tokens, sessions and webhook secrets, by how they begin."""

_ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")
"""Python says so of an object, and a library's error may repeat it (numpy: "<ast.Call object at ...>")."""


def problem_document(
    slug: str, title: str, status: int, detail: str, *, errors: Sequence[dict[str, str]] = ()
) -> dict[str, Any]:
    """`errors` say which field is at fault: each has `detail` and one of `pointer`, `parameter`, `header`; the first
    MAX_FIELDS are kept."""
    text = readable(detail, MAX_DETAIL)
    document: dict[str, Any] = {"type": TYPE_PREFIX + slug, "title": title, "status": status, "detail": text}
    if errors:
        document["errors"] = [
            {name: readable(value, MAX_FIELD) for name, value in error.items()} for error in errors[:MAX_FIELDS]
        ]
    return document


def without_secrets(text: str) -> str:
    """Of ours: each is cut to how it begins."""
    return SECRET.sub(r"\1...", text)


def readable(text: str, longest: int) -> str:
    """Cut in the middle to `longest` characters, without secrets of ours and addresses in memory, and what cannot be
    printed (control characters, halves of surrogate pairs, marks that turn the direction of writing) as its escape."""
    text = _ADDRESS.sub("", without_secrets(text))
    if len(text) > longest:
        left_out = f" ... ({len(text) - longest} characters) ... "
        text = text[: longest // 2] + left_out + text[-(longest // 2) :]
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
