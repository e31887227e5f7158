"""Where a network's time goes, original and now, by kind of operator: predicted from its target's look-up table."""

from sqlalchemy.orm import Session

from adapt.graph.pruning import pruned_graph
from adapt.latency.predictor import fit
from app.jobs.history import JobHistory
from app.jobs.repository import JobRepository
from app.jobs.schemas import OperatorLatencyOut
from app.models.repository import ModelRepository
from app.records import Caller
from app.targets.lookup import LookupRepository


def operator_latency(session: Session, caller: Caller, job_id: str) -> OperatorLatencyOut:
    """Raises JobNotFound."""
    job = JobRepository(session).get_job(caller, job_id)
    newest = JobHistory(session).find_newest_checkpoint(caller, job_id)
    if newest is None:
        return _unknown("shown after the first checkpoint")
    table = LookupRepository(session).find_table(job.target_id, job.model_id)
    if table is None:
        return _unknown("nothing was measured of this network on this target under its conditions of now")
    structure = ModelRepository(session).get_structure(caller, job.model_id)
    if structure.groups is None:
        return _unknown("the channel groups of the network are still being looked for")
    if table.missing(structure.graph):
        return _unknown(f"the look-up table lacks {', '.join(table.missing(structure.graph))}")
    predictor = fit(table)
    now = pruned_graph(structure.graph, structure.groups, newest.filters)
    return OperatorLatencyOut(
        checkpoint=newest.checkpoint,
        original=predictor.predict_ms_by_operator(structure.graph),
        current=predictor.predict_ms_by_operator(now),
        reason=None,
    )


def _unknown(reason: str) -> OperatorLatencyOut:
    return OperatorLatencyOut(checkpoint=None, original=None, current=None, reason=reason)
