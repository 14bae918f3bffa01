"""What a training needs of the host: its memory, and room for checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

from vesselbench.config import TrainConfig
from vesselbench.planning.hardware import Device
from vesselbench.planning.workload import Setting, Workload
from vesselbench.training.accounting import checkpoint_steps
from vesselbench.training.memory import LARGE


def host_bytes(work: Workload, setting: Setting, device: Device, ranks: int) -> int:
    """Bytes of the host's memory that all ranks together need beside a GPU's, on one machine: decoded samples, and
    the larger of what offload keeps there and of the models that the processes build before they move them to their
    devices. On a processor (where the host's memory is the device's) `ranks`, the bytes of one rank, times all.

    At stage 3 a model above `LARGE` is taken to be read tensor by tensor (``train.init``: auto with base weights);
    otherwise every process builds the whole. Not in it: the libraries, about 1 GiB a process, and what torch adds when
    it pins memory (it rounds each block up to a power of two: double at the most).
    """
    if device.kind == "cpu":
        return ranks * work.world
    whole = work.total * work.width
    split = setting.stage == 3 and work.world > 1 and whole > LARGE
    built = work.world * (work.largest_layer * work.width if split else whole)
    return work.loaded_bytes * work.world + max(built, _offloaded(work, setting))


def _offloaded(work: Workload, setting: Setting) -> int:
    """Of all ranks, as DeepSpeed 0.19 keeps it: the optimizer's copy of the weights, moments and gradients in fp32; at
    stages 1 and 2 the weights that go back; from stage 2 on the gradients of earlier micro-batches; with `both` all
    weights."""
    if setting.offload == "none":
        return 0
    numbers = 4 * (2 + work.moments + work.averaged)
    several = setting.stage == 3 or (setting.stage == 2 and setting.micro_batch < work.batch)
    numbers += work.width * ((setting.stage < 3) + several)
    return work.trainable * numbers + (work.total * work.width if setting.offload == "both" else 0)


@dataclass(frozen=True)
class Disk:
    """Bytes of one checkpoint's weights and of the state with which a training is resumed; how many checkpoints are
    written (None: the clock decides), and how many of them, and with their state, a run folder has at most at once."""

    weights: int
    state: int
    written: int | None
    most: int
    most_states: int

    @property
    def total(self) -> int:
        """Bytes of all checkpoints in a run folder, at most."""
        return self.most * self.weights + self.most_states * self.state


def disk_of(train: TrainConfig, work: Workload, steps: int | None) -> Disk:
    """A training keeps ``train.keep`` newest checkpoints and, where it validates on the way, the best one; the next is
    written before an older one is removed."""
    lowered = work.precision == "bf16"
    numbers = work.moments + lowered + 2 * work.averaged  # with an average also the weights beside it
    written = None if steps is None else len(checkpoint_steps(train, steps))
    most = train.keep + bool(train.validate_every) + 1
    most = most if written is None else min(written, most)
    states = most if train.keep_state == "all" else min(most, 2)
    return Disk(work.trainable * work.width, 4 * work.trainable * numbers, written, most, states)
