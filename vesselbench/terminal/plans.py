"""A plan as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.table import Table

from vesselbench.planner import Plan
from vesselbench.planning.roofline import ACHIEVED_FLOPS, ACHIEVED_MEMORY
from vesselbench.planning.workload import LEGEND
from vesselbench.quantities import duration, size

SHOWN = 8
"""Settings that are listed by rank."""


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
    """Bytes per rank by category for every stage, with and without checkpointing and offload."""
    micro = plan.own.setting.micro_batch
    shown = [one for one in plan.ranked if one.setting.micro_batch == micro]
    shown.sort(key=lambda one: (one.setting.stage, one.setting.checkpointing, one.setting.offload != "none"))
    unit, scale = ("GiB", 2**30) if plan.own.memory.total >= 2**30 else ("MiB", 2**20)
    rows = [
        (
            one.setting.words,
            *(f"{value / scale:.2f}" for value in (*asdict(one.memory).values(), one.memory.total)),
            "yes" if one.fits else "no",
        )
        for one in shown
    ]
    title = f"Memory in {unit} per rank, {plan.work.world} x {plan.device.name}, micro-batch {micro}"
    over = "" if plan.device.kind == "cuda" else " over what the libraries take"
    caption = f"{size(plan.room)} can be filled. {LEGEND} Per sample{over}: {plan.work.costs.basis}."
    names = ("weights", "grads", "optim.", "gather", "activ.", "logits", "other", "in all", "fits")
    return _table(title, ("setting", *names), rows, caption)


def cost_table(plan: Plan) -> Table:
    """What the recipe costs as it is set."""
    own, seconds = plan.own, plan.own.seconds
    micros = plan.work.batch // own.setting.micro_batch
    hours, energy = plan.hours(own), plan.kilowatt_hours(own)
    weights, state = plan.checkpoint_bytes
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
        ("checkpoint", f"{weights / 1e9:.3g} GB of weights, {state / 1e9:.3g} GB more to resume from"),
        ("gain", _gain(plan)),
    ]
    caption = _basis(plan)
    return _table("The recipe as it is set", ("what", "value"), rows, caption)


def _basis(plan: Plan) -> str:
    """Where the seconds come from."""
    if plan.calibration is not None:
        head = "; ".join(plan.calibration.lines)
        return f"{head}. Other micro-batches follow from these, other stages differ as their roofs do; steps alone."
    return (
        f"Assumed: {ACHIEVED_FLOPS:.0%} of the peak of {plan.device.name}, {ACHIEVED_MEMORY:.0%} of its memory's "
        f"bandwidth, {plan.link.between(plan.device) / 1e9:.3g} GB/s per rank and direction over {plan.link.name}"
        f"{'' if plan.device.peer_to_peer else ' (through the host: no peer-to-peer)'}; no overlap; steps alone."
    )


def _gain(plan: Plan) -> str:
    """The fastest setting of the recipe's own stage and offload, which changes the micro-batch alone, against it."""
    own = plan.own.setting
    same = (one for one in plan.ranked if one.fits and one.setting.words == own.words)
    best = next(same, None)
    if best is None or best.setting.micro_batch <= own.micro_batch:
        return "none from a larger micro-batch"
    a, b = own.micro_batch, best.setting.micro_batch
    factor = plan.own.seconds.total / best.seconds.total
    return (
        f"train.micro_batch={b}: {plan.work.batch // b} x {b} instead of {plan.work.batch // a} x {a} per rank, the "
        f"same effective batch in {duration(best.seconds.total)} per step, {factor:.2f} times as fast"
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
