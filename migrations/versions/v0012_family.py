"""Members of a family, the network that a result is compared with, and figures of a larger hold-out"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_KINDS = ("original", "pick", "final", "uniform")


def upgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("from_iteration", sa.Integer(), nullable=True))
        jobs.add_column(sa.Column("uniform", sa.JSON(none_as_null=True), nullable=True))
    with op.batch_alter_table("proposals") as proposals:
        proposals.add_column(sa.Column("judged_again", sa.JSON(none_as_null=True), nullable=True))
    with op.batch_alter_table("checkpoints") as checkpoints:
        checkpoints.add_column(sa.Column("holdout_accuracy", sa.Double(), nullable=True))
        checkpoints.drop_constraint(op.f("ck_checkpoints_kind"), type_="check")
        checkpoints.create_check_constraint(op.f("ck_checkpoints_kind"), _one_of("kind", _KINDS))
    # What was picked has been scored on the hold-out, and on nothing else.
    op.execute("UPDATE checkpoints SET holdout_accuracy = accuracy WHERE kind = 'pick'")


def downgrade() -> None:
    op.execute("DELETE FROM checkpoints WHERE kind = 'uniform'")
    with op.batch_alter_table("checkpoints") as checkpoints:
        checkpoints.drop_constraint(op.f("ck_checkpoints_kind"), type_="check")
        checkpoints.create_check_constraint(op.f("ck_checkpoints_kind"), _one_of("kind", _KINDS[:3]))
        checkpoints.drop_column("holdout_accuracy")
    with op.batch_alter_table("proposals") as proposals:
        proposals.drop_column("judged_again")
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("uniform")
        jobs.drop_column("from_iteration")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"
