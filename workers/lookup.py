"""The look-up table that predictions rest on: taken once per model and target, recorded before it is used."""

import logging

from adapt.latency.device import Device
from adapt.latency.prior import covers, knows_counts
from adapt.latency.profile import take_profile
from adapt.latency.table import LookupTable, table_from_json
from adapt.latency.units import find_units
from adapt.spec import Settings
from adapt.stop import Stop
from app.blobs import BlobRepository
from app.database import reading, unit_of_work
from app.jobs.recorder import JobRecorder
from app.jobs.records import ClaimedJob
from app.records import Caller
from app.targets.lookup import LookupRepository
from workers.assembly import Material, ModelOnTarget
from workers.service import Service

log = logging.getLogger(__name__)

PROFILE_ROUNDING = 8  # channels, and the fewest that its smallest variant keeps of a group
PROFILE_SEED = 0  # the same variants for every job: one profile serves them all


def table_of_job(claimed: ClaimedJob, material: Material, device: Device, service: Service, stop: Stop) -> LookupTable:
    """The recorded table of a resumed job, else today's.

    Recorded as the job's value "table" before it is handed out: a resumed job decides from the same figures.
    """
    recorded = material.record.values.get("table")
    if recorded is not None:
        return table_from_json(service.storage.read(recorded["sha256"]).decode())
    table = table_today(material, material.settings, device, service, stop)
    blob = service.storage.put(table.to_json().encode())
    with unit_of_work(service.sessions) as session:
        JobRecorder(session).set_value(claimed, "table", {"sha256": blob.sha256})
        BlobRepository(session).add_blob(blob.sha256, blob.bytes)
    return table


def table_today(
    measured: ModelOnTarget, settings: Settings, device: Device, service: Service, stop: Stop
) -> LookupTable:
    """What was measured under the conditions that `device` measures under now, which the target shows from then on;
    else a new profile. A search that rounds finely needs one with counts like its own.

    Raises MeasurementFailed, Stopped, LeaseLost.
    """
    conditions, rounding = device.conditions, profile_rounding(settings)
    with service.writing() as session:
        lookup = LookupRepository(session)
        table = lookup.find_table(measured.target.id, measured.model.id, conditions.fingerprint())
        if table is not None:
            lookup.note_conditions(measured.target.id, conditions)
    if table is not None and knows_counts(table, rounding) and not table.missing(measured.network.graph):
        return table
    return _profiled(measured, rounding, device, service, stop)


def profile_rounding(settings: Settings) -> int:
    """Of the variants that a profile takes for a search with `settings`: one that rounds finely meets other kernels."""
    asked = settings.round_channels_to
    return PROFILE_ROUNDING if asked == "auto" else min(asked, PROFILE_ROUNDING)


def _profiled(measured: ModelOnTarget, rounding: int, device: Device, service: Service, stop: Stop) -> LookupTable:
    """Keeps every entry; what the owner's other models were measured at makes it short."""
    model, target = measured.model, measured.target
    conditions, units = device.conditions, find_units(measured.network.graph)
    with reading(service.sessions) as session:
        priors = LookupRepository(session).find_priors(Caller(id=model.owner), target.id, conditions.fingerprint())
    serving = (known for known in priors if covers(known, units, conditions) and knows_counts(known, rounding))
    profile = take_profile(
        measured.network,
        measured.groups,
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
    with service.writing() as session:
        LookupRepository(session).store_profile(target.id, model.id, profile.table)
    return profile.table
