"""The search's own trainer: scores networks and fine-tunes the last one, in this process."""

from collections.abc import Iterator
from pathlib import Path

from adapt.data.dataset import Part, TrainingData
from adapt.data.split import batches_per_epoch
from adapt.events import EpochDone, OriginalEvaluated, Score
from adapt.graph.network import Network, Weights
from adapt.latency.machine_lock import MachineLock
from adapt.modules import GraphModule
from adapt.spec import Settings
from adapt.stop import Stop, never
from adapt.training.evidence import TrainingEvidence
from adapt.training.from_scratch import train_again
from adapt.training.long_term import finetuned, long_term_finetune
from adapt.training.losses import Loss, fine_tuning
from adapt.training.onnx_scoring import OnnxModule
from adapt.training.scoring import evaluate
from adapt.training.sgd import trainable_module
from adapt.training.supervision import supervised


class NetworkTrainer:
    """`adapt.search.Trainer`. `test` is scored for reporting only; `lock_directory` None: no machine lock; `teacher` is
    the network whose scores the fine-tune learns too."""

    def __init__(
        self,
        data: TrainingData,
        test: Part,
        settings: Settings,
        lock_directory: Path | None,
        stop: Stop = never,
        teacher: Network | None = None,
    ) -> None:
        self._teacher = teacher
        self._data = data
        self._test = test
        self._settings = settings
        self._lock = None if lock_directory is None else MachineLock(lock_directory)
        self._stop = stop

    def score_original(self, network: Network) -> OriginalEvaluated:
        """As it was sent: its own batch-norm statistics, no re-estimation."""
        return OriginalEvaluated(holdout=self._score(network, self._data.holdout), test=self.test(network))

    def evidence(self, network: Network, seed: int) -> TrainingEvidence:
        """What training batches say about its channels, once that is asked for."""
        return TrainingEvidence(network, self._data, self._settings, self._lock, self._stop, seed)

    def long_term_finetune(self, network: Network, state: Weights | None, stop: Stop) -> Iterator[EpochDone]:
        """The epochs after the one that left `state` (None: all). Raises Stopped."""
        return long_term_finetune(
            network, self._data, self._settings, state=state, lock=self._lock, stop=stop, loss_of=self._loss_of
        )

    @property
    def steps_per_epoch(self) -> int:
        return batches_per_epoch(len(self._data.train), self._settings.batch_size)

    def finetune_for(self, network: Network, steps: int, state: Weights | None, stop: Stop) -> Iterator[EpochDone]:
        """As `long_term_finetune`, for so many steps; the last epoch may be a shorter one. Raises Stopped."""
        return long_term_finetune(
            network,
            self._data,
            self._settings,
            state=state,
            lock=self._lock,
            stop=stop,
            steps=steps,
            purpose="uniform",
            loss_of=self._loss_of,
        )

    def train_from_scratch(self, network: Network, state: Weights | None, stop: Stop) -> Iterator[EpochDone]:
        """The same from newly drawn weights. Raises Stopped."""
        return train_again(
            network, self._data, self._settings, state=state, lock=self._lock, stop=stop, loss_of=self._loss_of
        )

    def finetuned(self, network: Network, state: Weights) -> Network:
        """`network` with the tensors of the state that an epoch left."""
        return finetuned(network, state)

    @property
    def further_images(self) -> int:
        """How many were set aside beside the hold-out."""
        return 0 if self._data.further is None else len(self._data.further)

    def judge(self, network: Network) -> Score:
        """On these further images alone. Raises LookupError where there are none."""
        if self._data.further is None:
            raise LookupError("no images were set aside beside the hold-out")
        return self._score(network, self._data.further)

    def test(self, network: Network) -> Score:
        """On the test set: for reporting only, never for choosing."""
        return self._score(network, self._test)

    def test_onnx(self, onnx: bytes) -> Score:
        """Of a file that computes otherwise than its network, on the test set: for reporting only, too."""
        with supervised(self._lock, self._stop) as pulse:
            return evaluate(OnnxModule(onnx), self._test, self._data.normalization, pulse)

    def _loss_of(self, module: GraphModule) -> Loss:
        return fine_tuning(module, self._teacher, self._settings)

    def _score(self, network: Network, part: Part) -> Score:
        with supervised(self._lock, self._stop) as pulse:
            return evaluate(trainable_module(network, self._settings.device), part, self._data.normalization, pulse)
