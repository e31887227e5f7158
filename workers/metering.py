"""The meter of a job: its device's, or a fixed table's."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

from adapt.latency.meters import DeviceMeter, TableMeter
from adapt.search import LatencyMeter
from adapt.stop import Stop
from app.database import reading
from app.jobs.records import ClaimedJob
from app.targets.lookup import LookupRepository
from app.targets.records import TargetHasNoTable
from workers.assembly import Material
from workers.devices import device_of
from workers.lookup import table_of_job
from workers.progress import read_measurements
from workers.service import Service


@contextmanager
def meter_of(claimed: ClaimedJob, material: Material, service: Service, stop: Stop) -> Iterator[LatencyMeter]:
    """Measures nothing yet. Raises TargetHasNoTable, TableDoesNotCover."""
    if material.target.kind == "table":
        with reading(service.sessions) as session:
            fixed = LookupRepository(session).find_table(material.target.id)
        if fixed is None:
            raise TargetHasNoTable(material.target.id, None)
        yield TableMeter(material.network, fixed)
        return
    with closing(device_of(material.target, service)) as device:
        yield DeviceMeter(
            material.network,
            partial(table_of_job, claimed, material, device, service, stop) if "latency_ms" in material.asked else None,
            device,
            read_measurements(material.record),
            stop,
        )
