"""The gallery of a bundle, from its masks: written into comparison.json by `bundle`, made again by `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vesselbench.comparing.comparison import Comparison
from vesselbench.comparing.contender import Contender
from vesselbench.data.masks import decode
from vesselbench.evidence.contents import run_folder
from vesselbench.evidence.recompute import read_references
from vesselbench.report.choice import choose_images
from vesselbench.report.gallery import Mistakes, count_mistakes, gallery_record
from vesselbench.report.panels import most_images
from vesselbench.types import Example, MaskFile


def bundled_gallery(comparison: Comparison, folder: Path) -> dict[str, Any] | None:
    """The gallery of a comparison whose runs and references lie below `folder`; None when one of its masks is not
    there."""
    choices = choose_images(comparison, most_images(len(comparison.runs)))
    wanted = {comparison.images[choice.index] for choice in choices.chosen}
    examples = {one.sample.id: one for one in read_references(folder) if one.sample.id in wanted}
    counted: list[list[Mistakes]] = []
    for choice in choices.chosen:
        example = examples.get(comparison.images[choice.index])
        found = [] if example is None else [_mistakes(run, comparison, folder, example) for run in comparison.runs]
        whole = [one for one in found if one is not None]
        if len(whole) < len(comparison.runs):
            return None
        counted.append(whole)
    return gallery_record(comparison, choices, counted)


def _mistakes(run: Contender, comparison: Comparison, folder: Path, example: Example) -> Mistakes | None:
    path = run_folder(folder, run.first).prediction_file(comparison.set_name, example.sample.id)
    return count_mistakes(example, decode(MaskFile(path), example.size, path.name)) if path.is_file() else None
