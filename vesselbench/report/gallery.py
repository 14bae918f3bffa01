"""The gallery as numbers: which images are shown, in which order, and what every shown prediction gets wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vesselbench.comparing.comparison import Comparison
from vesselbench.comparing.contender import Contender
from vesselbench.report.choice import Choice, Choices
from vesselbench.report.faults import Faults, find_faults
from vesselbench.report.overlay import count_pixels, counted_reference
from vesselbench.types import BoolMask, Example


@dataclass(frozen=True)
class Mistakes:
    """Pixels of one prediction inside the field of view, and the faults that pixels hide."""

    true_positive: int
    false_positive: int
    false_negative: int
    faults: Faults


def count_mistakes(example: Example, predicted: BoolMask) -> Mistakes:
    """Hold a mask [H,W] against the reference of its image; ValueError without one or for another size."""
    inside = predicted if example.fov is None else predicted & example.fov
    return Mistakes(*count_pixels(example, predicted), find_faults(inside, counted_reference(example)))


def gallery_record(comparison: Comparison, choices: Choices, mistakes: Sequence[Sequence[Mistakes]]) -> dict[str, Any]:
    """The gallery as comparison.json holds it; `mistakes`: of every chosen image, of every run, in their orders."""
    return {
        "images": [
            {
                "id": comparison.images[choice.index],
                "group": comparison.groups[choice.index],
                "rank": choice.title or None,
                "disagreement": choice.apart if len(comparison.runs) > 1 else None,
                "mean": choice.mean,
                "runs": {
                    run.label: _prediction(run, comparison.primary, choice, found)
                    for run, found in zip(comparison.runs, of_runs, strict=True)
                },
            }
            for choice, of_runs in zip(choices.chosen, mistakes, strict=True)
        ],
        "unranked": choices.unranked,
    }


def _prediction(run: Contender, primary: str, choice: Choice, found: Mistakes) -> dict[str, Any]:
    """`value` is that of the mask that is shown, the first seed's."""
    faults = found.faults
    return {
        "seed": run.first.seed,
        "value": run.first.values(primary)[choice.index],
        "true_positive": found.true_positive,
        "false_positive": found.false_positive,
        "false_negative": found.false_negative,
        "missed_branches": len(faults.missed),
        "longest_missed_branch": faults.missed[0].size if faults.missed else None,
        "false_bridges": len(faults.bridges),
    }
