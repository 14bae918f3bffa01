"""Bytes per rank by category, at the highest point of an optimizer step."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from vesselbench.planning.hardware import Device
from vesselbench.planning.workload import Setting, Workload
from vesselbench.training.memory import states
from vesselbench.training.settings import CPU_BUCKET, GPU_BUCKET

LIVE = 1_000_000_000
"""Parameters that DeepSpeed may keep gathered (its defaults of stage3_max_live_parameters and of
stage3_max_reuse_distance); train.deepspeed can lower both."""
BUCKET_BYTES = 4 * GPU_BUCKET * 2
"""Buckets for gathering and reducing, two of each (training/settings.py)."""
CONTEXT_BYTES = 2**30
"""CUDA context, kernels and NCCL's buffers: about 1 GiB, an assumption."""
HOLES = 50 * 2**20
"""Of this and of what both passes hold, the holes of glibc's heap are the geometric mean, in bytes: freed pages that
are kept (`allocator.keep_freed_pages`) and that no later block fits into. Fitted, see docs/planning.md."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank on its device; `gradients` are at their highest: while they are reduced, or in fp32 for the
    optimizer. `optimizer`: with fp32 copies and the moving average of the weights. `other`: what is there without any
    model on a GPU; on a processor decoded samples, stage 3's bucket and the heap's holes."""

    weights: int
    gradients: int
    optimizer: int
    gathered: int
    activations: int
    logits: int
    other: int

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(asdict(self).values())


def memory_of(work: Workload, setting: Setting, device: Device) -> Memory:
    """Model states by Rajbhandari et al. 2020; the rest as `Costs` counts it for one micro-batch.

    On a processor offload moves nothing, and what the libraries take is not counted (the plan is over that baseline).
    """
    held = states(work.total - work.trainable, work.trainable, setting.stage, work.world, work.precision)
    cuda = device.kind == "cuda"
    offload = setting.offload if cuda else "none"
    moved = offload != "none" and setting.stage >= 2  # below, DeepSpeed accumulates whole gradients on the device
    backward, reduced = _backward(work, setting), _reduced(work, setting)
    stepping = 0 if offload != "none" else _stepping(work, setting, device)
    holes = 0 if cuda else math.isqrt(HOLES * sum(backward))
    # whichever comes highest: a backward pass (activations and a gradient not yet split) or the optimizer's step
    in_step = stepping > sum(backward) + reduced + holes
    beside = CONTEXT_BYTES + BUCKET_BYTES if cuda else work.loaded_bytes + 4 * CPU_BUCKET * (setting.stage == 3)
    gradients = 0 if moved else _gradients(work, setting, held.gradients, in_step)
    return Memory(
        weights=0 if offload == "both" else held.weights,
        gradients=gradients
        + (stepping if in_step else reduced)
        + (_leaving(work, setting) if offload != "none" else 0),
        optimizer=0 if offload != "none" else _optimizer(work, setting),
        gathered=_gathered(work, setting, cuda) if work.world > 1 else 0,
        activations=0 if in_step else backward[0],
        logits=0 if in_step else backward[1],
        other=beside + (0 if in_step else holes),
    )


def _share(work: Workload, setting: Setting) -> int:
    """Trained parameters that this rank's optimizer moves."""
    return work.trainable // (work.world if setting.stage >= 1 else 1)


def _optimizer(work: Workload, setting: Setting) -> int:
    """Moments, the average, and an fp32 copy of the weights: in bf16, and from stage 1 on whatever the precision
    (DeepSpeed clones its share there; at stage 0 the optimizer moves the fp32 weights themselves)."""
    copies = work.precision == "bf16" or setting.stage >= 1
    return 4 * (work.moments + copies + work.averaged) * _share(work, setting)


def _gathered(work: Workload, setting: Setting, cuda: bool) -> int:
    """Stage 3: the weights in use. Stages 1 and 2 gather the updated weights where they lie, but on a processor torch's
    gloo does so by a flat buffer of its own."""
    if setting.stage == 3:
        return min(work.costs.gathered_forward, LIVE + work.largest_layer) * work.width
    return 0 if cuda or setting.stage == 0 else work.trainable * work.width


def _backward(work: Workload, setting: Setting) -> tuple[int, int]:
    """Activations and logits of both passes of a micro-batch."""
    costs, micro = work.costs, setting.micro_batch
    if costs.blocks:
        return micro * sum(costs.blocks), 0
    kept = costs.checkpointed_bytes if setting.checkpointing else costs.activation_bytes
    return micro * ((kept or 0) + costs.working_bytes), micro * costs.logit_bytes


def _reduced(work: Workload, setting: Setting) -> int:
    """A layer's whole gradient, at stages 2 and 3, until it is split; where it is in `blocks` already, the copy of it
    that is sent."""
    if setting.stage < 2 or (work.costs.blocks and work.world == 1):
        return 0
    return min(work.largest_layer, work.trainable) * work.width


def _leaving(work: Workload, setting: Setting) -> int:
    """What offload takes on the device: a buffer of the largest trained parameter through which accumulated gradients
    come back (stage 3: of its share), and the fp32 copy of a rank's part of it that goes out."""
    largest = min(work.largest_layer, work.trainable)
    if setting.stage == 3:
        return largest // work.world * (work.width + 4)
    return largest * work.width + min(largest, _share(work, setting)) * 4


def _gradients(work: Workload, setting: Setting, held: int, in_step: bool) -> int:
    """What lies there beside the passes. Where these were run, their own gradients are in `blocks`: others are there
    from earlier micro-batches of the step, and in stage 3's buffer, which always is."""
    beside = setting.stage == 3 or setting.micro_batch < work.batch
    return held if in_step or beside or not work.costs.blocks else 0


def _stepping(work: Workload, setting: Setting, device: Device) -> int:
    """What the optimizer's step takes beside the gradients: their fp32 copy (at stages 1 and 2 whatever the precision,
    where DeepSpeed lays them end to end), and on a processor AdamW's two temporaries of one tensor: a rank's whole
    share, or at stage 0 the largest layer."""
    copies = work.precision == "bf16" or setting.stage in (1, 2)
    share = _share(work, setting)
    single = share if setting.stage >= 1 else min(work.largest_layer, work.trainable)
    return 4 * (share * copies + (2 * single if device.kind == "cpu" else 0))
