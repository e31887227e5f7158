"""The data set and the target that are always there: jobs point at their rows as at any other"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SINCE = datetime(2000, 1, 1, tzinfo=UTC)  # older than whatever a user adds: listings are newest first
_TRAIN = (142, 146, 142, 146, 145, 146, 145, 143, 139, 144)
_TEST = (36, 36, 35, 37, 36, 36, 36, 36, 35, 36)
_OWNED = ("id", "owner", "name")


def upgrade() -> None:
    op.bulk_insert(_datasets(), [_digits()])
    op.bulk_insert(_targets(), [_local()])


def downgrade() -> None:
    op.execute(_targets().delete().where(sa.column("id") == "local"))
    op.execute(_datasets().delete().where(sa.column("id") == "digits"))


def _datasets() -> sa.TableClause:
    texts = (sa.column(name, sa.Text()) for name in (*_OWNED, "identity", "state", "format"))
    documents = (sa.column(name, sa.JSON()) for name in ("classes", "counts", "image_shape", "splits"))
    rest = (sa.column("bytes", sa.BigInteger()), sa.column("created_at", sa.DateTime(timezone=True)))
    return sa.table("datasets", *texts, *documents, *rest)


def _digits() -> dict[str, Any]:
    """What `adapt.data.digits` says of itself (a test compares), so that the API need not load scikit-learn."""
    return {
        "id": "digits",
        "owner": "system",
        "name": "digits",
        "identity": "digits",
        "state": "ready",
        "format": "builtin",
        "bytes": 0,
        "classes": [str(digit) for digit in range(10)],
        "counts": {
            str(digit): {"train": train, "test": test}
            for digit, (train, test) in enumerate(zip(_TRAIN, _TEST, strict=True))
        },
        "image_shape": [8, 8, 1],
        "splits": {"train": 1438, "test": 359, "test_from": "a stratified 20 % of the images, fixed"},
        "created_at": _SINCE,
    }


def _targets() -> sa.TableClause:
    texts = (sa.column(name, sa.Text()) for name in (*_OWNED, "kind", "runtime", "provider", "precision", "state"))
    numbers = (sa.column(name, sa.Integer()) for name in ("threads", "batch"))
    return sa.table("targets", *texts, *numbers, sa.column("created_at", sa.DateTime(timezone=True)))


def _local() -> dict[str, Any]:
    return {
        "id": "local",
        "owner": "system",
        "name": "this machine",
        "kind": "local",
        "runtime": "onnxruntime",
        "provider": "CPUExecutionProvider",
        "precision": "float32",
        "state": "ready",
        "threads": 1,
        "batch": 1,
        "created_at": _SINCE,
    }
