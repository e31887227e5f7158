"""Who names a file is found by an index: without one, removing a file reads every row that could name it"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_NAMING = {
    "models": ("weights_sha256", "onnx_sha256"),
    "datasets": ("sha256", "images_sha256", "labels_sha256", "sample_sha256"),
    "checkpoint_files": ("sha256",),
    "epoch_states": ("sha256",),
}


def upgrade() -> None:
    for table, columns in _NAMING.items():
        for column in columns:
            op.create_index(op.f(f"ix_{table}_{column}"), table, [column])


def downgrade() -> None:
    for table, columns in _NAMING.items():
        for column in columns:
            op.drop_index(op.f(f"ix_{table}_{column}"), table)
