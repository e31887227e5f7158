"""Whose job is next: owners take turns, however many jobs one of them has in the queue."""

from datetime import datetime

from sqlalchemy import ColumnElement, Select, func, select, true
from sqlalchemy.orm import aliased

from app.leases import held
from app.tables import JobRow


def in_turn(free: ColumnElement[bool], now: datetime, most_running: int | None) -> Select[JobRow]:
    """The jobs that are `free`, in the order in which they are to be claimed; none of an owner who has `most_running`.

    What a worker left behind comes first. Then it is the turn of the owner with the fewest running jobs; among several,
    of the one whose last job was begun the longest ago, or never; of an owner's jobs, of the oldest.
    """
    waiting = select(JobRow.owner).where(free).distinct().subquery()
    theirs = aliased(JobRow)
    of_owner = theirs.owner == waiting.c.owner
    owners = select(
        waiting.c.owner,
        select(func.count()).where(of_owner, held(theirs, now)).scalar_subquery().label("running"),
        select(func.max(theirs.started_at)).where(of_owner).scalar_subquery().label("served_at"),
    ).subquery()
    allowed = true() if most_running is None else owners.c.running < most_running
    left_behind = JobRow.state == "running"
    turn = (left_behind.desc(), owners.c.running, owners.c.served_at.nulls_first(), JobRow.created_at, JobRow.id)
    return select(JobRow).join(owners, JobRow.owner == owners.c.owner).where(free, allowed).order_by(*turn)
