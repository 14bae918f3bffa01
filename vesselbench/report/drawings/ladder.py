"""The ladder: the models between trivial answers and small faults of annotation."""

from __future__ import annotations

from vesselbench.comparing.comparison import Comparison
from vesselbench.comparing.contender import mean_of
from vesselbench.ladder import Ladder
from vesselbench.report import words
from vesselbench.report.drawings.drawn import Drawn
from vesselbench.report.svg import CHARACTER, WIDTH, Axes, colour, shortened, spread


def draw_ladder(comparison: Comparison, ladder: Ladder) -> Drawn | None:
    """A bar per rung and run, best on top, and the band of one pixel of annotation below the reference."""
    metric = comparison.primary
    rows = [(rung.name, mean, "") for rung in ladder.rungs if (mean := rung.mean(metric)) is not None]
    rows += [
        (run.label, mean, colour(place))
        for place, run in enumerate(comparison.runs)
        if (mean := mean_of(run.values(metric))) is not None
    ]
    if not rows:
        return None
    higher = comparison.directions[metric] == "higher"
    rows.sort(key=lambda row: (row[1] if higher else -row[1], bool(row[2])))
    values = [value for _, value, _ in rows]
    low = min(0.0, *values)
    high = max(1.0, spread(values)[1]) if higher and max(values) <= 1 else spread(values)[1]
    left = 16 + 1.25 * CHARACTER * max(len(shortened(name, 20)) for name, _, _ in rows)  # runs stand in bold
    size = (left + 0.9 * WIDTH, 62 + 23.0 * len(rows))
    axes = Axes.between((low, high), (-0.6, len(rows) - 0.4), size=size, left=left, right=50)
    axes.rule_x()
    drawing = axes.drawing
    for row, (name, value, kind) in enumerate(rows):
        up = axes.y(row)
        drawing.rect(
            axes.x(low), up - 7, axes.x(value) - axes.x(low), 14, f"bar {kind}", f"{name}: {words.score(value)}"
        )
        drawing.text(axes.x.start - 8, up + 4, shortened(name, 20), "strong" if kind else "label", "end")
        drawing.text(axes.x(value) + 5, up + 4, words.score(value), "strong halo" if kind else "label halo")
    axes.name(f"mean {metric} ({comparison.directions[metric]} is better)", "")
    listed = ", ".join(f"{name} {words.score(value)}" for name, value, _ in reversed(rows))
    floor = ladder.noise_floor(metric)
    said = (
        ""
        if floor is None
        else f" A shift of the annotation by one pixel costs {words.score(floor)}: a smaller gain is within its noise."
    )
    caption = f"Grey: answers that need no training, and the reference with small faults.{said}"
    return Drawn.of("ladder", drawing, f"Mean {metric} of every rung, best first: {listed}", caption)
