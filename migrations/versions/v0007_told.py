"""Messages of webhooks that outlive their job, counters that outlive what they count, and who serves which lane"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_LAST_STATES = "('succeeded', 'failed', 'cancelled')"


def upgrade() -> None:
    # No version before this one had webhooks: whatever stands here was never to be sent.
    op.execute("DELETE FROM webhook_deliveries")
    op.drop_index("ix_webhook_deliveries_job_id", "webhook_deliveries")
    op.drop_index("ix_webhook_deliveries_webhook_id", "webhook_deliveries")
    with op.batch_alter_table("webhook_deliveries") as deliveries:
        deliveries.drop_constraint(op.f("fk_webhook_deliveries_job_id_jobs"), type_="foreignkey")
        deliveries.drop_column("event_number")
        deliveries.add_column(sa.Column("event", sa.Text(), nullable=False))
        deliveries.add_column(sa.Column("body", sa.Text(), nullable=False))
    op.create_index(
        "ix_webhook_deliveries_webhook_id_created_at_id", "webhook_deliveries", ["webhook_id", "created_at", "id"]
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", name=op.f("pk_counters")),
    )
    op.execute("INSERT INTO counters SELECT 'proposals', state, count(*) FROM proposals GROUP BY state")
    op.execute(
        f"INSERT INTO counters SELECT 'jobs', state, count(*) FROM jobs WHERE state IN {_LAST_STATES} GROUP BY state"
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )


def downgrade() -> None:
    op.drop_table("workers")
    op.drop_table("counters")
    op.execute("DELETE FROM webhook_deliveries")
    op.drop_index("ix_webhook_deliveries_webhook_id_created_at_id", "webhook_deliveries")
    with op.batch_alter_table("webhook_deliveries") as deliveries:
        deliveries.drop_column("body")
        deliveries.drop_column("event")
        deliveries.add_column(sa.Column("event_number", sa.Integer(), nullable=False))
        deliveries.create_foreign_key(
            op.f("fk_webhook_deliveries_job_id_jobs"), "jobs", ["job_id"], ["id"], ondelete="CASCADE"
        )
    op.create_index("ix_webhook_deliveries_webhook_id", "webhook_deliveries", ["webhook_id"])
    op.create_index("ix_webhook_deliveries_job_id", "webhook_deliveries", ["job_id"])
