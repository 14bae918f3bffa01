"""Every image's score: a column per run, and one run against another."""

from __future__ import annotations

import hashlib

from vesselbench.comparing.comparison import Comparison
from vesselbench.comparing.contender import Contender, mean_of
from vesselbench.comparing.pairing import Pair
from vesselbench.declared import plural
from vesselbench.report import words
from vesselbench.report.drawings.drawn import Drawn
from vesselbench.report.svg import CHARACTER, HEIGHT, WIDTH, Axes, colour, shortened, spread
from vesselbench.statistics.paired import TIE

MANY = 40
"""Above this number of images their names no longer fit beside the plot."""


def known_pairs(comparison: Comparison, pair: Pair) -> list[tuple[float, float, str]]:
    """(value of a, value of b, image) of the primary metric, where both have one."""
    a, b = (of_label(comparison, label).values(comparison.primary) for label in (pair.a, pair.b))
    return [(x, y, i) for x, y, i in zip(a, b, comparison.images, strict=True) if x is not None and y is not None]


def of_label(comparison: Comparison, label: str) -> Contender:
    """The contender of that label."""
    return next(run for run in comparison.runs if run.label == label)


def place_of(comparison: Comparison, label: str) -> int:
    """Its place, which gives it its colour."""
    return [run.label for run in comparison.runs].index(label)


def draw_scores(comparison: Comparison) -> Drawn | None:
    """A dot per image and run, a line from run to run for each image, and the mean of each run."""
    metric, runs = comparison.primary, comparison.runs
    columns = [run.values(metric) for run in runs]
    every = [value for column in columns for value in column if value is not None]
    if not every:
        return None
    observed = None if comparison.observer2 is None else mean_of([row.values[metric] for row in comparison.observer2])
    share = words.share(len(comparison.observer2 or ()), len(comparison.images))
    person = "" if observed is None else f"second observer {words.score(observed)}{f' ({share})' if share else ''}"
    low, high = spread([*every, *([] if observed is None else [observed])])
    axes = Axes.between((-0.5, len(runs) - 0.5), (low, high), right=5 * CHARACTER)
    axes.rule_y(show_numbers=True)
    drawing = axes.drawing
    for values in zip(*columns, strict=True):
        line = [(axes.x(p), axes.y(v)) for p, v in enumerate(values) if v is not None]
        drawing.path(line, "thin", opacity=0.45)
    for place, (run, column) in enumerate(zip(runs, columns, strict=True)):
        for image, value in zip(comparison.images, column, strict=True):
            if value is not None:
                at = axes.x(place + _aside(image) * (0.16 if len(comparison.images) > 12 else 0))
                drawing.dot(at, axes.y(value), 3.2, f"dot {colour(place)}", f"{image}: {words.score(value)}")
        if (mean := mean_of(column)) is not None:
            at = axes.y(mean)
            drawing.line(axes.x(place - 0.24), at, axes.x(place + 0.24), at, "thick")
            drawing.text(axes.x(place + 0.27), at + 4, words.score(mean), "strong halo")
        width = int((axes.x.end - axes.x.start) / len(runs) / (CHARACTER + 0.6))
        drawing.text(axes.x(place), axes.y.start + 17, shortened(run.label, max(6, width)), "", "middle")
    if observed is not None:
        drawing.line(axes.x.start, axes.y(observed), axes.x.end, axes.y(observed), "rule dashed")
        drawing.text(axes.x.end, axes.y(observed) - 5, person, "small halo", "end")
    axes.name("", f"{metric} ({comparison.directions[metric]} is better)")
    means = ", ".join(
        f"{run.label} {words.or_absent(mean_of(c), words.score)}" for run, c in zip(runs, columns, strict=True)
    )
    alt = f"{metric} of each of {len(comparison.images)} images for each run; means: {means}"
    alt += f"; {person}" if person else ""
    return Drawn.of(
        "scores", drawing, alt, "Every dot is an image, every line joins the same image; the bar is the mean."
    )


def _aside(image: str) -> float:
    """A shift in [-1, 1] that follows from the image's name, so that dots do not hide each other."""
    return hashlib.blake2b(image.encode("utf-8", "surrogatepass"), digest_size=2).digest()[0] / 127.5 - 1


