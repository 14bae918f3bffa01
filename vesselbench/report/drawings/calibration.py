"""Whether a probability is one: the share of vessel among the pixels that were given it."""

from __future__ import annotations

import math

from vesselbench.comparing.comparison import Comparison
from vesselbench.report.drawings.drawn import Drawn
from vesselbench.report.svg import WIDTH, Axes, colour


def draw_calibration(comparison: Comparison) -> Drawn | None:
    """Share of vessel over the mean probability of every bin; the area of a dot grows with its pixels."""
    curves = {
        place: held
        for place, run in enumerate(comparison.runs)
        if isinstance(held := run.summary.get("calibration"), dict) and held.get("count")
    }
    if not curves:
        return None
    labels = [(place, comparison.runs[place].label) for place in curves]
    axes = Axes.between((0.0, 1.0), (0.0, 1.0), size=(WIDTH, WIDTH * 0.92), labels=labels)
    axes.frame("probability", "share of vessel")
    drawing = axes.drawing
    drawing.line(axes.x(0), axes.y(0), axes.x(1), axes.y(1), "rule dashed")
    said = []
    for place, held in curves.items():
        label, whole = comparison.runs[place].label, sum(held["count"]) or 1
        bins = [
            (p, v, n)
            for p, v, n in zip(held["probability"], held["vessel"], held["count"], strict=True)
            if n and p is not None
        ]
        drawing.path([(axes.x(p), axes.y(v)) for p, v, _ in bins], f"line {colour(place)}")
        for p, v, n in bins:
            title = f"{label}: probability {p:.2f}, vessel {v:.2f}, {n:,.0f} pixels"
            drawing.dot(axes.x(p), axes.y(v), 2.2 + 5 * math.sqrt(n / whole), f"dot {colour(place)}", title)
        pooled = sum(abs(p - v) * n for p, v, n in bins) / whole
        seed = f" (seed {comparison.runs[place].first.seed})" if len(comparison.runs[place].seeds) > 1 else ""
        said.append(f"{label}{seed}: error over all pixels {pooled:.3f}")
    alt = f"Share of vessel over predicted probability. {'; '.join(said)}"
    caption = (
        "On the dashed line a probability says what happens; below it the model is too sure of vessels. Larger dots "
        f"hold more pixels. {'; '.join(said)}."
    )
    return Drawn.of("calibration", drawing, alt, caption)
