"""What every plot is: a name, a drawing, what stands under it."""

from __future__ import annotations

from dataclasses import dataclass

from vesselbench.report.svg import Drawing


@dataclass(frozen=True)
class Drawn:
    """One plot. `svg`: an element for a page, alternative text inside; `alt`: that text; `caption`: stands under it."""

    name: str
    svg: str
    alt: str
    caption: str

    @classmethod
    def of(cls, name: str, drawing: Drawing, alt: str, caption: str) -> Drawn:
        """The plot of a drawing that is complete."""
        return cls(name, drawing.render(alt), alt, caption)
