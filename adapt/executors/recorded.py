"""An interrupted iteration goes on: what was evaluated before is answered from the record, the rest is trained."""

from collections.abc import Generator, Mapping, Sequence

from adapt.events import Evaluation
from adapt.executors.contract import Candidate, Executor, Failure
from adapt.graph.network import Network
from adapt.graph.pruning import Kept
from adapt.stop import Stop


class RecordedExecutor:
    """`executor`, with `recorded` outcomes of the iteration that was interrupted, by group (None: the control).

    Each is answered once and carries no weights: whoever picks it asks again, and it is trained, to the same bits.
    """

    def __init__(self, executor: Executor, recorded: Mapping[str | None, Evaluation | Failure]) -> None:
        self._executor = executor
        self._recorded = dict(recorded)

    def evaluate(
        self, network: Network, before: Kept, candidates: Sequence[Candidate], stop: Stop
    ) -> Generator[Evaluation | Failure, None, None]:
        to_train = []
        for candidate in candidates:
            if candidate.group in self._recorded:
                yield self._recorded.pop(candidate.group)
            else:
                to_train.append(candidate)
        if to_train:
            yield from self._executor.evaluate(network, before, to_train, stop)

    def close(self) -> None:
        self._executor.close()
