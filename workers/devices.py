"""The device of a target."""

from adapt.latency.device import Device
from adapt.latency.local_device import LocalDevice
from adapt.latency.machine_lock import MachineLock
from adapt.latency.runtimes.choice import RuntimeChoice
from app.targets.records import Target
from workers.service import Service


def device_of(target: Target, service: Service) -> Device:
    """To be closed by the caller; costs nothing before it is asked."""
    choice = RuntimeChoice(runtime=target.runtime, provider=target.provider, threads=target.threads, batch=target.batch)
    return LocalDevice(choice, MachineLock(service.lock_directory))
