"""Bytes per rank by category, at the highest point of an optimizer step."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from vesselbench.planning.hardware import Device
from vesselbench.planning.workload import Setting, Workload
from vesselbench.training.memory import states

LIVE = 1_000_000_000
"""Parameters that DeepSpeed may keep gathered (its defaults of stage3_max_live_parameters and of
stage3_max_reuse_distance); train.deepspeed can lower both."""
BUCKET_BYTES = 4 * 50_000_000 * 2
"""Buckets for gathering and reducing, two of each (training/settings.py)."""
CONTEXT_BYTES = 2**30
"""CUDA context, kernels and NCCL's buffers: about 1 GiB, an assumption."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank on its device; `gradients` are at their highest: while they are reduced, or in fp32 for the
    optimizer. `libraries`: what is there without any model."""

    weights: int
    gradients: int
    optimizer: int
    gathered: int
    activations: int
    logits: int
    libraries: int

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
    costs, micro = work.costs, setting.micro_batch
    kept = costs.checkpointed_bytes if setting.checkpointing else costs.activation_bytes
    backward = micro * ((kept or 0) + costs.logit_bytes + costs.working_bytes)
    reduced = min(work.largest_layer, work.trainable) * work.width if setting.stage >= 2 else 0
    share = work.trainable // (work.world if setting.stage >= 1 else 1)
    copied = 4 * share if work.precision == "bf16" and offload == "none" else 0
    moved = offload != "none" and setting.stage >= 2  # below, DeepSpeed accumulates whole gradients on the device
    # whichever comes highest: a backward pass (activations and a gradient not yet split) or the optimizer's step
    in_step = copied > backward + reduced
    gathered = min(costs.gathered_forward, (LIVE if cuda else 0) + work.largest_layer) * work.width
    return Memory(
        weights=0 if offload == "both" else held.weights,
        gradients=(0 if moved else held.gradients) + (copied if in_step else reduced),
        optimizer=0 if offload != "none" else held.optimizer,
        gathered=gathered if setting.stage == 3 and work.world > 1 else 0,
        activations=0 if in_step else micro * ((kept or 0) + costs.working_bytes),
        logits=0 if in_step else micro * costs.logit_bytes,
        libraries=CONTEXT_BYTES + BUCKET_BYTES if cuda else 0,
    )
