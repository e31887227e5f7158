"""How long each job has run, pauses left out"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Of jobs that are there nobody counted it; they begin at nothing.
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("ran_s", sa.Double(), nullable=False, server_default="0"))
    with op.batch_alter_table("jobs") as jobs:
        jobs.alter_column("ran_s", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("ran_s")
