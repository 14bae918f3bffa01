"""Which rank predicts which samples, and what comes back: every id once, in the order asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vesselbench.types import Sample, ScoreRow

ITEM = TypeVar("ITEM")


@dataclass(frozen=True)
class Dealt:
    """One sample of a rank's share. Padding is predicted, so that ranks stay in step, and then thrown away."""

    sample: Sample
    padding: bool


def deal(samples: Sequence[Sample], rank: int, world: int) -> list[Dealt]:
    """Every `world`-th sample from number `rank` on; each share is padded from the start to the longest one.

    Equal shares mean equal numbers of forward passes: under ZeRO-3 every pass is a collective, and a rank with one
    less would leave the others waiting. Raises ValueError when there are no samples.
    """
    if not samples:
        raise ValueError("no samples to deal")
    longest = -(-len(samples) // world)
    numbers = range(rank, longest * world, world)
    return [Dealt(samples[number % len(samples)], padding=number >= len(samples)) for number in numbers]


def batches(share: Sequence[ITEM], size: int) -> Iterator[Sequence[ITEM]]:
    """The share in pieces of `size`; the last may be shorter."""
    for start in range(0, len(share), size):
        yield share[start : start + size]


def check_ids(wanted: Sequence[str], found: Sequence[str]) -> None:
    """Raise ValueError, naming them, for ids that are missing, extra or doubled."""
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    doubled = sorted(name for name, count in Counter(found).items() if count > 1)
    kinds = (("missing", missing), ("extra", extra), ("doubled", doubled))
    wrong = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds if names)
    if wrong:
        raise ValueError(f"predictions do not match the samples; {wrong}")


def in_order(rows: Sequence[ScoreRow], wanted: Sequence[str]) -> tuple[ScoreRow, ...]:
    """The rows of all ranks in the order of `wanted`; ValueError unless each id is there once."""
    check_ids(wanted, [row.id for row in rows])
    by_id = {row.id: row for row in rows}
    return tuple(by_id[name] for name in wanted)
