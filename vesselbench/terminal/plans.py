"""A plan as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from shutil import get_terminal_size

from rich import box
from rich.table import Table

from vesselbench.planner import Foreseen, Plan
from vesselbench.planning.host import Disk
from vesselbench.planning.roofline import ACHIEVED_FLOPS, ACHIEVED_MEMORY, HOST_MEMORY
from vesselbench.planning.workload import LEGEND
from vesselbench.quantities import duration, size

SHOWN = 8
"""Settings that are listed by rank."""
TIGHT = 90
"""Characters of a terminal; below, the columns of the memory have one space between them, or they would be cut."""


def plan_tables(plan: Plan) -> list[Table]:
    """Parameters, memory of each arrangement at the recipe's micro-batch, the recipe's own cost, and the ranking."""
    return [parts_table(plan), memory_table(plan), cost_table(plan), ranking_table(plan)]


def parts_table(plan: Plan) -> Table:
    """Parameters per part of a model."""
    rows = [(name, f"{total:,}", f"{trainable:,}") for name, (total, trainable) in plan.parts.items()]
    total, trainable = (sum(part[index] for part in plan.parts.values()) for index in (0, 1))
    rows.append(("in all", f"{total:,}", f"{trainable:,} ({trainable / total:.2%})"))
    return _table("Parameters", ("part", "in all", "trainable"), rows, "\n".join(plan.notes))


def memory_table(plan: Plan) -> Table:
    """Bytes per rank by category for every stage, with and without checkpointing and offload; of the host in all."""
    micro = plan.own.setting.micro_batch
    shown = [one for one in plan.ranked if one.setting.micro_batch == micro]
    shown.sort(key=lambda one: (one.setting.stage, one.setting.checkpointing, one.setting.offload != "none"))
    unit, scale = ("GiB", 2**30) if plan.own.memory.total >= 2**30 else ("MiB", 2**20)
    cuda, whole = plan.device.kind == "cuda", bool(plan.work.costs.blocks)
    rows = []
    for one in shown:
        parts = {name: f"{value / scale:.2f}" for name, value in asdict(one.memory).items()}
        if whole:
            parts["logits"] = "-"
        sums = [f"{one.memory.total / scale:.2f}", *([f"{one.host / scale:.2f}"] if cuda else [])]
        rows.append((one.setting.words, *parts.values(), *sums, "yes" if one.fits else "no"))
    title = f"Memory in {unit} per rank, {plan.work.world} x {plan.device.name}, micro-batch {micro}"
    over = "" if cuda else " over what the libraries take"
    said = [f"{size(plan.room)} can be filled. {LEGEND} Per sample{over}: {plan.work.costs.basis}."]
    if whole:
        said.append("Logits are in activ.: a pass was run, and its memory is not told by name.")
    if any(one.memory.activations == 0 for one in shown):
        said.append("Where activ. is 0.00 the optimizer's step is the highest point, and activations are gone by then.")
    if cuda:
        said.append("host: of the machine for all ranks, not among what must fit; see docs/planning.md.")
    names = ("weights", "grads", "optim.", "gather", "activ.", "logits", "other", "in all", *(["host"] if cuda else []))
    table = _table(title, ("setting", *names, "fits"), rows, "\n".join(said))
    if get_terminal_size().columns < TIGHT:
        table.padding = 0
    return table


def cost_table(plan: Plan) -> Table:
    """What the recipe costs as it is set."""
    own, seconds = plan.own, plan.own.seconds
    micros = plan.work.batch // own.setting.micro_batch
    hours, energy = plan.hours(own), plan.kilowatt_hours(own)
    disk = plan.disk
    rows = [
        ("setting", f"{own.setting.words}, {micros} accumulated x micro-batch {own.setting.micro_batch} per rank"),
        ("fits", f"{'yes' if own.fits else 'no'}: {size(own.memory.total)} of {size(plan.room)}"),
        ("optimizer steps", "not known: the clock ends it" if plan.steps is None else f"{plan.steps:,}"),
        ("one step", duration(seconds.total)),
        ("  compute", duration(seconds.compute)),
        ("  traffic between ranks", f"{duration(seconds.communication)}, {size(seconds.sent)} sent per rank"),
        ("  traffic to host memory", duration(seconds.offload)),
        ("one micro-batch", duration(seconds.total / micros)),
        ("limited by", seconds.limit),
        ("training", "by the clock" if hours is None else duration(3600 * hours)),
        ("energy", "by the clock" if energy is None else f"at most {energy:.3g} kWh ({plan.device.watts:g} W each)"),
        ("checkpoint", f"{disk.weights / 1e9:.3g} GB of weights, {disk.state / 1e9:.3g} GB more to resume from"),
        ("all checkpoints", _kept(disk)),
        ("gain, micro-batch alone", _gain(plan, plan.larger) or "none from a larger micro-batch"),
        ("gain, fastest that fits", _gain(plan, plan.fastest) or "none: nothing that fits is faster"),
    ]
    return _table("The recipe as it is set", ("what", "value"), rows, "\n".join(_basis(plan)))


def _kept(disk: Disk) -> str:
    """What a run folder holds at most."""
    written = "as many as the clock allows" if disk.written is None else f"{disk.written}"
    states = "" if disk.most_states == disk.most else f", {disk.most_states} of them with what a resume needs"
    return f"{written} written, at most {disk.most} at once{states}: {disk.total / 1e9:.3g} GB in the run folder"


def _basis(plan: Plan) -> list[str]:
    """Where the seconds come from, in sentences; and whose figures they are."""
    device, link = plan.device, plan.link
    if plan.calibration is not None:
        head = "; ".join(plan.calibration.lines)
        said = f"{head}. Other micro-batches follow from these, other stages differ as their roofs do; steps alone."
    else:
        moved = f"{link.host_gbps:g} GB/s per rank to the host, whose memory updates an optimizer there at "
        moved += f"{HOST_MEMORY / 1e9:g} GB/s for all ranks together; "
        said = (
            f"Assumed: {ACHIEVED_FLOPS:.0%} of the peak of {device.name}, {ACHIEVED_MEMORY:.0%} of its memory's "
            f"bandwidth, {link.between(device) / 1e9:.3g} GB/s per rank and direction over {link.name}"
            f"{'' if device.peer_to_peer else ' (through the host: no peer-to-peer)'}; "
            f"{moved if device.kind == 'cuda' else ''}no overlap; steps alone."
        )
    bound = "A lower bound: Python's own time and the data are not counted; --probe measures them."
    sources = f"Sources. {device.name}: {device.source.strip()} {link.name}: {link.source.strip()}"
    return [*([bound] if plan.is_lower_bound else []), said, sources]


def _gain(plan: Plan, best: Foreseen | None) -> str:
    """How to get a faster setting, and what it gives; empty where there is none."""
    if best is None:
        return ""
    own, micro, batch = plan.own.setting.micro_batch, best.setting.micro_batch, plan.work.batch
    arranged = f"{batch // micro} x {micro}" + ("" if micro == own else f" instead of {batch // own} x {own}")
    words = " ".join(best.setting.overrides(plan.own.setting))
    return (
        f"{words}: {arranged} per rank, the same effective batch in {duration(best.seconds.total)} per step, "
        f"{plan.gain(best):.2f} times as fast"
    )


def ranking_table(plan: Plan) -> Table:
    """The settings that fit, by time."""
    fitting = [one for one in plan.ranked if one.fits]
    rows = [
        (
            f"{one.setting.words}, {plan.work.batch // one.setting.micro_batch} x {one.setting.micro_batch}",
            size(one.memory.total),
            duration(one.seconds.total),
            *(duration(part) for part in (one.seconds.compute, one.seconds.communication, one.seconds.offload)),
            one.seconds.limit,
        )
        for one in fitting[:SHOWN]
    ]
    columns = ("setting", "memory", "step", "compute", "between ranks", "to host", "limit")
    found = f"{len(fitting)} of {len(plan.ranked)} settings fit; accumulated x micro-batch per rank, the same batch."
    return _table("Settings that fit, fastest first", columns, rows, found)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> Table:
    table = Table(*columns, title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for row in rows:
        table.add_row(*row)
    table.caption = caption or None
    return table
