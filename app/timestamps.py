"""Times as every answer of the service spells them."""

from datetime import UTC, datetime


def rfc3339(at: datetime | None) -> str | None:
    """UTC with a Z, to the millisecond."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
