"""Problem documents (RFC 9457) as plain values: stored with what failed, and sent. No HTTP framework here."""

from collections.abc import Sequence
from typing import Any

TYPE_PREFIX = "urn:netadapt:problem:"


def problem_document(
    slug: str, title: str, status: int, detail: str, *, errors: Sequence[dict[str, str]] = ()
) -> dict[str, Any]:
    """`errors` say which field is at fault: each has `detail` and one of `pointer`, `parameter`, `header`."""
    document: dict[str, Any] = {"type": TYPE_PREFIX + slug, "title": title, "status": status, "detail": detail}
    if errors:
        document["errors"] = list(errors)
    return document
