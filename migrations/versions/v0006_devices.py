"""Devices: what a target runs with, tasks for an agent, whole networks that were measured, figures that were new"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_FORMATS = ("onnx", "onnx-int8", "pt2", "safetensors")
_LANES = ("short", "long", "device")


def upgrade() -> None:
    with op.batch_alter_table("targets") as targets:
        targets.add_column(sa.Column("provider_options", sa.JSON(none_as_null=True), nullable=True))
        targets.add_column(sa.Column("instance", sa.Text(), nullable=True))
    agent = sa.text("kind = 'agent'")
    op.create_index(
        "uq_targets_agent", "targets", ["owner", "name"], unique=True, sqlite_where=agent, postgresql_where=agent
    )
    with op.batch_alter_table("lookup_entries") as entries:
        entries.add_column(sa.Column("measured_at", sa.DateTime(timezone=True), nullable=True))
    # Every entry of a measured target was stored when it was measured; uploaded tables said nothing.
    op.execute("UPDATE lookup_entries SET measured_at = created_at WHERE conditions_key <> 'fixed'")
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("effective", sa.JSON(none_as_null=True), nullable=True))
    with op.batch_alter_table("checkpoints") as checkpoints:
        checkpoints.add_column(sa.Column("peak_memory_bytes", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("checkpoint_files") as files:
        files.add_column(sa.Column("accuracy", sa.Double(), nullable=True))
        files.drop_constraint(op.f("ck_checkpoint_files_format"), type_="check")
        files.create_check_constraint(op.f("ck_checkpoint_files_format"), _one_of("format", _FORMATS))
    with op.batch_alter_table("tasks") as tasks:
        tasks.add_column(sa.Column("target_id", sa.Text(), nullable=True))
        tasks.drop_constraint(op.f("ck_tasks_lane"), type_="check")
        tasks.create_check_constraint(op.f("ck_tasks_lane"), _one_of("lane", _LANES))
        tasks.create_foreign_key(
            op.f("fk_tasks_target_id_targets"), "targets", ["target_id"], ["id"], ondelete="CASCADE"
        )
    op.create_table(
        "network_latencies",
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("conditions_key", sa.Text(), nullable=False),
        sa.Column("structure", sa.Text(), nullable=False),
        sa.Column("ms", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.Column("original_ms", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["target_id"], ["targets.id"], name=op.f("fk_network_latencies_target_id_targets"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_network_latencies_model_id_models"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "target_id", "model_id", "conditions_key", "structure", name=op.f("pk_network_latencies")
        ),
    )


def downgrade() -> None:
    op.drop_table("network_latencies")
    op.execute("DELETE FROM tasks WHERE lane = 'device'")
    with op.batch_alter_table("tasks") as tasks:
        tasks.drop_constraint(op.f("fk_tasks_target_id_targets"), type_="foreignkey")
        tasks.drop_constraint(op.f("ck_tasks_lane"), type_="check")
        tasks.create_check_constraint(op.f("ck_tasks_lane"), _one_of("lane", _LANES[:2]))
        tasks.drop_column("target_id")
    op.execute("DELETE FROM checkpoint_files WHERE format = 'onnx-int8'")
    with op.batch_alter_table("checkpoint_files") as files:
        files.drop_constraint(op.f("ck_checkpoint_files_format"), type_="check")
        files.create_check_constraint(
            op.f("ck_checkpoint_files_format"), _one_of("format", ("onnx", "pt2", "safetensors"))
        )
        files.drop_column("accuracy")
    op.drop_index("uq_targets_agent", "targets")
    with op.batch_alter_table("lookup_entries") as entries:
        entries.drop_column("measured_at")
    with op.batch_alter_table("checkpoints") as checkpoints:
        checkpoints.drop_column("peak_memory_bytes")
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_column("effective")
    with op.batch_alter_table("targets") as targets:
        targets.drop_column("instance")
        targets.drop_column("provider_options")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"
