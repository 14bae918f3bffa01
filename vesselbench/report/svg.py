"""Plots as SVG text: axes, points and lines in the colours of the page, one drawing for light, dark and paper.

Colours are classes of style.css (``run0`` ... ``run5``, ``grid``, ``dot`` ...). Nothing is measured in the browser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from vesselbench.report.page import read_part

WIDTH, HEIGHT = 440, 320
RUNS = 6
"""Colours of runs; they repeat after the sixth."""
MARGIN = {"left": 78, "right": 14, "top": 14, "bottom": 44}
NAME_Y = 14
"""Where the name of the vertical axis stands."""
KEY = 18
"""Height of a row of the key."""
CHARACTER = 8.0
"""Width of a character of a label in a wide font, at the larger size that a phone gives it."""


def colour(place: int) -> str:
    """The class that gives the `place`-th run its colour."""
    return f"run{place % RUNS}"


@dataclass(frozen=True)
class Scale:
    """From values to pixels, linear or logarithmic (`log`, values above 0)."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values inside, about five; on a logarithmic scale 1, 2 and 5 of each decade, or decades alone."""
        if not self.log:
            return _round_ticks(self.low, self.high)
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for factors in ((1, 2, 5), (1,)):
            found = [f * 10.0**d for d in decades for f in factors if self.low <= f * 10.0**d <= self.high]
            if len(found) <= 7:
                return found
        step = math.ceil(len(found) / 6)
        return found[::step]


def spread(values: Sequence[float], floor: float | None = None, log: bool = False) -> tuple[float, float]:
    """Lowest and highest value with some room around them; `floor`: never below. Equal values get room too."""
    low, high = min(values), max(values)
    if log:
        return low / 1.35, high * 1.35
    room = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return (low - room if floor is None else max(floor, low - room)), high + room


def _round_ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) + 0.0 for number in range(first, last + 1)]


