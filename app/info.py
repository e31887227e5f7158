"""/v1/info: what this service is, takes and knows."""

from typing import Any, get_args

from fastapi import APIRouter
from pydantic import BaseModel

from adapt.checkpoint import NetworkFormat
from adapt.data.sniffing import FORMATS as DATASET_FORMATS
from adapt.presets import PRESETS, settings_to_document
from adapt.spec import RESOURCES
from app.auth import TokenRepository
from app.database import reading
from app.dependencies import ServicesDep
from app.jobs.settings_schema import built_values
from app.paging import MAX_PAGE, MAX_PROPOSALS_PAGE
from app.records import FileFormat
from app.version import VERSION

router = APIRouter(prefix="/v1/info", tags=["info"])
OWNERS_LIMITS = (
    "requests_per_s",
    "requests_burst",
    "failed_sign_ins_per_minute",
    "max_streams_per_owner",
    "max_models_per_owner",
    "max_datasets_per_owner",
    "max_targets_per_owner",
    "max_stored_bytes_per_owner",
    "max_job_s",
)
"""Settings that say how much one may do; 0 is no limit."""


class InfoOut(BaseModel):
    """`limits` has 0 for none. `built` lists the values that this version has of each choice; `presets` the settings
    behind each name."""

    version: str
    sign_in_required: bool
    limits: dict[str, int]
    resources: list[str]
    presets: dict[str, dict[str, Any]]
    built: dict[str, list[Any]]
    formats: dict[str, list[str]]


@router.get("")
def info(services: ServicesDep) -> InfoOut:
    """For everybody: it says nothing of anybody."""
    with reading(services.sessions) as session:
        tokens_exist = TokenRepository(session).tokens_exist()
    settings = services.settings
    return InfoOut(
        version=VERSION,
        sign_in_required=tokens_exist,
        limits={
            "max_upload_bytes": settings.max_upload_bytes,
            "max_network_bytes": settings.max_network_bytes,
            "max_body_bytes": settings.max_body_bytes,
            "max_webhooks": settings.max_webhooks,
            **{name: getattr(settings, name) for name in OWNERS_LIMITS},
            "max_read_memory_bytes": settings.max_read_memory_bytes,
            "max_read_s": int(settings.max_read_s),
            "max_unpacked_bytes": settings.max_unpacked_bytes,
            "max_archive_entries": settings.max_archive_entries,
            "max_expansion": settings.max_expansion,
            "max_page": MAX_PAGE,
            "max_proposals_page": MAX_PROPOSALS_PAGE,
        },
        resources=list(RESOURCES),
        presets={name: settings_to_document(preset) for name, preset in PRESETS.items()},
        built=built_values(),
        formats={
            "models": list(get_args(NetworkFormat)),
            "datasets": list(DATASET_FORMATS),
            "checkpoints": list(get_args(FileFormat)),
        },
    )
