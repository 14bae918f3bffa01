"""The plots of a training report as SVG, in the colours of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from vesselbench.report.svg import Axes, Drawing, Scale, colour, number, spread
from vesselbench.report.training.history import TOTAL, History
from vesselbench.report.training.tables import PHASES, split_of_time

SIZE = (560.0, 330.0)
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 14, 44
LEGEND_ROW, LEGEND_COLUMNS = 20, 3
SPREAD = 20.0
"""Highest over lowest value from which an axis is logarithmic."""
MOST_EPOCHS = 24
DOTS = 40
"""Up to so many points are drawn as dots as well."""
Course = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """One plot: the picture, what it shows in words (in the picture too), and the line below it."""

    name: str
    svg: str
    alt: str
    caption: str


def training_plots(history: History) -> list[Plot]:
    """Losses, validation score, learning rate, gradient norm and time: those that the log has."""
    plots = [_losses(history)]
    scored = [(float(v.step), v.score) for v in history.validations if v.score is not None]
    if scored:
        plots.append(_validation(history, scored))
    if rates := history.course("lr"):
        text = f"Learning rate from {rates[0][1]:.3g}, at most {max(r for _, r in rates):.3g}, to {rates[-1][1]:.3g}."
        room = (0.0, 1.08 * max(rate for _, rate in rates) or 1.0)
        plots.append(_curves("rate", {"lr": rates}, "learning rate", text, "Learning rate of each logged step.", room))
    if norms := history.course("grad_norm"):
        plots.append(_gradients(history, norms))
    if split := split_of_time(history):
        plots.append(_time(split))
    return plots


def _losses(history: History) -> Plot:
    names = [name for name in history.losses() if "loss" in name]  # not the parts of one
    series = {("total" if name == TOTAL else name): history.course(name) for name in names}
    text = "; ".join(f"{name} from {course[0][1]:.4g} to {course[-1][1]:.4g}" for name, course in series.items())
    length, last = history.epoch_steps(), history.rows[-1].step
    ends: list[float] = []
    if length and 1 <= last / length <= MOST_EPOCHS:
        ends = [length * epoch for epoch in range(1, int(last / length + 1e-9) + 1)]

    def mark(axes: Axes) -> None:
        for end in ends:
            axes.drawing.line(axes.x(end), axes.y.start, axes.x(end), axes.y.end, "axis")

    caption = "Each logged value" + (", a vertical line at the end of each epoch." if ends else ".")
    return _curves("losses", series, "loss", f"Losses by optimizer step: {text}.", caption, mark=mark)


def _validation(history: History, scored: Course) -> Plot:
    up = history.better == "higher"
    best = (max if up else min)(scored, key=lambda point: point[1])
    text = (
        f"Validation {history.primary} by optimizer step: {len(scored)} validations, best {best[1]:.4f} at step "
        f"{best[0]:.0f}, last {scored[-1][1]:.4f}."
    )
    low, high = spread([value for _, value in scored])
    room = (low, high + 0.12 * (high - low)) if up else (low - 0.12 * (high - low), high)

    def mark(axes: Axes) -> None:
        at, height = axes.x(best[0]), axes.y(best[1])
        axes.drawing.dot(at, height, 6, "ring run0")
        anchor = "end" if at > 0.75 * SIZE[0] else "start" if at < 0.25 * SIZE[0] else "middle"
        axes.drawing.text(at, height + (-12 if up else 22), f"best {best[1]:.3f}", "", anchor)

    caption = "Mean over the validation images; each at the threshold that is best for it."
    name = f"{history.primary} (validation)"
    return _curves("validation", {str(history.primary): scored}, name, text, caption, room, mark)


def _gradients(history: History, norms: Course) -> Plot:
    clip = (history.config.get("train") or {}).get("clip")
    over = sum(value > clip for _, value in norms) if clip else 0
    text = f"Gradient norm before clipping: from {norms[0][1]:.3g} to {norms[-1][1]:.3g}."
    caption = "Norm of all gradients before clipping."
    if clip:
        caption += f" The dashed line is train.clip = {clip:g}: {over} of {len(norms)} logged steps lie above it."

    def mark(axes: Axes) -> None:
        if clip:
            axes.drawing.line(axes.x.start, axes.y(clip), axes.x.end, axes.y(clip), "rule dashed")

    also = [float(clip)] if clip else []
    return _curves("gradients", {"gradient norm": norms}, "gradient norm", text, caption, mark=mark, also=also)


def _curves(
    name: str,
    series: Mapping[str, Course],
    label: str,
    alt: str,
    caption: str,
    room: tuple[float, float] | None = None,
    mark: Callable[[Axes], None] | None = None,
    also: Sequence[float] = (),
) -> Plot:
    """Curves over optimizer steps; without a given `room` the axis is logarithmic where values lie far apart. `also`:
    values that must be on the axis."""
    values = [value for course in series.values() for _, value in course] + [*also]
    log = room is None and min(values) > 0 and max(values) / min(values) > SPREAD
    low, high = room or spread(values, log=log)
    steps = [step for course in series.values() for step, _ in course]
    rows = -(-len(series) // LEGEND_COLUMNS) if len(series) > 1 else 0
    size = (SIZE[0], SIZE[1] + LEGEND_ROW * rows)
    x = Scale(0.0, 1.02 * max(steps), LEFT, size[0] - RIGHT)
    axes = Axes(Drawing(*size), x, Scale(low, high, SIZE[1] - BOTTOM, TOP, log))
    axes.frame("optimizer step", label)
    for place, course in enumerate(series.values()):
        points = [(axes.x(step), axes.y(value)) for step, value in course]
        axes.drawing.path(points, f"line {colour(place)}")
        for at, height in points if len(points) <= DOTS else []:
            axes.drawing.dot(at, height, 2.6, f"dot {colour(place)}")
    if mark is not None:
        mark(axes)
    if rows:
        _legend(axes.drawing, list(series))
    return Plot(name, axes.drawing.render(alt), alt, caption)


def _legend(drawing: Drawing, names: Sequence[str]) -> None:
    width = (SIZE[0] - LEFT - RIGHT) / LEGEND_COLUMNS
    for place, name in enumerate(names):
        row, column = divmod(place, LEGEND_COLUMNS)
        left, height = LEFT + column * width, SIZE[1] + LEGEND_ROW * row + 8
        drawing.path([(left, height), (left + 22, height)], f"line {colour(place)}")
        drawing.text(left + 29, height + 4, name, "label")


def _time(split: Mapping[str, float]) -> Plot:
    total = sum(split.values())
    named = dict([*PHASES, ("work", "all else of the steps")])
    shown = [(text, split[key] / total) for key, text in named.items() if split.get(key)]
    left, row = 210.0, 30.0
    drawing = Drawing(SIZE[0], row * len(shown) + 12)
    longest = max(share for _, share in shown)
    for place, (name, share) in enumerate(shown):
        top = 6 + row * place
        width = (SIZE[0] - left - 70) * share / longest
        drawing.text(left - 8, top + 17, name, "label", "end")
        drawing.rect(left, top + 3, width, row - 10, "bar run0")
        drawing.text(left + width + 6, top + 17, f"{number(round(100 * share, 1))} %", "label")
    text = "Share of the time: " + ", ".join(f"{name} {share:.1%}" for name, share in shown) + "."
    return Plot("time", drawing.render(text), text, "Where the time went.")
