"""The meter of a job: this machine's, or a fixed table's."""

from functools import partial

from adapt.latency.machine_lock import MachineLock
from adapt.latency.meters import LocalMeter, TableMeter
from adapt.search import Meter
from adapt.stop import Stop
from app.database import reading
from app.jobs.records import ClaimedJob
from app.targets.lookup import LookupRepository
from app.targets.records import TargetHasNoTable
from workers.assembly import Material
from workers.lookup import runtime_of, table_of_job
from workers.progress import read_measurements
from workers.service import Service


def make_meter(claimed: ClaimedJob, material: Material, service: Service, stop: Stop) -> Meter:
    """Measures nothing yet. Raises TargetHasNoTable, TableDoesNotCover."""
    if material.target.kind == "table":
        with reading(service.sessions) as session:
            fixed = LookupRepository(session).find_table(material.target.id)
        if fixed is None:
            raise TargetHasNoTable(material.target.id, None)
        return TableMeter(material.network, fixed)
    return LocalMeter(
        material.network,
        partial(table_of_job, claimed, material, service, stop) if "latency_ms" in material.asked else None,
        runtime_of(material.target),
        MachineLock(service.lock_directory),
        read_measurements(material.record),
        stop,
    )
