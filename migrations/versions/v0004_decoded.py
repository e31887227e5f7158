"""Images that are decoded once: where a data set's pixels, labels and thumbnails lie; data sets of before have none"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS = ("images_sha256", "labels_sha256", "sample_sha256")


def upgrade() -> None:
    # In words of both databases: batch mode would rebuild a table that jobs point at for the sake of the reference.
    for column in _COLUMNS:
        name = f"fk_datasets_{column}_blobs"
        op.execute(f"ALTER TABLE datasets ADD COLUMN {column} VARCHAR(64) CONSTRAINT {name} REFERENCES blobs (sha256)")


def downgrade() -> None:
    with op.batch_alter_table("datasets") as datasets:
        for column in _COLUMNS:
            datasets.drop_constraint(f"fk_datasets_{column}_blobs", type_="foreignkey")
            datasets.drop_column(column)
