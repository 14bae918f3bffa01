"""How the numbers and pictures of a comparison are made: what stands under every page, and in comparison.json."""

from __future__ import annotations

from vesselbench.comparing.comparison import Comparison
from vesselbench.comparing.pairing import RESAMPLES
from vesselbench.declared import plural
from vesselbench.report.faults import SHORTEST, SLACK
from vesselbench.report.overlay import SIDE
from vesselbench.report.panels import MOST_MARKS


def methods_of(comparison: Comparison, pseudonymised: bool) -> list[str]:
    """How the numbers and pictures of a comparison are made, in sentences."""
    one_seed = all(len(run.seeds) == 1 for run in comparison.runs)
    notes = [
        f"Interval: 95 % bootstrap over {plural(comparison.unit)} ({RESAMPLES:,} resamples), widened for small numbers "
        f"of them. p: Wilcoxon's signed-rank test on the means of {plural(comparison.unit)}, after Holm's correction. "
        f"Equivalent: the interval lies within ±{comparison.margin:g}. Better or worse: it leaves out 0 and p is below "
        "0.05. Detectable: the smallest true difference that such a test set finds in 80 % of cases.",
        "Gallery: a missed branch is a connected piece of the reference's centre line of at least "
        f"{SHORTEST} pixels, or 2 % of the longer side, without any predicted pixel within {SLACK:g} pixels; a false "
        "bridge is a connected piece of false positives that touches two parts of the reference. At most "
        f"{MOST_MARKS} of each are marked; all are counted.",
        f"Large images are averaged down to {SIDE} pixels; the second row is the part in which the runs go "
        "wrong most, at twice its size.",
    ]
    if one_seed:
        notes.insert(
            0, "Every run is one training with one seed: the verdict is on these checkpoints, not the methods."
        )
    else:
        notes.insert(
            0,
            "Of several seeds the values of an image are averaged first; costs are those of one seed on average. "
            "Gallery and calibration show the first seed.",
        )
    if pseudonymised:
        notes.append(
            "Names of images and groups are replaced; data settings and command lines are withheld. Letters inside the "
            "pictures stay."
        )
    return notes