def number(value: float) -> str:
    """A tick's text: as few digits as it takes, k, M and B for large ones."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.3g}{unit}"
    return f"{value:.6g}"


@dataclass
class Drawing:
    """An SVG picture that grows; coordinates are pixels of its own `width` x `height`."""

    width: float = WIDTH
    height: float = HEIGHT
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self.parts.append(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def rect(self, x: float, y: float, width: float, height: float, kind: str, title: str = "") -> None:
        box = f'x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{max(0.0, height):.1f}"'
        self._titled("rect", f'class="{kind}" {box}', title)

    def dot(self, x: float, y: float, radius: float, kind: str, title: str = "") -> None:
        self._titled("circle", f'class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"', title)

    def path(
        self, points: Sequence[tuple[float, float]], kind: str, closed: bool = False, opacity: float = 1.0
    ) -> None:
        """A line through the points; fewer than two draw nothing."""
        if len(points) > 1:
            steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            faint = "" if opacity == 1 else f' opacity="{opacity:g}"'
            self.parts.append(f'<path class="{kind}"{faint} d="M{steps}{"Z" if closed else ""}"/>')

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "start", turn: float = 0) -> None:
        turned = f' transform="rotate({turn:g} {x:.1f} {y:.1f})"' if turn else ""
        attributes = f'class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turned}'
        self.parts.append(f"<text {attributes}>{escape(words)}</text>")

    def key(self, labels: Sequence[tuple[int, str]], left: float) -> int:
        """Dots in the colours of runs with their names, in rows from the top; returns the number of rows."""
        at, row = left, 0
        for place, label in labels:
            name = shortened(label, 26)
            width = 22 + CHARACTER * len(name)
            if at > left and at + width > self.width:
                at, row = left, row + 1
            self.dot(at + 4, 10 + KEY * row, 4, f"dot {colour(place)}")
            self.text(at + 12, 14 + KEY * row, name)
            at += width + 8
        return row + 1 if labels else 0

    def _titled(self, tag: str, attributes: str, title: str) -> None:
        inner = f"<title>{escape(title)}</title>" if title else ""
        self.parts.append(f"<{tag} {attributes}>{inner}</{tag}>" if inner else f"<{tag} {attributes}/>")

    def render(self, alt: str) -> str:
        """The picture as an element for a page; `alt` says in words what it shows."""
        box = f'viewBox="0 0 {self.width:g} {self.height:g}" role="img" aria-label="{escape(alt)}"'
        return f"<svg {box}>" + "".join(self.parts) + "</svg>"


def standalone(svg: str) -> str:
    """A drawing as a file of its own: with the colours and a ground, light or dark as its reader is."""
    style = read_part("style.css")
    variables = style[: style.index("* { box-sizing")]
    drawn = "\n".join(line for line in style.splitlines() if line.lstrip().startswith(("svg ", ".run")))
    ground = '<rect width="100%" height="100%" style="fill: var(--card)"/>'
    at = svg.index(">") + 1
    opening = svg[:at].replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f"{opening}<style>{variables}{drawn}</style>{ground}{svg[at:]}"


@dataclass
class Axes:
    """A drawing with a horizontal and a vertical scale, their grid, numbers and names."""

    drawing: Drawing
    x: Scale
    y: Scale

    @classmethod
    def between(
        cls,
        xs: tuple[float, float],
        ys: tuple[float, float],
        *,
        size: tuple[float, float] = (WIDTH, HEIGHT),
        log_x: bool = False,
        log_y: bool = False,
        left: float = MARGIN["left"],
        right: float = MARGIN["right"],
        bottom: float = MARGIN["bottom"],
        labels: Sequence[tuple[int, str]] = (),
    ) -> Axes:
        """Axes over two ranges (low, high) in a picture of `size`, margins in pixels; above them a key that tells
        which colour (the place of a run) is which of the `labels`."""
        drawing = Drawing(*size)
        rows = drawing.key(labels, left)
        x = Scale(*xs, left, size[0] - right, log_x)
        y = Scale(*ys, size[1] - bottom, MARGIN["top"] + KEY * rows, log_y)
        return cls(drawing, x, y)

    def frame(
        self, name_x: str, name_y: str, show: Callable[[float], str] = number, at: Sequence[float] | None = None
    ) -> None:
        """Grid, numbers and the names of both axes; `show` and `at`: words and values of the horizontal one's ticks."""
        self.rule_y(show_numbers=True)
        self.rule_x(show, at)
        self.name(name_x, name_y)

    def rule_y(self, show_numbers: bool) -> None:
        for value in self.y.ticks():
            at = self.y(value)
            self.drawing.line(self.x.start, at, self.x.end, at, "grid")
            if show_numbers:
                self.drawing.text(self.x.start - 7, at + 4, number(value), "label", "end")

    def rule_x(self, show: Callable[[float], str] = number, at_values: Sequence[float] | None = None) -> None:
        for value in self.x.ticks() if at_values is None else at_values:
            at = self.x(value)
            self.drawing.line(at, self.y.start, at, self.y.end, "grid")
            words = show(value)
            outside = at + 0.5 * CHARACTER * len(words) > self.drawing.width
            place, anchor = (self.drawing.width - 1, "end") if outside else (at, "middle")
            self.drawing.text(place, self.y.start + 17, words, "label", anchor)
        self.drawing.line(self.x.start, self.y.start, self.x.end, self.y.start, "axis")

    def name(self, name_x: str, name_y: str) -> None:
        """What the axes measure; nothing for an empty name."""
        if name_x:
            self.drawing.text((self.x.start + self.x.end) / 2, self.y.start + 37, name_x, "", "middle")
        middle = (self.y.start + self.y.end) / 2
        if name_y:
            self.drawing.text(NAME_Y, middle, name_y, "", "middle", -90)


def shortened(name: str, longest: int = 24) -> str:
    """A name that fits: its end, which tells images of one patient apart."""
    return name if len(name) <= longest else f"…{name[1 - longest :]}"
