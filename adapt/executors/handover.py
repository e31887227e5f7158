"""What parent and child processes hand each other through files of a private folder. Needs no torch.

Arrays go through files (mapped, not copied through a pipe), so every message is a few bytes: a child that is killed
or halted in the middle of one cannot leave its parent waiting for the rest. The pickles here are read by nobody but
us: the folder is the user's own (mode 0700) and holds only what the parent wrote.
"""

import pickle
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from adapt.data.dataset import Part, TrainingData
from adapt.events import Evaluation
from adapt.executors.contract import Candidate
from adapt.executors.messages import Done, Order
from adapt.executors.task import TrainingTask
from adapt.graph.network import Network, Weights
from adapt.graph.pruning import Kept

TEACHER = "teacher.safetensors"


@dataclass(frozen=True)
class Iteration:
    """What the candidates of one iteration share. `order` keeps the tensors' order, which the file sorts."""

    weights: Path
    order: tuple[str, ...]
    before: Kept
    candidates: tuple[Candidate, ...]


class Handover:
    """The folder of one executor: its task, and the iteration that is at work. Not thread-safe."""

    def __init__(self, task: TrainingTask) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="netadapt-executor-"))
        self._iterations = 0
        try:
            write_task(task, self.folder)
        except BaseException:
            self.remove()
            raise

    @contextmanager
    def iteration(self, network: Network, before: Kept, candidates: Sequence[Candidate]) -> Iterator[Path]:
        """Its file; gone afterwards with all that came of it, results that nobody read among them."""
        self._iterations += 1
        path = self.folder / f"iteration-{self._iterations}.pickle"
        try:
            write_iteration(path, network, before, tuple(candidates))
            yield path
        finally:
            for written in self.folder.glob(f"{path.stem}*"):
                written.unlink()

    def remove(self) -> None:
        """Safe to call twice."""
        shutil.rmtree(self.folder, ignore_errors=True)


def write_task(task: TrainingTask, folder: Path) -> None:
    """`task` as files in `folder`: the arrays as .npy (images that are mapped from one stay there), the rest beside."""
    data = task.data
    pool = data.train.images
    if data.holdout.images is not pool:
        raise ValueError("training part and hold-out must be parts of one pool of images")
    mapped = isinstance(pool, np.memmap) and str(pool.filename).endswith(".npy")
    images = Path(str(pool.filename)) if isinstance(pool, np.memmap) and mapped else folder / "images.npy"
    if not mapped:
        np.save(images, pool, allow_pickle=False)
    np.savez(folder / "rows.npz", labels=data.train.labels, train=data.train.rows, holdout=data.holdout.rows)
    teacher = None
    if task.teacher is not None:
        write_weights(task.teacher.weights, folder / TEACHER)
        teacher = (task.teacher.graph, tuple(task.teacher.weights))
    rest = (task.original, task.groups, data.normalization, task.settings, teacher, task.lock_directory, images)
    (folder / "task.pickle").write_bytes(pickle.dumps(rest))


def read_task(folder: Path) -> TrainingTask:
    """What `write_task` left; the images are mapped, so that all children share one copy in memory."""
    original, groups, normalization, settings, teacher, lock_directory, images = _load(folder / "task.pickle")
    pool = np.load(images, mmap_mode="r", allow_pickle=False)
    with np.load(folder / "rows.npz", allow_pickle=False) as rows:
        labels, train, holdout = rows["labels"], rows["train"], rows["holdout"]
    data = TrainingData(
        train=Part(images=pool, labels=labels, rows=train),
        holdout=Part(images=pool, labels=labels, rows=holdout),
        normalization=normalization,
    )
    return TrainingTask(
        original=original,
        groups=groups,
        data=data,
        settings=settings,
        teacher=None if teacher is None else Network(teacher[0], read_weights_in(folder / TEACHER, teacher[1])),
        lock_directory=lock_directory,
    )


def write_iteration(path: Path, network: Network, before: Kept, candidates: tuple[Candidate, ...]) -> None:
    """`path` and, beside it, the weights of `network` and those of candidates that go on from where they stopped."""
    weights = path.with_suffix(".safetensors")
    write_weights(network.weights, weights)
    order = tuple(network.weights)
    bare = tuple(_written(path, index, candidate) for index, candidate in enumerate(candidates))
    path.write_bytes(pickle.dumps(Iteration(weights, order, dict(before), bare)))


def _written(path: Path, index: int, candidate: Candidate) -> Candidate:
    """`candidate` without its tensors, which are in files then."""
    begun = candidate.begun
    if begun is None or begun.weights is None or begun.memory is None:
        return replace(candidate, begun=None)
    write_weights(begun.weights, _begun(path, index))
    write_weights(begun.memory, beside(_begun(path, index)))
    return replace(candidate, begun=replace(begun, weights=None, memory=None))


def read_candidate(path: Path, iteration: Iteration, index: int) -> Candidate:
    """One of the iteration whose file is `path`, with the tensors that it goes on from."""
    candidate = iteration.candidates[index]
    if candidate.begun is None:
        return candidate
    weights = read_weights_in(_begun(path, index), iteration.order)
    begun = replace(candidate.begun, weights=weights, memory=load_file(beside(_begun(path, index))))
    return replace(candidate, begun=begun)


def beside(path: Path) -> Path:
    """Of a file of weights: where the memory of their training is."""
    return path.with_suffix(".memory")


def _begun(path: Path, index: int) -> Path:
    return path.with_name(f"{path.stem}-begun-{index}.safetensors")


def read_iteration(path: Path, task: TrainingTask) -> tuple[Network, Iteration]:
    """The current network, and who is to be trained from it."""
    iteration: Iteration = _load(path)
    weights = read_weights_in(iteration.weights, iteration.order)
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    return Network(task.original.with_weight_shapes(shapes), weights), iteration


def _load(path: Path) -> Any:
    """Of the private folder: written by our parent, moments ago, and by nobody else."""
    # No byte of it comes from a user, as the head of this file says.
    return pickle.loads(path.read_bytes())  # nosec B301


def write_result(result: Evaluation, order: Order) -> Done:
    """The tensors of what an order came to, into its files; the value goes through the pipe."""
    assert result.weights is not None, "a fresh evaluation has its weights"
    write_weights(result.weights, order.result)
    if result.memory is not None:
        write_weights(result.memory, beside(order.result))
    return Done(replace(result, weights=None, memory=None), tuple(result.weights), result.memory is not None)


def read_result(order: Order, done: Done) -> Evaluation:
    """What `write_result` wrote; its files are gone then."""
    weights = read_weights_in(order.result, done.names)
    order.result.unlink()
    memory = None
    if done.remembers:
        memory = load_file(beside(order.result))
        beside(order.result).unlink()
    return replace(done.evaluation, weights=weights, memory=memory)


def write_weights(weights: Weights, path: Path) -> None:
    save_file({name: np.array(tensor, order="C") for name, tensor in weights.items()}, path)


def read_weights_in(path: Path, order: tuple[str, ...]) -> Mapping[str, NDArray[Any]]:
    """The tensors of a file that `write_weights` wrote, in this order of names."""
    found = load_file(path)
    return {name: found[name] for name in order}
