"""LongTermFineTune (NetAdapt, Algorithm 1, line 14): epochs under a cosine to zero, resumable after each."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adapt.data.dataset import TrainingData
from adapt.data.split import batches_per_epoch
from adapt.events import EpochDone, Score
from adapt.graph.network import Network, Weights
from adapt.latency.machine_lock import MachineLock
from adapt.modules import GraphModule, read_weights
from adapt.spec import Settings, derive_seed
from adapt.stop import Stop
from adapt.training.losses import Loss, cross_entropy
from adapt.training.out_of_memory import in_parts
from adapt.training.scoring import evaluate, reestimate_batch_norm
from adapt.training.sgd import Sgd, cosine_to_zero, recipe_of, run_steps, trainable_module
from adapt.training.supervision import Diverged, Pulse, supervised

# An epoch's state by kind of tensor: "weights/<name>" to go on from, "momentum/<name>" of the optimizer,
# "finished/<name>" the weights with re-estimated batch-norm statistics where these differ, "epoch", and "parts", those
# that its batches were taken in.
WEIGHTS, MOMENTUM, FINISHED, EPOCH, PARTS = "weights/", "momentum/", "finished/", "epoch", "parts"


def long_term_finetune(
    network: Network,
    data: TrainingData,
    settings: Settings,
    *,
    state: Weights | None,
    lock: MachineLock | None,
    stop: Stop,
    steps: int | None = None,
    purpose: str = "long-term",
    loss_of: Callable[[GraphModule], Loss] = cross_entropy,
) -> Iterator[EpochDone]:
    """The epochs after the one that left `state` (None: all of `settings.long_term_epochs`, or with `steps` as many as
    hold these, the last one cut short).

    An epoch's seed is (job seed, `purpose`, epoch), so a run that goes on from a state ends as one that was never
    interrupted, byte for byte. Each epoch's score is the hold-out's with re-estimated batch-norm statistics, which
    the training itself never sees. When the loss is no number any more, the epochs end there with a score that is
    worse than any network's (`scoring.WORST_LOSS`). `loss_of` says what is brought down. An epoch that runs out of
    memory is begun again with its batches in smaller parts, as are those after it.
    Between epochs nothing is held. Raises Stopped; OutOfMemory when no part is small enough.
    """
    done = 0 if state is None else int(state[EPOCH][0])
    if state is not None and not _finite(state):
        return  # the epoch that left it was the last: it diverged
    run = _Run(network, state, data, settings, loss_of)
    per_epoch = batches_per_epoch(len(data.train), settings.batch_size)
    total = settings.long_term_epochs * per_epoch if steps is None else steps
    epochs = math.ceil(total / per_epoch)
    for epoch in range(done + 1, epochs + 1):
        span = range((epoch - 1) * per_epoch, min(epoch * per_epoch, total))
        with supervised(lock, stop) as pulse:
            trained = partial(run.epoch, epoch, span, total, derive_seed(settings.seed, purpose, epoch), pulse)
            batch = min(settings.batch_size, len(data.train))
            (diverged, holdout), parts = in_parts(trained, batch=batch, parts=run.parts)
        yield EpochDone(epoch=epoch, epochs=epochs, holdout=holdout, state=run.state, parts=parts)
        if diverged:
            return


def finetuned(network: Network, state: Weights) -> Network:
    """`network` with the weights that an epoch left, batch-norm statistics re-estimated."""
    weights = {**_of_kind(state, WEIGHTS), **_of_kind(state, FINISHED)}
    return Network(network.graph, {name: weights[name] for name in network.weights})


class _Run:
    """A training that stands where the epoch that left `state` ended; None: at its beginning."""

    def __init__(
        self,
        network: Network,
        state: Weights | None,
        data: TrainingData,
        settings: Settings,
        loss_of: Callable[[GraphModule], Loss],
    ) -> None:
        self._network, self._state, self._data, self._settings = network, state, data, settings
        self._loss_of = loss_of
        self._sgd = self._begin(parts=int(state[PARTS][0]) if state is not None and PARTS in state else 1)

    @property
    def parts(self) -> int:
        """Those that each batch is taken in."""
        return self._sgd.parts

    @property
    def state(self) -> Weights:
        if self._state is None:
            raise LookupError("no epoch has ended yet")
        return self._state

    def epoch(self, number: int, span: range, total: int, seed: int, pulse: Pulse, parts: int) -> tuple[bool, Score]:
        """The steps `span` of `total`, each batch in so many parts, and what is scored then; True when the loss stopped
        being a number. Other parts than before: anew from where it stood."""
        if parts != self._sgd.parts:
            self._sgd = self._begin(parts)
        return self._train(span, total, seed, pulse), self._close(number, pulse)

    def _train(self, span: range, total: int, seed: int, pulse: Pulse) -> bool:
        """True when the loss stopped being a number, which leaves weights that are none either."""
        try:
            run_steps(
                self._sgd,
                self._data.train,
                steps=span,
                batch_size=self._settings.batch_size,
                share=partial(cosine_to_zero, steps=total),
                seed=seed,
                pulse=pulse,
            )
        except Diverged:
            with torch.no_grad():  # so that the score, and a resume, say what happened whatever weights were left
                for parameter in self._sgd.module.parameters():
                    parameter.fill_(torch.nan)
            return True
        return False

    def _close(self, epoch: int, pulse: Pulse) -> Score:
        """The epoch's score, and its state; the module's own statistics are put back afterwards, to go on from."""
        module, data, settings = self._sgd.module, self._data, self._settings
        weights = read_weights(module)
        reestimate_batch_norm(
            module,
            data.train,
            data.normalization,
            most_batches=settings.batch_norm_batches,
            batch_size=settings.batch_size,
            seed=settings.seed,
            pulse=pulse,
            parts=self.parts,
        )
        holdout = evaluate(module, data.holdout, data.normalization, pulse, self.parts)
        finished = read_weights(module)
        module.load_state_dict({name: torch.tensor(tensor) for name, tensor in weights.items()})
        parameters, momentum = dict(module.named_parameters()), self._sgd.momentum
        numbers = {EPOCH: epoch, PARTS: self.parts}
        state: dict[str, NDArray[Any]] = {name: np.array([number], np.int64) for name, number in numbers.items()}
        state |= {WEIGHTS + name: tensor for name, tensor in weights.items()}
        state |= {MOMENTUM + name: buffer.cpu().contiguous().numpy().copy() for name, buffer in momentum.items()}
        state |= {FINISHED + name: tensor for name, tensor in finished.items() if name not in parameters}
        self._state = state
        return holdout

    def _begin(self, parts: int) -> Sgd:
        graph, state, settings = self._network.graph, self._state, self._settings
        start = self._network if state is None else Network(graph, _of_kind(state, WEIGHTS))
        module = trainable_module(start, settings.device)
        recipe = recipe_of(settings, settings.long_term_learning_rate, parts)
        sgd = Sgd(module, self._data.normalization, recipe, self._loss_of(module))
        if state is not None:
            sgd.restore_momentum({name: torch.tensor(buffer) for name, buffer in _of_kind(state, MOMENTUM).items()})
        return sgd


def _of_kind(state: Weights, kind: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(kind): tensor for name, tensor in state.items() if name.startswith(kind)}


def _finite(state: Mapping[str, NDArray[Any]]) -> bool:
    return all(bool(np.isfinite(tensor).all()) for tensor in _of_kind(state, WEIGHTS).values())
