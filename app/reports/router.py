"""`/v1/jobs/{id}/report`: a job as one HTML file, for whoever has no access to the service."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from app.database import reading
from app.dependencies import CallerDep, ServicesDep
from app.jobs.csv_files import PAGE, all_items
from app.jobs.documents import checkpoint_document, iteration_document, job_document
from app.jobs.history import JobHistory
from app.jobs.repository import JobRepository
from app.models.repository import ModelRepository
from app.paging import Page
from app.records import Caller
from app.reports.page import PROPOSAL_FIELDS, report_page
from app.timestamps import rfc3339

T = TypeVar("T")
router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])


@router.get("/report", response_class=HTMLResponse)
def get_report(job_id: str, services: ServicesDep, caller: CallerDep) -> HTMLResponse:
    """Everything that a person looks at, in one file without a script: the curve, checkpoints, iterations, settings. Of
    a job that still runs, as it is now."""
    with reading(services.sessions) as session:
        history = JobHistory(session)
        job = JobRepository(session).get_job(caller, job_id)
        model = ModelRepository(session).find_model(caller, job.model_id)

        def documents(pages: Callable[..., Page[T]], document: Callable[[T], dict[str, Any]]) -> list[dict[str, Any]]:
            def page_after(after: int, size: int) -> Page[T]:
                return pages(caller, job_id, after=after, limit=size)

            return [document(item) for item in all_items(page_after(0, PAGE), page_after)]

        page = report_page(
            job=job_document(job),
            model_name=job.model_id if model is None else model.name,
            iterations=documents(history.list_iterations, iteration_document),
            proposals=documents(partial(_few_fields, history), lambda document: document),
            checkpoints=documents(history.list_checkpoints, checkpoint_document),
            written_at=rfc3339(datetime.now(UTC)) or "",
        )
    headers = {"Content-Disposition": f'attachment; filename="{job_id}.html"'}
    return HTMLResponse(page, headers=headers)


def _few_fields(history: JobHistory, caller: Caller, job_id: str, *, after: int, limit: int) -> Page[dict[str, Any]]:
    return history.list_proposal_fields(caller, job_id, PROPOSAL_FIELDS, after=after, limit=limit)
