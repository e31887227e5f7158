"""The device of a target."""

from adapt.latency.device import Device
from adapt.latency.local_device import LocalDevice
from adapt.latency.machine_lock import MachineLock
from app.targets.records import Target
from workers.service import Service


def device_of(target: Target, service: Service) -> Device:
    """To be closed by the caller; costs nothing before it is asked."""
    return LocalDevice(target.choice, MachineLock(service.lock_directory))
