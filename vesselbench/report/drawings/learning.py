"""Score against the number of training groups: a line with intervals per model."""

from __future__ import annotations

from vesselbench.comparing.learning import Curve, crossings
from vesselbench.declared import plural
from vesselbench.report import words
from vesselbench.report.drawings.drawn import Drawn
from vesselbench.report.svg import Axes, colour, spread
from vesselbench.statistics.paired import Interval

APART = 1.012
"""Factor between neighbouring models at one size, so that their intervals do not hide each other."""


def bounds_of_mean(interval: Interval) -> str:
    """The interval of a mean, without signs; why there is none."""
    if interval.low is None or interval.high is None:
        return interval.reason
    return f"[{words.score(interval.low)}, {words.score(interval.high)}]"


def draw_learning(curve: Curve) -> Drawn:
    """The curve of every model; a dashed line where the means of the first two cross."""
    points = {model: curve.points(model) for model in curve.models}
    ends = [
        value
        for some in points.values()
        for one in some
        for value in (one.mean, one.interval.low, one.interval.high)
        if value is not None
    ]
    groups = [float(size.groups) for size in curve.sizes]
    axes = Axes.between(spread(groups, log=True), spread(ends or [0.0, 1.0]), log_x=True, labels=[*enumerate(points)])
    axes.rule_y(show_numbers=True)
    drawing = axes.drawing
    drawing.line(axes.x.start, axes.y.start, axes.x.end, axes.y.start, "axis")
    for count in groups:
        drawing.line(axes.x(count), axes.y.start, axes.x(count), axes.y.end, "grid")
        drawing.text(axes.x(count), axes.y.start + 17, f"{count:g}", "label", "middle")
    axes.name(f"training {plural(curve.unit)} (logarithmic)", f"{curve.primary}, mean over test images")
    for at in crossings(curve, *curve.models[:2]):
        drawing.line(axes.x(at), axes.y.start, axes.x(at), axes.y.end, "rule dashed")
    said = []
    for place, (model, some) in enumerate(points.items()):
        moved = [(axes.x(one.groups * APART**place), one) for one in some]
        drawing.path([(x, axes.y(one.mean)) for x, one in moved if one.mean is not None], f"line {colour(place)}")
        for x, one in moved:
            if one.mean is None:
                continue
            if one.interval.low is not None and one.interval.high is not None:
                drawing.line(x, axes.y(one.interval.low), x, axes.y(one.interval.high), f"stem {colour(place)}")
            title = (
                f"{model}, {one.groups} {plural(curve.unit)}: {words.score(one.mean)} {bounds_of_mean(one.interval)}"
            )
            drawing.dot(x, axes.y(one.mean), 4, f"ring {colour(place)}", title)
        listed = ", ".join(f"{one.groups}: {words.or_absent(one.mean, words.score)}" for one in some)
        said.append(f"{model}: {listed}")
    alt = f"Mean {curve.primary} by number of training {plural(curve.unit)}. {'; '.join(said)}"
    caption = (
        f"Mean {curve.primary} of the same test set after training on nested subsets, with 95 % intervals over test "
        f"{plural(curve.unit)}. Dashed: where the means of the first two models cross, if they do."
    )
    return Drawn.of("learning", drawing, alt, caption)
