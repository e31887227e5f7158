"""A lane for what measures, and indices by which owners take turns and their jobs are counted and listed by state"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_LANES = ("short", "measuring", "long", "device")
_LANES_BEFORE = ("short", "long", "device")
_MEASURING = "kind IN ('profile', 'measure-reach', 'target-check')"


def upgrade() -> None:
    _check_lanes(_LANES)
    op.execute(f"UPDATE tasks SET lane = 'measuring' WHERE lane = 'short' AND {_MEASURING}")
    op.create_index("ix_jobs_owner_started_at", "jobs", ["owner", "started_at"])
    op.create_index("ix_jobs_owner_state_created_at_id", "jobs", ["owner", "state", "created_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_owner_state_created_at_id", "jobs")
    op.drop_index("ix_jobs_owner_started_at", "jobs")
    op.execute("UPDATE tasks SET lane = 'short' WHERE lane = 'measuring'")
    _check_lanes(_LANES_BEFORE)


def _check_lanes(lanes: tuple[str, ...]) -> None:
    listed = ", ".join(repr(lane) for lane in lanes)
    with op.batch_alter_table("tasks") as tasks:
        tasks.drop_constraint(op.f("ck_tasks_lane"), type_="check")
        tasks.create_check_constraint(op.f("ck_tasks_lane"), sa.text(f"lane IN ({listed})"))
