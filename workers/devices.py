"""The device of a target."""

from adapt.latency.device import Device
from adapt.latency.local_device import LocalDevice
from adapt.latency.machine_lock import MachineLock
from app.targets.records import Target
from workers.remote_device import RemoteDevice, TellAway, to_nobody
from workers.service import Service


def device_of(target: Target, service: Service, *, asker: str, tell_away: TellAway = to_nobody) -> Device:
    """To be closed by the caller; costs nothing before it is asked. `asker` is the job or task that it is for."""
    if target.kind == "agent":
        return RemoteDevice(target, asker, service, tell_away)
    return LocalDevice(target.choice, MachineLock(service.lock_directory))
