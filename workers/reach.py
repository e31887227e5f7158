"""What a search with some settings could reach on a target: measured, before there is a job or before it trains."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from adapt.budget import Share
from adapt.errors import BudgetUnreachable
from adapt.graph.pruning import pruned_graph
from adapt.latency.device import Device
from adapt.latency.whole_networks import WholeNetwork, measure_beside, measure_original
from adapt.reach import least_counts
from adapt.rounding import rounded
from adapt.spec import Settings
from adapt.stop import Stop
from app.database import reading, unit_of_work
from app.feasibility.assessment import NOISE
from app.jobs.recorder import TRAINED, JobRecorder
from app.jobs.records import ClaimedJob
from app.models.records import UNTRAINED
from app.targets.networks import NetworkRepository
from workers.assembly import Material, ModelOnTarget
from workers.metering import watched_device
from workers.service import Service
from workers.staircases import staircase_on


@dataclass(frozen=True, kw_only=True)
class Reach:
    """`least` are the networks of `adapt.reach.least_counts`, in their order."""

    original: WholeNetwork
    least: tuple[WholeNetwork, ...]


def measure_reach(measured: ModelOnTarget, settings: Settings, device: Device, service: Service, stop: Stop) -> Reach:
    """The original and the least networks, kept with the target; a step of channel counts that is left open first.

    What is known under today's conditions is not measured again. Raises MeasurementFailed, Stopped, LeaseLost.
    """
    graph, groups, target = measured.network.graph, measured.groups, measured.target
    if settings.round_channels_to == "auto":
        settings = rounded(settings, staircase_on(target, device, service, stop))
    conditions_id = device.conditions.fingerprint()

    def find(counts: Mapping[str, int]) -> WholeNetwork | None:
        with reading(service.sessions) as session:
            return NetworkRepository(session).find_network(target.id, measured.model.id, counts, conditions_id)

    def keep(counts: Mapping[str, int], found: WholeNetwork) -> WholeNetwork:
        with service.writing() as session:
            NetworkRepository(session).store_network(target.id, measured.model.id, counts, conditions_id, found)
        return found

    everything = {group.id: group.channels for group in groups}
    original = find(everything) or keep(everything, measure_original(graph, device, stop))
    least = []
    for counts in least_counts(groups, settings):
        pruned = pruned_graph(graph, groups, counts)
        least.append(find(counts) or keep(counts, measure_beside(pruned, graph, original, device, stop)))
    return Reach(original=original, least=tuple(least))


def refuse_out_of_reach(claimed: ClaimedJob, material: Material, service: Service, stop: Stop) -> None:
    """For a job that trains an architecture first: weights change no latency, so one that cannot be reached is found
    before hours of training. What is nearly within reach the search itself judges, by the trained network.

    Raises BudgetUnreachable, MeasurementFailed, Stopped, LeaseLost.
    """
    limit = material.asked.get("latency_ms")
    trained = TRAINED in material.record.values or material.before is not None
    if limit is None or material.model.format != UNTRAINED or trained or material.target.kind == "table":
        return
    with unit_of_work(service.sessions) as session:
        JobRecorder(session).set_phase(claimed, "measuring")
    with closing(watched_device(claimed, material, service, {})) as device:
        reach = measure_reach(material, material.settings, device, service, stop)
    limit_ms = limit.fraction * reach.original.ms if isinstance(limit, Share) else limit
    best = min(reach.least, key=lambda found: found.low)
    if min(best.low, reach.original.low) > NOISE * limit_ms:
        raise BudgetUnreachable("latency_ms", limit_ms, best.ms, best.high)
