"""Where a job's latencies come from: measured on this machine, or read off a fixed table."""

from collections.abc import Callable, Mapping

from adapt.events import Latency
from adapt.formats.onnx_writer import write_onnx
from adapt.graph.network import Graph, Network
from adapt.latency.machine_lock import MachineLock
from adapt.latency.measure import measure
from adapt.latency.predictor import Predictor, fit
from adapt.latency.runtimes.contract import Runtime
from adapt.latency.table import LookupTable
from adapt.stop import Stop

AIM_BELOW = 0.02
"""Of the budget: a pick that is predicted right at the limit would be over it every other time it is measured."""


class LocalMeter:
    """Measures with the machine's lock held exclusively, paired with the original; `recorded` answers first.

    A resumed job decides from recorded times: `recorded` are the job's measurements so far by key, and the original's
    ("0") is the reference that later sessions are corrected to. `table` is called once, when the first figure needs
    it: a profile takes its time, and a network that does not classify the data is refused before. None: no latency
    is budgeted, and nothing is predicted.
    """

    margin = AIM_BELOW

    def __init__(
        self,
        original: Network,
        table: Callable[[], LookupTable] | None,
        runtime: Runtime,
        lock: MachineLock,
        recorded: Mapping[str, Latency],
        stop: Stop,
    ) -> None:
        self._original_onnx = write_onnx(original)
        self._table = table
        self._predictor: Predictor | None = None
        self._runtime = runtime
        self._lock = lock
        self._recorded = dict(recorded)
        self._stop = stop

    def predict_ms(self, graph: Graph) -> float:
        """Raises LookupError where no latency is budgeted; what `table` raises, at the first call."""
        if self._table is None:
            raise LookupError("a job without a latency budget has no look-up table to predict from")
        if self._predictor is None:
            self._predictor = fit(self._table())
        return self._predictor.predict_ms(graph)

    def measure(self, key: str, network: Network) -> Latency:
        if key not in self._recorded:
            self._recorded[key] = self._measure_now(key, network)
        return self._recorded[key]

    def _measure_now(self, key: str, network: Network) -> Latency:
        predicted_ms = None if self._table is None else self.predict_ms(network.graph)
        then = None if key == "0" else self._recorded["0"].ms
        onnx = write_onnx(network)
        with self._lock.measuring(self._stop):
            found = measure(onnx, self._original_onnx, self._runtime, original_then_ms=then, stop=self._stop)
        # The original is the unit of every later ratio: its figure is its own median, not a ratio to itself.
        scale = found.original_ms / found.ms if key == "0" else 1.0
        return Latency(
            ms=found.ms * scale,
            low=found.low * scale,
            high=found.high * scale,
            original_ms=found.original_ms,
            predicted_ms=predicted_ms,
        )


class TableMeter:
    """A fixed look-up table without a clock: what is predicted counts, so a job can be repeated exactly.

    Raises TableDoesNotCover when the table lacks an operator of `original`.
    """

    margin = 0.0

    def __init__(self, original: Network, table: LookupTable) -> None:
        table.require(original.graph)
        self._predictor = fit(table)
        self._original_ms = self._predictor.predict_ms(original.graph)

    def predict_ms(self, graph: Graph) -> float:
        return self._predictor.predict_ms(graph)

    def measure(self, key: str, network: Network) -> Latency:
        """The prediction, and it says so (`measured` is false)."""
        ms = self._predictor.predict_ms(network.graph)
        return Latency(ms=ms, low=ms, high=ms, original_ms=self._original_ms, predicted_ms=ms, measured=False)
