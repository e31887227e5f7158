"""The meter of a job: its device's, or a fixed table's."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial

from adapt.data.calibration import CalibrationImages
from adapt.events import Latency
from adapt.latency.meters import DeviceMeter, TableMeter
from adapt.latency.staircase import Staircase
from adapt.latency.watched import WatchedDevice
from adapt.search import Meter
from adapt.stop import Stop
from app.database import reading, unit_of_work
from app.jobs.queue import WAITING
from app.jobs.recorder import JobRecorder
from app.jobs.records import ClaimedJob
from app.targets.lookup import LookupRepository
from app.targets.records import TargetHasNoTable
from workers.assembly import Material
from workers.devices import device_of
from workers.lookup import table_of_job
from workers.progress import read_measurements
from workers.service import Service
from workers.staircases import staircase_on

FindStaircase = Callable[[], Staircase]
MeterOf = Callable[[CalibrationImages], Meter]
"""A meter, once there are images as the network takes them: the file that it measures may depend on them."""


@contextmanager
def meter_of(
    claimed: ClaimedJob, material: Material, service: Service, stop: Stop
) -> Iterator[tuple[MeterOf, FindStaircase | None]]:
    """With what finds the step of channel counts on the target, where that can be measured. Measures nothing yet.

    Raises TargetHasNoTable, TableDoesNotCover.
    """
    if material.target.kind == "table":
        with reading(service.sessions) as session:
            fixed = LookupRepository(session).find_table(material.target.id)
        if fixed is None:
            raise TargetHasNoTable(material.target.id, None)
        by_table = TableMeter(material.network, fixed)
        yield lambda images: by_table, None
        return
    recorded = read_measurements(material.record)
    with closing(watched_device(claimed, material, service, recorded)) as device:
        table = partial(table_of_job, claimed, material, device, service, stop)
        meter = partial(
            DeviceMeter,
            material.network,
            table if "latency_ms" in material.asked else None,
            device,
            recorded,
            stop,
        )
        yield meter, partial(staircase_on, material.target, device, service, stop)


def watched_device(
    claimed: ClaimedJob, material: Material, service: Service, recorded: Mapping[str, Latency]
) -> WatchedDevice:
    """The target's device; the job tells when it is away, and when it has become slow."""

    def tell(text: str) -> None:
        with unit_of_work(service.sessions) as session:
            JobRecorder(session).add_message(claimed, text)

    tell_away = partial(_tell_away, claimed, service)
    device = device_of(material.target, service, asker=claimed.id, tell_away=tell_away)
    return WatchedDevice(device, material.target.name, tell, recorded["0"].original_ms if "0" in recorded else None)


def _tell_away(claimed: ClaimedJob, service: Service, away: bool) -> None:
    """Raises LeaseLost."""
    with unit_of_work(service.sessions) as session:
        JobRecorder(session).set_phase(claimed, WAITING if away else "measuring")
