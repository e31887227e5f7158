"""The look-up table that a job's predictions rest on: taken once per model and target, recorded before it is used."""

import logging
from collections.abc import Sequence

from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup
from adapt.latency.device import Device
from adapt.latency.prior import covers, knows_counts
from adapt.latency.profile import Profile, take_profile
from adapt.latency.table import LookupTable, table_from_json
from adapt.latency.units import find_units
from adapt.spec import Settings
from adapt.stop import Stop
from app.blobs import BlobRepository
from app.database import reading, unit_of_work
from app.jobs.recorder import JobRecorder
from app.jobs.records import ClaimedJob
from app.models.records import Model
from app.records import Caller
from app.targets.lookup import LookupRepository
from app.targets.records import Target
from workers.assembly import Material
from workers.service import Service

log = logging.getLogger(__name__)

PROFILE_ROUNDING = 8  # channels, and the fewest that its smallest variant keeps of a group
PROFILE_SEED = 0  # the same variants for every job: one profile serves them all


def table_of_job(claimed: ClaimedJob, material: Material, device: Device, service: Service, stop: Stop) -> LookupTable:
    """The recorded table of a resumed job; else what was measured under today's conditions; else a new profile.

    Recorded as the job's value "table" before it is handed out: a resumed job decides from the same figures.
    """
    recorded = material.record.values.get("table")
    if recorded is not None:
        return table_from_json(service.storage.read(recorded["sha256"]).decode())
    with reading(service.sessions) as session:
        table = LookupRepository(session).find_table(
            material.target.id, material.model.id, device.conditions.fingerprint()
        )
    rounding = profile_rounding(material.settings)
    if table is None or not knows_counts(table, rounding):
        table = take_and_store(
            material.model, material.network, material.groups, rounding, material.target, device, service, stop
        ).table
    blob = service.storage.put(table.to_json().encode())
    with unit_of_work(service.sessions) as session:
        BlobRepository(session).add_blob(blob.sha256, blob.bytes)
        JobRecorder(session).set_value(claimed, "table", {"sha256": blob.sha256})
    return table


def profile_rounding(settings: Settings) -> int:
    """Of the variants that a profile takes for a search with `settings`: one that rounds finely meets other kernels."""
    asked = settings.round_channels_to
    return PROFILE_ROUNDING if asked == "auto" else min(asked, PROFILE_ROUNDING)


def take_and_store(
    model: Model,
    network: Network,
    groups: Sequence[ChannelGroup],
    rounding: int,
    target: Target,
    device: Device,
    service: Service,
    stop: Stop,
) -> Profile:
    """Profiles, and keeps every entry; what the owner's other models were measured at makes it short.

    Raises MeasurementFailed, Stopped.
    """
    conditions, units = device.conditions, find_units(network.graph)
    with reading(service.sessions) as session:
        priors = LookupRepository(session).find_priors(Caller(id=model.owner), target.id, conditions.fingerprint())
    serving = (known for known in priors if covers(known, units, conditions) and knows_counts(known, rounding))
    profile = take_profile(
        network,
        groups,
        device,
        seed=PROFILE_SEED,
        multiple=rounding,
        minimum=PROFILE_ROUNDING,
        prior=next(serving, None),
        stop=stop,
    )
    known = ", with what was known of others" if profile.with_prior else ""
    log.info(
        "%s profiled on %s: %d variants in %.0f s%s", model.id, target.id, profile.variants, profile.seconds, known
    )
    with unit_of_work(service.sessions) as session:
        LookupRepository(session).store_profile(target.id, model.id, profile.table)
    return profile
