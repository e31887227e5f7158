"""How large a job's hold-out is: recorded once, with the scores of the original."""

from sqlalchemy.orm import Session

from app.tables import JobValueRow

ORIGINAL = "original"
"""Key of the value that holds what the original scored on the hold-out and the test part."""


FINAL = "final"
"""Key of the value that holds what the result scored on the hold-out, in a job that goes on after it was found."""
UNIFORM = "uniform"
"""Key of the value that says which uniform width the result is compared with."""


def holdout_images(session: Session, job_id: str) -> int | None:
    """None until the original was scored."""
    row = session.get(JobValueRow, (job_id, ORIGINAL))
    return None if row is None else int(row.value["holdout"]["images"])
