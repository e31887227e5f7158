"""Where a job's latencies come from: measured on a device, or read off a fixed table."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from adapt.data.calibration import CalibrationImages
from adapt.events import Latency
from adapt.graph.network import Graph, Network
from adapt.latency.device import Device
from adapt.latency.measure import evaluated, evaluated_original, surest_reading
from adapt.latency.network_files import NetworkFiles
from adapt.latency.predictor import Predictor, fit
from adapt.latency.profile import shares_of
from adapt.latency.reading import Plan
from adapt.latency.runtimes.choice import NetworkFile
from adapt.latency.table import Entry, LookupTable
from adapt.search import Effort
from adapt.stop import Stop

AIM_BELOW = 0.02
"""Of the budget: a pick that is predicted right at the limit would be over it every other time it is measured."""
PLANS: Mapping[Effort, Plan] = {
    "usual": Plan(),
    "longer": Plan(half_width=0.003, minimum_pairs=60, minimum_s=8.0, maximum_s=20.0),
}
PLAN_OF_THE_ORIGINAL = Plan(minimum_pairs=30, minimum_s=4.0, maximum_s=8.0)
"""Every figure of a job in milliseconds is a multiple of this one."""
PROFILE_OF_A_PICK_S = 0.15


class DeviceMeter:
    """Measures on `device`, paired with the original; `recorded` answers first.

    A resumed job decides from recorded times: `recorded` are the job's measurements so far by key, and the original's
    ("0") is the reference that later sessions are corrected to. `table` is called once, when the first figure needs
    it: a profile takes its time, and a network that does not classify the data is refused before. None: no latency
    is budgeted, and nothing is predicted. `images` are for a device that runs quantised networks. `plans` say how long
    to look.

    What is measured is profiled too and put back into the table: whoever takes the fastest of many predictions looks
    for the table's mistakes, and just there it learns.
    """

    unit = "ms"
    margin = AIM_BELOW

    def __init__(
        self,
        original: Network,
        table: Callable[[], LookupTable] | None,
        device: Device,
        recorded: Mapping[str, Latency],
        stop: Stop,
        images: CalibrationImages | None = None,
        plans: Mapping[Effort, Plan] = PLANS,
    ) -> None:
        self._original = original
        self._table = table
        self._predictor: Predictor | None = None
        self._device = device
        self._recorded = dict(recorded)
        self._stop = stop
        self._images = images
        self._plans = plans
        self._files: NetworkFiles | None = None

    def predict(self, graph: Graph) -> float:
        """Raises LookupError where no latency is budgeted; what `table` raises, at the first call."""
        if self._table is None:
            raise LookupError("a job without a latency budget has no look-up table to predict from")
        if self._predictor is None:
            learned = [entry for latency in self._recorded.values() for entry in latency.entries]
            self._predictor = fit(self._table().with_entries(learned))
        return self._predictor.predict_ms(graph)

    def write(self, network: Network) -> dict[NetworkFile, bytes]:
        """The file that is measured, by its kind. Raises MeasurementFailed where the device cannot measure at all."""
        return {self._device.file: self._file(network)}

    def measure(self, key: str, network: Network, effort: Effort = "usual") -> Latency:
        if key not in self._recorded:
            self._recorded[key] = self._measure_now(key, network, effort)
            self._predictor = None  # what was just learned counts from now on
        return self._recorded[key]

    def _file(self, network: Network) -> bytes:
        if self._files is None:
            device = self._device
            self._files = NetworkFiles(kind=device.file, conditions=device.conditions, images=self._images)
        return self._files.write(network)

    def _measure_now(self, key: str, network: Network, effort: Effort) -> Latency:
        predicted_ms = None if self._table is None else self.predict(network.graph)
        candidate, original = (self._file(those) for those in (network, self._original))
        reading = surest_reading(self._device, candidate, original, self._plan(key, effort), self._stop)
        found = evaluated_original(reading) if key == "0" else evaluated(reading, self._recorded["0"].ms)
        entries: tuple[Entry, ...] = ()
        if reading.kernels:
            entries = shares_of(network.graph, reading.kernels, found.ms)
        return Latency(
            ms=found.ms,
            low=found.low,
            high=found.high,
            original_ms=found.original_ms,
            predicted_ms=predicted_ms,
            disturbed=found.disturbed,
            quiet=found.quiet,
            entries=entries,
            conditions=reading.conditions.fingerprint(),
        )

    def _plan(self, key: str, effort: Effort) -> Plan:
        if self._table is None:
            return self._plans[effort]
        return replace(PLAN_OF_THE_ORIGINAL if key == "0" else self._plans[effort], profile_s=PROFILE_OF_A_PICK_S)


class TableMeter:
    """A fixed look-up table without a clock: what is predicted counts, so a job can be repeated exactly.

    Raises TableDoesNotCover when the table lacks an operator of `original`.
    """

    unit = "ms"
    margin = 0.0

    def __init__(self, original: Network, table: LookupTable) -> None:
        table.require(original.graph)
        self._predictor = fit(table)
        self._original_ms = self._predictor.predict_ms(original.graph)

    def predict(self, graph: Graph) -> float:
        return self._predictor.predict_ms(graph)

    def measure(self, key: str, network: Network, effort: Effort = "usual") -> Latency:
        """The prediction, and it says so (`measured` is false)."""
        ms = self._predictor.predict_ms(network.graph)
        return Latency(ms=ms, low=ms, high=ms, original_ms=self._original_ms, predicted_ms=ms, measured=False)
