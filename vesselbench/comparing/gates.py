"""Gates: when a comparison must end with exit code 3, for scripts and CI."""

from __future__ import annotations

from vesselbench.comparing.comparison import Comparison

GATE_FAILED = 3


def failed_gates(comparison: Comparison, *, if_worse: bool = False, unless_better: bool = False) -> list[str]:
    """A sentence for every gate that failed; the contender given first is held against each of the others.

    `if_worse`: it is judged worse than another on the primary metric. `unless_better`: it is not judged better than
    every other; equivalent and inconclusive fail too.
    """
    first = comparison.runs[0].label
    failed = []
    for pair in comparison.pairs:
        if pair.a != first:
            continue
        judgement = pair.metrics[comparison.primary].judgement
        if if_worse and judgement == "worse":
            failed.append(f"gate --fail-if-worse: {first} is worse than {pair.b} on {comparison.primary}")
        if unless_better and judgement != "better":
            failed.append(f"gate --fail-unless-better: {first} against {pair.b} on {comparison.primary}: {judgement}")
    return failed
