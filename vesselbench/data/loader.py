"""Training batches in an order that follows from (seed, epoch) alone: not from ranks, workers or micro-batches."""

from __future__ import annotations

import atexit
import hashlib
import multiprocessing
import signal
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from vesselbench.config import TrainConfig
from vesselbench.data.augment import augment
from vesselbench.data.cache import MaskCache
from vesselbench.data.memory import MEMORY, ExampleSource
from vesselbench.distributed import local_world
from vesselbench.errors import UserError
from vesselbench.jobs import STOP_SIGNALS
from vesselbench.types import Batch, Example, Sample

Collate = Callable[[list[Example]], dict[str, Any]]


def accumulation(train: TrainConfig, world: int) -> tuple[int, int]:
    """(samples per rank and forward pass, micro-batches per rank and optimizer step).

    Raises UserError, with the nearest values that work, when ``train.batch_size`` is not their product with `world`.
    """
    if train.micro_batch is None and train.batch_size % world == 0:
        return train.batch_size // world, 1
    micro = train.micro_batch or 1
    unit = micro * world
    if train.batch_size % unit == 0:
        return micro, train.batch_size // unit
    lower, upper = train.batch_size // unit * unit, -(-train.batch_size // unit) * unit
    sizes = " or ".join(str(size) for size in (lower, upper) if size)
    hint = f"set train.batch_size={sizes}"
    if train.batch_size % world == 0:
        share = train.batch_size // world
        fitting = [size for size in range(1, share + 1) if share % size == 0]
        hint += f", or train.micro_batch={min(fitting, key=lambda size: (abs(size - micro), size))}"
    raise UserError(
        f"train.batch_size={train.batch_size} is no multiple of train.micro_batch={micro} x {world} processes", hint
    )


def make_batch(examples: Sequence[Example], collate: Collate) -> Batch:
    """The Batch of `examples`: ids and sizes (H, W) from the core, inputs from the plugin's collator."""
    return Batch(
        [example.sample.id for example in examples], [example.size for example in examples], collate(list(examples))
    )


def train_batches(
    samples: Sequence[Sample],
    collate: Collate,
    train: TrainConfig,
    rank: int,
    world: int,
    start: int = 0,
    by_image: bool = False,
    cache: MaskCache | None = None,
    steps: int | None = None,
) -> Generator[tuple[int, list[Batch]], None, None]:
    """An iterator of (step, micro-batches of this rank) for the optimizer steps start+1 .. `steps` (``train.steps``).

    Every sample comes once per epoch; epochs follow each other without a gap, so a batch may hold the end of one and
    the beginning of the next. Each step takes the same ``train.batch_size`` samples, changed in the same way, whatever
    the number of ranks, workers and micro-batches; every rank gets equally many micro-batches of equal size.
    With `by_image` the samples of one image stay together, are changed alike and count as one. `cache` changes nothing
    but the time: masks that were decoded before come from there.
    Raises UserError at once for no samples, for sizes that do not divide and, when the samples fit into memory, for
    broken files; else while iterating.
    """
    if not samples:
        raise UserError("the training set is empty", "check data.split")
    micro, count = accumulation(train, world)
    last = steps or train.steps
    if last is None:
        raise ValueError("the recipe states no number of steps: give it")
    source = MicroBatches(units_of(samples, by_image), collate, train, rank, world, micro, count, cache)
    loader = DataLoader(
        source,
        batch_size=None,
        sampler=range(start * count, last * count),
        num_workers=train.workers,
        worker_init_fn=_leave_signals_to_the_parent,
        timeout=60 * train.timeout_minutes if train.workers else 0,
        # The workers' seeds come from here; without it the loader would draw from, and move, the global generator.
        generator=torch.Generator().manual_seed(seed_of(train.seed, rank)),
    )
    return _by_step(loader, range(start + 1, last + 1), count)


def _by_step(
    loader: DataLoader[Batch | UserError], steps: range, count: int
) -> Generator[tuple[int, list[Batch]], None, None]:
    batches = iter(loader)
    try:
        for step in steps:
            yield step, [_checked(next(batches)) for _ in range(count)]
    finally:
        del batches  # ends the workers now: an error's traceback would keep this frame, and them, alive


