"""Groups that shrink in one proposal with its first one; proposals of before have none"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("proposals") as proposals:
        proposals.add_column(sa.Column("further", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("proposals") as proposals:
        proposals.drop_column("further")
