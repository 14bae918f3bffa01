"""Seconds per optimizer step: arithmetic, traffic between ranks, traffic to the host, one after the other.

Every assumption is a named number here or in configs/hardware and configs/interconnects. No overlap of the three is
counted, so where two are of one size the truth can be lower, by half at the most of their sum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vesselbench.planning.hardware import Device, Interconnect
from vesselbench.planning.workload import Setting, Workload

ACHIEVED_FLOPS = 0.45
"""Share of the peak that training reaches where arithmetic limits it (Narayanan et al. 2021, table 1: 0.44 to 0.52)."""
ACHIEVED_MEMORY = 0.8
"""Share of the memory's bandwidth that kernels reach; an assumption."""
UPDATE_BYTES = 28
"""AdamW reads and writes so many bytes per trained parameter: master, two moments, gradient, weight."""
HOST_MEMORY = 50e9
"""Bytes/s at which the host updates an optimizer that was moved there, all ranks together; an assumption."""


@dataclass(frozen=True)
class Seconds:
    """Of one optimizer step, all its micro-batches; bytes sent per rank; `roof`: what bounds the arithmetic."""

    compute: float
    communication: float
    offload: float
    sent: float
    roof: str

    @property
    def total(self) -> float:
        """Seconds."""
        return self.compute + self.communication + self.offload

    def times(self, factor: float) -> Seconds:
        """All parts longer by a factor; the bytes stay."""
        compute, communication, offload = factor * self.compute, factor * self.communication, factor * self.offload
        return replace(self, compute=compute, communication=communication, offload=offload)

    @property
    def limit(self) -> str:
        """What takes the most of it."""
        most = max(self.compute, self.communication, self.offload)
        if most == self.compute:
            return f"compute ({self.roof})"
        return "traffic between ranks" if most == self.communication else "traffic to host memory"


def seconds_of(work: Workload, setting: Setting, device: Device, link: Interconnect) -> Seconds:
    """The roofline of Williams et al. 2009 per micro-batch, and ring collectives by volume."""
    micros = work.batch // setting.micro_batch
    compute, roof = _compute(work, setting, device)
    sent = _sent(work, setting, micros)
    calls = micros * (3 if setting.stage == 3 else 1)
    traffic = sent / link.between(device) + (calls * link.latency_us * 1e-6 if work.world > 1 else 0.0)
    update = work.trainable * UPDATE_BYTES / (work.world if setting.stage >= 1 else 1)
    moved = setting.offload if device.kind == "cuda" else "none"
    if moved == "none":
        compute += update / (device.memory_gbps * 1e9 * ACHIEVED_MEMORY)
    return Seconds(
        compute=compute,
        communication=traffic,
        offload=0.0 if moved == "none" else _offload(work, setting, micros, link, update),
        sent=sent,
        roof=roof,
    )


def _compute(work: Workload, setting: Setting, device: Device) -> tuple[float, str]:
    """All micro-batches of a step: FLOPs against the peak, or weights and activations against the memory."""
    costs = work.costs
    flops = costs.flops_forward + costs.flops_backward + (costs.flops_again if setting.checkpointing else 0)
    low = work.precision in ("bf16", "autocast")
    peak = device.peak_tflops["bf16" if low else "fp32"] * 1e12 * ACHIEVED_FLOPS
    passes = costs.gathered_forward + (2 if setting.checkpointing else 1) * costs.gathered_backward
    micros = work.batch // setting.micro_batch
    touched = micros * passes * work.width + 3.0 * work.batch * costs.activation_bytes
    by_flops, by_memory = work.batch * flops / peak, touched / (device.memory_gbps * 1e9 * ACHIEVED_MEMORY)
    return (by_flops, "arithmetic") if by_flops >= by_memory else (by_memory, "memory bandwidth")


def _sent(work: Workload, setting: Setting, micros: int) -> float:
    """Bytes that a rank sends in an optimizer step. A ring sends (n-1)/n of the whole per gather or reduction
    (Rajbhandari et al. 2020, section 7).

    DeepSpeed reduces gradients in every micro-batch at stages 2 and 3, once per step below. Stage 3 gathers the weights
    twice, for each forward and each backward pass, as tests/distributed/test_gathers.py counts. A block that
    checkpointing computes again is not gathered a third time: it is gathered as a whole (`training.leaves`) when its
    backward pass begins, and kept until that ends. What DeepSpeed keeps from forward to backward (`footing.LIVE`
    parameters at the most) is not taken off.
    """
    ring, learned = (work.world - 1) / work.world, work.trainable * work.width
    if setting.stage == 3:
        gathered = (work.costs.gathered_forward + work.costs.gathered_backward) * work.width
        return ring * micros * (gathered + learned)
    if setting.stage == 2:
        return ring * (micros * learned + learned)
    return ring * 2 * learned


def _offload(work: Workload, setting: Setting, micros: int, link: Interconnect, update: float) -> float:
    """What crosses to the host's memory and back, the update there; with `both` also each pass's share of weights."""
    moved = moved_to_host(work, setting, micros)
    return moved / (link.host_gbps * 1e9) + update * work.world / HOST_MEMORY


def moved_to_host(work: Workload, setting: Setting, micros: int) -> float:
    """Bytes per rank and optimizer step between a device and the host's memory, both directions, as DeepSpeed 0.19
    copies them (runtime/zero/stage_1_and_2.py and stage3.py).

    Every stage: a rank's share of the gradients once in fp32, and of the weights back. Stage 1 accumulates gradients on
    the device; stage 2 sends its share out after each of several micro-batches and fetches it again in the next; stage
    3 does both in each. With weights on the host, too, each pass fetches its share, and none is sent back.
    """
    share = work.trainable * work.width / work.world
    accumulated = {1: 0, 2: 2 * micros - 1 if micros > 1 else 0, 3: 2 * micros}[setting.stage] * share
    moved = accumulated + 4 * work.trainable / work.world
    if setting.offload != "both":
        return moved + share
    passes = (work.costs.gathered_forward + work.costs.gathered_backward) * work.width / work.world
    return moved + micros * passes