def draw_against(comparison: Comparison, pair: Pair) -> Drawn | None:
    """One dot per image: the score of b upwards over the score of a, with the line on which they are equal."""
    both = known_pairs(comparison, pair)
    if not both:
        return None
    low, high = spread([value for x, y, _ in both for value in (x, y)])
    axes = Axes.between((low, high), (low, high), size=(WIDTH, WIDTH * 0.92))
    drawing, margin = axes.drawing, comparison.margin
    inside = [
        (low, low + margin),
        (high - margin, high),
        (high, high),
        (high, high - margin),
        (low + margin, low),
        (low, low),
    ]
    drawing.path([(axes.x(x), axes.y(y)) for x, y in inside], "band", closed=True)
    axes.frame(f"{comparison.primary} of {shortened(pair.a)}", f"{comparison.primary} of {shortened(pair.b)}")
    drawing.line(axes.x(low), axes.y(low), axes.x(high), axes.y(high), "rule")
    better = comparison.directions[comparison.primary]
    for x, y, image in both:
        side = _winner(x - y, better, place_of(comparison, pair.a), place_of(comparison, pair.b))
        drawing.dot(axes.x(x), axes.y(y), 3.6, f"dot {side}", f"{image}: {words.score(x)}, {words.score(y)}")
    tally = pair.metrics[comparison.primary].tally
    alt = (
        f"{comparison.primary} of {pair.b} against {pair.a} for {len(both)} images: {pair.a} better on {tally.wins}, "
        f"equal on {tally.ties}, worse on {tally.losses}"
    )
    caption = (
        f"Every dot is an image, in the colour of the run that is better on it. On the line they are equal; grey: "
        f"within ±{margin:g}, too little to matter."
    )
    return Drawn.of("against", drawing, alt, caption)


def draw_differences(comparison: Comparison, pair: Pair) -> Drawn | None:
    """a minus b of every image, sorted; the mean, its interval, and the margin."""
    both = sorted((x - y, image) for x, y, image in known_pairs(comparison, pair))
    if not both:
        return None
    paired, better = pair.metrics[comparison.primary], comparison.directions[comparison.primary]
    named = len(both) <= MANY
    height = 80.0 + (15.0 * len(both) if named else 330)
    values = [value for value, _ in both]
    ends = [end for end in (paired.interval.low, paired.interval.high) if end is not None]
    xs = spread([*values, *ends, -comparison.margin, comparison.margin, 0.0])
    left = 24 + 6.0 * max(len(shortened(image, 20)) for _, image in both) if named else 24.0
    top_row = len(both) + max(1.8, 0.1 * len(both))
    axes = Axes.between(xs, (-1.5, top_row), size=(WIDTH, max(height, HEIGHT * 0.6)), left=min(left, 150.0))
    drawing = axes.drawing
    drawing.rect(
        axes.x(-comparison.margin),
        axes.y.end,
        axes.x(comparison.margin) - axes.x(-comparison.margin),
        axes.y.start - axes.y.end,
        "band",
    )
    axes.rule_x()
    drawing.line(axes.x(0), axes.y.start, axes.x(0), axes.y.end, "rule")
    for row, (value, image) in enumerate(both):
        side = _winner(value, better, place_of(comparison, pair.a), place_of(comparison, pair.b))
        drawing.line(axes.x(0), axes.y(row), axes.x(value), axes.y(row), f"stem {side}")
        drawing.dot(axes.x(value), axes.y(row), 3.4 if named else 2.2, f"dot {side}", f"{image}: {words.change(value)}")
        if named:
            drawing.text(axes.x.start - 6, axes.y(row) + 3.5, shortened(image, 20), "label small", "end")
    if paired.difference is not None:
        at, top = axes.x(paired.difference), axes.y(len(both) - 0.4 + 0.4 * (top_row - len(both)))
        if len(ends) == 2:
            drawing.line(axes.x(ends[0]), top, axes.x(ends[1]), top, "thick")
        drawing.path([(at, top - 5), (at + 5, top), (at, top + 5), (at - 5, top)], "ink", closed=True)
        drawing.text(
            min(max(at, axes.x.start + 40), axes.x.end - 40),
            top - 9,
            f"mean {words.change(paired.difference)}",
            "strong halo",
            "middle",
        )
    widest = 2 * (WIDTH - (axes.x.start + axes.x.end) / 2) / (CHARACTER + 0.8)
    room = max(6, int((widest - len(f"{comparison.primary}:  minus ")) / 2))
    axes.name(f"{comparison.primary}: {shortened(pair.a, room)} minus {shortened(pair.b, room)}", "")
    shown = f"{words.or_absent(paired.difference, words.change)} {words.bounds(paired.interval)}"
    alt = f"{comparison.primary} of {pair.a} minus {pair.b} for each of {len(both)} images, sorted; mean {shown}"
    caption = (
        f"{pair.a} minus {pair.b} for every image, in the colour of the run it favours; diamond and bar: mean and 95 % "
        f"interval over {plural(comparison.unit)}; grey: ±{comparison.margin:g}."
    )
    return Drawn.of("differences", drawing, alt, caption)


def _winner(difference: float, better: str, a: int, b: int) -> str:
    """The colour of the run that an image favours; none where they are equal."""
    if abs(difference) <= TIE:
        return ""
    return colour(a if (difference > 0) == (better == "higher") else b)
