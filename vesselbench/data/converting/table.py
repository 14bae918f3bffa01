"""What a conversion cost, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vesselbench.data.converting.convert import Conversion
from vesselbench.data.converting.loss import Loss

if TYPE_CHECKING:
    from rich.table import Table

    from vesselbench.data.converting.importing import Imported

SHOWN = 20


def conversion_lines(done: Conversion) -> list[str]:
    """Sentences: what was written, what was drawn anew, what the format does not hold, how to use the copy."""
    masks = done.losses.masks
    inexact = sum(not loss.exact for loss in masks)
    lines = [f"written: {done.folder}: {done.images} images, {len(masks)} samples, {len(masks) - inexact} masks exact"]
    for reason in sorted(set(done.redrawn.values())):
        count = sum(value == reason for value in done.redrawn.values())
        lines.append(f"{count} images were drawn anew: {reason}")
    lines += [f"not held by {done.form}: {kind} of {count} samples" for kind, count in done.losses.unheld.items()]
    if done.renamed:
        first = next(iter(done.renamed.items()))
        lines.append(f"{len(done.renamed)} samples have another id, such as {first[1]!r} for {first[0]!r}")
    return [*lines, "use it with: " + " ".join(_quoted(word) for word in done.words())]


def import_lines(done: Imported) -> list[str]:
    """The same for an import: what the check said, and where the names are."""
    lines = conversion_lines(done.conversion)
    if done.warnings:
        lines.append(f"the check has {done.warnings} warnings: `vesselbench data check` lists them")
    if done.mapping is not None:
        if not done.conversion.grouped:
            lines.append("no groups are known, and the new names show no patient: better set data.group and begin anew")
        lines.append(f"targets and phrases are in the copy as they stand: {', '.join(map(repr, done.phrases))}")
        lines.append(f"names and pseudonyms: {done.mapping}; keep it apart, it is the only way back")
        lines.append("letters burnt into the pixels are still there: look at the images before you pass them on")
    return lines


def conversion_table(done: Conversion) -> Table | str:
    """The masks that changed, lowest Dice first, and the sum over all."""
    from rich.table import Table

    changed = sorted((loss for loss in done.losses.masks if not loss.exact), key=lambda loss: loss.dice)
    if not changed:
        return f"All {len(done.losses.masks)} masks are equal in every pixel."
    title = f"Masks that changed: {len(changed)} of {len(done.losses.masks)}"
    if len(changed) > SHOWN:
        title += f" (the {SHOWN} lowest; all in {done.folder.name}.convert.json)"
    table = Table("sample", "pixels", "lost", "gained", "holes", "holes lost", "Dice", title=title)
    for loss in changed[:SHOWN]:
        table.add_row(loss.id, *_cells(loss))
    table.add_section()
    table.add_row("all", *_cells(_sum(done.losses.masks)))
    return table


def _cells(loss: Loss) -> list[str]:
    counts = (loss.pixels, loss.lost, loss.gained, loss.holes, loss.holes_lost)
    return [*(str(count) for count in counts), f"{loss.dice:.4f}"]


def _sum(masks: tuple[Loss, ...]) -> Loss:
    """All masks as one: its Dice is that of all pixels together."""
    pixels, lost, gained = (sum(getattr(loss, key) for loss in masks) for key in ("pixels", "lost", "gained"))
    holes, holes_lost = (sum(getattr(loss, key) for loss in masks) for key in ("holes", "holes_lost"))
    total = 2 * pixels - lost + gained
    return Loss("all", pixels, lost, gained, holes, holes_lost, 2 * (pixels - lost) / total if total else 1.0)


def _quoted(word: str) -> str:
    return f"'{word}'" if any(character in word for character in ' "{}[]') else word
