"""How large a job's hold-out is: recorded once, with the scores of the original."""

from sqlalchemy.orm import Session

from app.tables import JobValueRow

ORIGINAL = "original"
"""Key of the value that holds what the original scored on the hold-out and the test part."""


def holdout_images(session: Session, job_id: str) -> int | None:
    """None until the original was scored."""
    row = session.get(JobValueRow, (job_id, ORIGINAL))
    return None if row is None else int(row.value["holdout"]["images"])
