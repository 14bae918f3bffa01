"""What the data commands find, as tables for a terminal."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table

from vesselbench.data.limits.ceiling import Ceiling, recommend
from vesselbench.data.limits.widths import Overlap, bin_names
from vesselbench.ledger import Ledger
from vesselbench.types import Size

SHOWN = 30


def ceiling_tables(ceiling: Ceiling) -> Group:
    """Best Dice / clDice by width and stage, then by image, lowest Dice first, then the recommendation."""
    stages = ceiling.stages()
    many = f"{len(ceiling.images)} images" + (f", {ceiling.empty} more without a vessel" if ceiling.empty else "")
    widths = Table(
        "vessel width", "images", *stages, title=f"Best Dice / clDice that {ceiling.model} can reach: {many}"
    )
    for number, name in [*enumerate(bin_names()), (None, "all")]:
        means = [ceiling.mean(stage, number) for stage in stages]
        counts = {mean[2] for mean in means if mean is not None}
        cells = ["none" if mean is None else f"{mean[0]:.3f} / {mean[1]:.3f}" for mean in means]
        widths.add_row(name, str(max(counts, default=0)), *cells)
    worst = sorted(ceiling.images, key=lambda image: min(one.dice for one in image.whole.values()))
    title = "By image" if len(worst) <= SHOWN else f"The {SHOWN} lowest of {len(worst)} images (--json lists all)"
    images = Table("image", "size", *stages, title=title)
    for image in worst[:SHOWN]:
        images.add_row(image.id, _size(image.size), *(_cell(image.whole[stage]) for stage in stages))
    return Group(widths, images, *_roads(ceiling), recommend(ceiling))


def ledger_table(ledger: Ledger) -> Table:
    """A row per scoring of a test set, oldest first."""
    table = Table("", "time", "recipe", "seed", "run", "weights", title=f"Scorings of test set {ledger.test_set[:12]}")
    for entry in ledger.entries:
        scoring = entry.scoring
        seed = "–" if scoring.seed is None else str(scoring.seed)
        table.add_row(str(entry.number), entry.time, scoring.recipe, seed, scoring.run, scoring.weights_sha256[:12])
    return table


def _roads(ceiling: Ceiling) -> list[str]:
    """One line per size of image: what it is resized to, and on which grid it is drawn (H x W)."""
    roads = {image.size: image.grids for image in ceiling.images}
    lines = []
    for size, grids in list(roads.items())[:SHOWN]:
        target = "" if grids.target is None else f", the loss reads the mask on {_size(grids.target)}"
        lines.append(
            f"An image of {_size(size)} is resized to {_size(grids.input)} of {_size(grids.canvas)} ({grids.resize}); "
            f"logits on {_size(grids.output)}{target}."
        )
    return lines


def _size(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _cell(one: Overlap) -> str:
    return f"{one.dice:.3f} / {one.cldice:.3f}"
