"""What a search with some settings could reach on a target: measured, for those who ask before there is a job."""

from collections.abc import Mapping, Sequence

from adapt.graph.network import Network
from adapt.graph.pruning import ChannelGroup, pruned_graph
from adapt.latency.device import Device
from adapt.latency.whole_networks import WholeNetwork, measure_beside, measure_original
from adapt.reach import smallest_counts
from adapt.rounding import rounded
from adapt.spec import Settings
from adapt.stop import Stop
from app.database import reading, unit_of_work
from app.targets.networks import NetworkRepository
from app.targets.records import Target
from workers.service import Service
from workers.staircases import staircase_on


def measure_reach(
    model_id: str,
    network: Network,
    groups: Sequence[ChannelGroup],
    settings: Settings,
    target: Target,
    device: Device,
    service: Service,
    stop: Stop,
) -> None:
    """The original and the smallest network, kept with the target; a step of channel counts that is left open first.

    What is known under today's conditions is not measured again. Raises MeasurementFailed, Stopped.
    """
    if settings.round_channels_to == "auto":
        settings = rounded(settings, staircase_on(target, device, service, stop))
    conditions_id = device.conditions.fingerprint()

    def find(counts: Mapping[str, int]) -> WholeNetwork | None:
        with reading(service.sessions) as session:
            return NetworkRepository(session).find_network(target.id, model_id, counts, conditions_id)

    def keep(counts: Mapping[str, int], found: WholeNetwork) -> WholeNetwork:
        with unit_of_work(service.sessions) as session:
            NetworkRepository(session).store_network(target.id, model_id, counts, conditions_id, found)
        return found

    everything = {group.id: group.channels for group in groups}
    smallest = smallest_counts(groups, settings)
    original = find(everything) or keep(everything, measure_original(network.graph, device, stop))
    if find(smallest) is None:
        graph = pruned_graph(network.graph, groups, smallest)
        keep(smallest, measure_beside(graph, network.graph, original, device, stop))
