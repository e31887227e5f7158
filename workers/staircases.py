"""The step of channel counts on a target: what was found there under today's conditions, or is measured now."""

from adapt.latency.device import Device
from adapt.latency.staircase import Staircase, measure_staircase
from adapt.stop import Stop
from app.database import reading
from app.targets.records import Target
from app.targets.staircases import StaircaseRepository
from workers.service import Service


def staircase_on(target: Target, device: Device, service: Service, stop: Stop) -> Staircase:
    """Kept with the target when it was measured. Raises MeasurementFailed, Stopped, LeaseLost."""
    conditions_id = device.conditions.fingerprint()
    with reading(service.sessions) as session:
        known = StaircaseRepository(session).find_staircase(target.id, conditions_id)
    if known is not None:
        return known
    found = measure_staircase(device, stop)
    with service.writing() as session:
        StaircaseRepository(session).store_staircase(target.id, conditions_id, found)
    return found
