"""The plots of a training report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from vesselbench.report.drawings.drawn import Drawn
from vesselbench.report.svg import CHARACTER, WIDTH, Axes, Drawing, colour, number, spread
from vesselbench.report.training.history import TOTAL, History
from vesselbench.report.training.tables import PHASES, split_of_time

SPREAD = 20.0
"""Highest over lowest value from which an axis is logarithmic."""
MOST_EPOCHS = 24
DOTS = 40
"""Up to so many points are drawn as dots as well."""
Course = Sequence[tuple[float, float]]


def training_plots(history: History) -> dict[str, list[Drawn]]:
    """Losses and validation score; learning rate and gradient norm; time: those that the log has, by section."""
    scored = [(float(v.step), v.score) for v in history.validations if v.score is not None]
    rates, norms, split = history.course("lr"), history.course("grad_norm"), split_of_time(history)
    return {
        "losses": [_losses(history), *([_validation(history, scored)] if scored else [])],
        "steps": [*([_rate(rates)] if rates else []), *([_gradients(history, norms)] if norms else [])],
        "time": [_time(split)] if split else [],
    }


def _losses(history: History) -> Drawn:
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


def _validation(history: History, scored: Course) -> Drawn:
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
        share = (at - axes.x.start) / (axes.x.end - axes.x.start)
        anchor = "end" if share > 0.8 else "start" if share < 0.2 else "middle"
        axes.drawing.text(at, height + (-12 if up else 22), f"best {best[1]:.3f}", "halo", anchor)

    caption = "Mean over the validation images; each at the threshold that is best for it."
    name = f"{history.primary} (validation)"
    return _curves("validation", {str(history.primary): scored}, name, text, caption, room, mark)


def _rate(rates: Course) -> Drawn:
    highest = max(rate for _, rate in rates)
    text = f"Learning rate from {rates[0][1]:.3g}, at most {highest:.3g}, to {rates[-1][1]:.3g}."
    caption = "Learning rate of each logged step."
    return _curves("rate", {"lr": rates}, "learning rate", text, caption, (0.0, 1.08 * highest or 1.0))


def _gradients(history: History, norms: Course) -> Drawn:
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
) -> Drawn:
    """Curves over optimizer steps; without a given `room` the axis is logarithmic where values lie far apart. `also`:
    values that must be on the axis."""
    values = [value for course in series.values() for _, value in course] + [*also]
    log = room is None and min(values) > 0 and max(values) / min(values) > SPREAD
    steps = [step for course in series.values() for step, _ in course]
    labels = [*enumerate(series)] if len(series) > 1 else []
    axes = Axes.between((0.0, 1.02 * max(steps)), room or spread(values, log=log), log_y=log, labels=labels)
    axes.frame("optimizer step", label + (" (logarithmic)" if log else ""))
    for place, course in enumerate(series.values()):
        points = [(axes.x(step), axes.y(value)) for step, value in course]
        axes.drawing.path(points, f"line {colour(place)}")
        for at, height in points if len(points) <= DOTS else []:
            axes.drawing.dot(at, height, 2.6, f"dot {colour(place)}")
    if mark is not None:
        mark(axes)
    return Drawn.of(name, axes.drawing, alt, caption)


def _time(split: Mapping[str, float]) -> Drawn:
    total = sum(split.values())
    named = dict([*PHASES, ("work", "all else of the steps")])
    shown = [(text, split[key] / total) for key, text in named.items() if split.get(key)]
    left, row = 14 + CHARACTER * max(len(name) for name, _ in shown), 30.0
    drawing = Drawing(WIDTH, row * len(shown) + 12)
    longest = max(share for _, share in shown)
    for place, (name, share) in enumerate(shown):
        top = 6 + row * place
        width = (WIDTH - left - 60) * share / longest
        drawing.text(left - 8, top + 17, name, "label", "end")
        drawing.rect(left, top + 3, width, row - 10, "bar run0")
        drawing.text(left + width + 6, top + 17, f"{number(round(100 * share, 1))} %", "label")
    text = "Share of the time: " + ", ".join(f"{name} {share:.1%}" for name, share in shown) + "."
    return Drawn.of("time", drawing, text, "Where the time went.")
