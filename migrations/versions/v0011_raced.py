"""Where a proposal left its race, how far the best one was ahead, and which hold-out images it answered"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_COLUMNS = {"rung": sa.Integer, "behind": sa.Double, "behind_standard_error": sa.Double, "answers": sa.Text}


def upgrade() -> None:
    # Proposals that are there were in no race.
    with op.batch_alter_table("proposals") as proposals:
        for name, kind in _COLUMNS.items():
            proposals.add_column(sa.Column(name, kind(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("proposals") as proposals:
        for name in _COLUMNS:
            proposals.drop_column(name)
