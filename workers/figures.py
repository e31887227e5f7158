"""What a network needs and scores, as the service shows it."""

from adapt.events import Latency, Score
from adapt.graph.costs import costs
from adapt.graph.liveness import peak_memory_bytes
from adapt.graph.network import Network
from app.jobs.records import Figures, LatencyFigures


def figures_of(
    network: Network, latency: Latency | None, checkpoint: str, *, holdout: Score, test: Score | None = None
) -> Figures:
    """A prediction never stands under `measured`. Without a `test` score the accuracy is the hold-out's."""
    needs = costs(network.graph)
    return Figures(
        latency_ms=latency_figures(latency),
        macs=needs.macs,
        params=needs.params,
        memory_bytes=needs.memory_bytes,
        peak_memory_bytes=peak_memory_bytes(network.graph),
        accuracy=(test or holdout).accuracy,
        holdout_accuracy=holdout.accuracy,
        checkpoint=checkpoint,
    )


def latency_figures(latency: Latency | None) -> LatencyFigures:
    if latency is None:
        return LatencyFigures()
    if not latency.measured:
        return LatencyFigures(predicted=latency.ms)
    return LatencyFigures(predicted=latency.predicted_ms, measured=latency.ms, low=latency.low, high=latency.high)
