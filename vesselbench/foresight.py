"""What the test set will be able to tell apart, said before it is scored."""

from __future__ import annotations

from collections.abc import Sequence

from vesselbench.compare import compare
from vesselbench.declared import counted
from vesselbench.errors import UserError
from vesselbench.rundir import RunDir
from vesselbench.statistics.paired import LEVEL, least_p
from vesselbench.statistics.power import POWER, minimum_detectable


def foresee_too_few(groups: int, unit: str, models: int) -> str:
    """A sentence when none of so many models can be called better on a test set of so many groups; else nothing."""
    pairs = models * (models - 1) // 2
    least = min(1.0, pairs * least_p(groups))
    if least < LEVEL:
        return ""
    corrected = f" after correction for {pairs} pairs" if pairs > 1 else ""
    return (
        f"the test set has {counted(groups, unit)}: no model can be called better or worse on so few, since the "
        f"signed-rank test cannot give a p below {least:.2g}{corrected}; data.split.test makes it larger"
    )


def foresee(runs: Sequence[RunDir]) -> list[str]:
    """A line for every two contenders: the minimum detectable difference of their test set, from the validation set.

    The spread of their differences is the validation set's; the number of groups is scaled by the numbers of images.
    Where the validation sets cannot be compared (another version's scores, say) the line says why.
    """
    try:
        comparison = compare(runs, "val")
    except UserError as error:
        return [f"what the test set can tell apart is not foretold: {error.message}"]
    sizes = {name: len(ids) for name, ids in comparison.runs[0].split.sets.items()}
    groups = len(set(comparison.groups))
    planned = max(2, round(groups * sizes["test"] / sizes["val"]))
    lines = []
    for number, a in enumerate(comparison.runs):
        for b in comparison.runs[number + 1 :]:
            pairs = zip(a.values(comparison.primary), b.values(comparison.primary), comparison.groups, strict=True)
            known = [(x - y, group) for x, y, group in pairs if x is not None and y is not None]
            if not known:
                continue
            found = minimum_detectable([d for d, _ in known], [group for _, group in known], planned)
            size = f"about {counted(planned, comparison.unit)}"
            basis = f"from the differences of {counted(groups, comparison.unit)} of the validation set"
            if found.difference is None:
                lines.append(f"{a.label}, {b.label}: what {size} can tell apart is not foretold: {found.reason}")
                continue
            lines.append(
                f"{a.label}, {b.label}: a test set of {size} finds a difference of {found.difference:.3f} in "
                f"{comparison.primary} in {POWER:.0%} of cases ({basis})"
            )
    return lines