class MicroBatches(Dataset["Batch | UserError"]):
    """The micro-batches of one rank by number, counted from the first step of the training."""

    def __init__(
        self,
        units: Sequence[Sequence[Sample]],
        collate: Collate,
        train: TrainConfig,
        rank: int,
        world: int,
        micro: int,
        count: int,
        cache: MaskCache | None,
    ) -> None:
        self.units = units
        members = [replace(sample, observer2=None) for unit in units for sample in unit]  # nobody learns from it
        self.examples = ExampleSource(members, MEMORY // local_world(), cache)
        self.first = [0, *accumulate(len(unit) for unit in units)]
        self.collate, self.train = collate, train
        self.rank, self.world, self.micro, self.count = rank, world, micro, count

    def __getitem__(self, number: int) -> Batch | UserError:
        """Micro-batch `number`. A UserError is returned, not raised: a worker would wrap it into a traceback.

        What the collator draws from torch's generator follows from the seed and from the place of the micro-batch's
        first sample in the training, not from workers; the generator of this process is left as it was.
        """
        step, part = divmod(number, self.count)
        first = step * self.train.batch_size + (part * self.world + self.rank) * self.micro
        try:
            examples = [example for place in range(first, first + self.micro) for example in self._unit(place)]
            with torch.random.fork_rng(devices=[]):
                # Not torch.manual_seed: that would seed the GPUs' generators as well.
                torch.default_generator.manual_seed(seed_of(self.train.seed, first))
                return _shared(make_batch(examples, self.collate))
        except UserError as error:
            return error

    def _unit(self, position: int) -> list[Example]:
        epoch, place = divmod(position, len(self.units))
        index = int(epoch_order(len(self.units), self.train.seed, epoch)[place])
        members = range(self.first[index], self.first[index + 1])
        name = self.units[index][0].id  # one for all members: they are changed alike
        return [
            augment(self.examples[member], self.train.augment, sample_rng(self.train.seed, epoch, name))
            for member in members
        ]


def units_of(samples: Sequence[Sample], by_image: bool) -> list[list[Sample]]:
    """What is drawn at once, in the order of ids: each sample, or with `by_image` all samples of an image."""
    units: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda sample: sample.id):
        units.setdefault(str(sample.image) if by_image else sample.id, []).append(sample)
    return list(units.values())


@lru_cache(maxsize=4)
def epoch_order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """A permutation of 0 .. count-1 that follows from seed and epoch."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def sample_rng(seed: int, epoch: int, sample_id: str) -> np.random.Generator:
    """The random numbers of one sample in one epoch."""
    words = np.frombuffer(hashlib.sha256(sample_id.encode()).digest(), dtype="<u4")
    return np.random.default_rng([seed, epoch, *words.tolist()])


def seed_of(*words: int) -> int:
    """A seed of 64 bits that follows from all of `words` (whole numbers, none negative)."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0])


def _shared(batch: Batch) -> Batch:
    """In a loader process: the batch, its tensors in shared memory already; UserError when there is no room.

    (Later, in the thread that sends it, the same failure would lose the batch, and the training would wait for it.)
    """
    if get_worker_info() is None:
        return batch
    parts: list[Any] = [batch.inputs]
    while parts:
        part = parts.pop()
        if isinstance(part, torch.Tensor):
            try:
                part.share_memory_()  # type: ignore[no-untyped-call]
            except RuntimeError as error:
                raise UserError(
                    f"no room for a batch in shared memory (/dev/shm): {error}",
                    "set train.workers=0, or give more of it (docker run --shm-size)",
                ) from None
        elif isinstance(part, Mapping):
            parts.extend(part.values())
        elif isinstance(part, list | tuple):
            parts.extend(part)
    return batch


@atexit.register
def _end_workers() -> None:
    """End what loader processes are left when this one ends: Python asks by SIGTERM, which they do not hear, and waits.

    (There are some when an error's traceback has kept the iterator open.)
    """
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def _leave_signals_to_the_parent(worker: int) -> None:
    """In a loader process: a request to stop that is sent to all processes must not take the data from the training.

    (It ends when the training has ended, or is gone.)
    """
    del worker
    for name in STOP_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _checked(batch: Batch | UserError) -> Batch:
    if isinstance(batch, UserError):
        raise batch
    return batch
