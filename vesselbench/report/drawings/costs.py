"""What a score took: against training time, and against the size of the model and its speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vesselbench.comparing.comparison import Comparison
from vesselbench.comparing.contender import Contender, mean_of
from vesselbench.report import words
from vesselbench.report.drawings.drawn import Drawn
from vesselbench.report.svg import CHARACTER, Axes, colour, number, shortened, spread

MINUTE, HOUR, DAY = 60, 3600, 86400
CLOCK = (
    *(1, 2, 5, 10, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 5 * HOUR, 10 * HOUR, DAY, 2 * DAY, 5 * DAY, 10 * DAY, 20 * DAY, 50 * DAY, 100 * DAY),
)
MOST_TICKS = 5
ROW = 16
"""Height of a name beside a dot."""


def clock_ticks(low: float, high: float) -> list[float] | None:
    """Round times between two numbers of seconds, at most `MOST_TICKS`; None where a plain axis has to do."""
    found = [float(value) for value in CLOCK if low <= value <= high]
    return found[:: -(-len(found) // MOST_TICKS)] if found else None


def seconds(value: float) -> str:
    """A tick of a time axis."""
    for limit, unit in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if value >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.3g} s"


def draw_time_to_quality(comparison: Comparison) -> Drawn | None:
    """Validation score of the primary metric against training time, a line per seed."""
    metric = comparison.primary
    courses = [
        (place, [(v.train_seconds, score) for v in seed.validations if (score := v.means.get(metric)) is not None])
        for place, run in enumerate(comparison.runs)
        for seed in run.seeds
    ]
    points = [point for _, course in courses for point in course if point[0] > 0]
    if not points:
        return None
    xs, ys = spread([x for x, _ in points], log=True), spread([y for _, y in points])
    axes = Axes.between(xs, ys, log_x=True, labels=[*enumerate(run.label for run in comparison.runs)])
    axes.frame("training time (logarithmic)", f"{metric} on the validation set", seconds, clock_ticks(*xs))
    drawing, said = axes.drawing, []
    for place, course in courses:
        at = [(axes.x(x), axes.y(y)) for x, y in course if x > 0]
        drawing.path(at, f"line {colour(place)}")
        label = comparison.runs[place].label
        for (x, y), (time, score) in zip(at, [p for p in course if p[0] > 0], strict=True):
            drawing.dot(
                x, y, 3.6, f"ring {colour(place)}", f"{label}: {words.score(score)} after {words.duration(time)}"
            )
        if course:
            said.append(f"{label} {words.score(course[-1][1])} after {words.duration(course[-1][0])}")
    alt = f"Validation {metric} against training time; at the end: {'; '.join(said)}"
    devices = {run.costs.device for run in comparison.runs}
    unlike = "" if len(devices) == 1 else f" Unlike devices ({', '.join(sorted(devices))}): the times do not compare."
    caption = (
        f"Each validation during training, at its own best threshold; validations and saves are not counted.{unlike}"
    )
    return Drawn.of("time-to-quality", drawing, alt, caption)


def draw_cost_quality(comparison: Comparison) -> list[Drawn]:
    """Score of the compared set against parameters, and against training time: a dot per run."""
    wanted: Sequence[
        tuple[str, str, Callable[[Contender], float | None], Callable[[float], str], Callable[[float], str]]
    ] = (
        ("parameters", "parameters (logarithmic)", lambda c: float(c.costs.parameters_total), number, words.amount),
        ("training-time", "training time (logarithmic)", lambda c: c.costs.train_seconds, seconds, words.duration),
    )
    drawn = [_draw_cost(comparison, *one) for one in wanted]
    return [plot for plot in drawn if plot is not None]


def _draw_cost(
    comparison: Comparison,
    name: str,
    axis: str,
    cost: Callable[[Contender], float | None],
    tick: Callable[[float], str],
    say: Callable[[float], str],
) -> Drawn | None:
    metric = comparison.primary
    points = [
        (place, x, y)
        for place, run in enumerate(comparison.runs)
        if (x := cost(run)) is not None and x > 0 and (y := mean_of(run.values(metric))) is not None
    ]
    if not points:
        return None
    xs = spread([x for _, x, _ in points], log=True)
    axes = Axes.between(xs, spread([y for _, _, y in points]), log_x=True)
    at = clock_ticks(*xs) if tick is seconds else None
    axes.frame(axis, f"mean {metric} on the {comparison.set_name} set", tick, at)
    labels: list[tuple[float, float, float]] = []
    for place, x, y in points:
        labels.append(_label(axes, comparison.runs[place].label, place, (axes.x(x), axes.y(y)), labels))
    listed = "; ".join(f"{comparison.runs[p].label} {words.score(y)} for {say(x)}" for p, x, y in points)
    alt = f"Mean {metric} against {axis.removesuffix(' (logarithmic)')}: {listed}"
    better = "up" if comparison.directions[metric] == "higher" else "down"
    return Drawn.of(f"cost-{name}", axes.drawing, alt, f"Better lies {better} and to the left.")


def _label(
    axes: Axes, label: str, place: int, at: tuple[float, float], others: Sequence[tuple[float, float, float]]
) -> tuple[float, float, float]:
    """A dot and its name beside it, below the `others` that it would lie on; returns its (left, right, height)."""
    x, y = at
    axes.drawing.dot(x, y, 6, f"dot {colour(place)}", label)
    name, right = shortened(label, 16), x < (axes.x.start + axes.x.end) / 2
    ends = sorted(
        (x + (10 if right else -10), x + (10 if right else -10) + (1 if right else -1) * CHARACTER * len(name))
    )
    height = y + 4
    while any(abs(height - other) < ROW and ends[0] < end and ends[1] > start for start, end, other in others):
        height += ROW
    axes.drawing.text(ends[0] if right else ends[1], height, name, "halo", "start" if right else "end")
    return ends[0], ends[1], height
