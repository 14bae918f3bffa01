"""What stands over every table of a comparison's page, in HTML and in Markdown."""

from __future__ import annotations

from vesselbench.comparing.comparison import Comparison
from vesselbench.declared import counted
from vesselbench.report import words


def captions_of(comparison: Comparison) -> dict[str, str]:
    """Table -> its caption; keys are the names under which the templates know the tables."""
    unit, groups = comparison.unit.partition("/")[0], counted(len(set(comparison.groups)), comparison.unit)
    return {
        "scores": "Mean over images, then median, all pixels at once, mean of groups; ↑ higher is better, ↓ lower is "
        "better",
        "judged": f"Paired by image, intervals and p by {unit}",
        "others": f"Not declared, so not judged; paired by image, intervals by {unit}",
        "ranks": f"How often each run takes each rank when the {groups} are drawn anew{_tested(comparison)}",
        "seeds": "One training each; their values are averaged first",
        "cases": "Images of each case; both empty counts as a perfect overlap, one empty as none",
        "images": f"{comparison.primary} of every image",
        "widths": "Mean over the images that have vessels of the width",
        "ladder": "Means over images",
        "costs": "What training and prediction took",
        "parts": "All parameters counted whole, however they were divided among processes",
        "split": "The same for every run",
        "scorings": "Scorings in the ledger of the test set, oldest first",
        "origins": "Where the scored weights come from",
        "unlike_settings": "A dash: the model has no such setting",
        "shared_settings": "The same in every recipe",
        "versions": "Installed when the run was made",
        "hashes": "What was scored, to the bit",
    }


def _tested(comparison: Comparison) -> str:
    """Friedman's p, why it could not be smaller, and on how many images, where some have no value in a run."""
    several = comparison.several
    if several is None:
        return ""
    reason = f" ({several.friedman.reason})" if several.friedman.reason else ""
    share = words.share(several.images, len(comparison.images))
    return f"; Friedman p {words.probability(several.friedman.p)}{reason}{f'; {share}' if share else ''}"
