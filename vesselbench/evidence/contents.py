"""The folder that a bundle holds: run folders without weights, what they are scored against, and the comparison.

bundle.json                  what this is, and the SHA-256 of every other file
comparison.json              as the report has it
runs/<recipe>/<time>-<4 hex>/  config.yaml, run.json, split.json, validations.jsonl, eval/<set>/
reference/samples.jsonl      id, group, target, size and spacing of every image
reference/masks|fov|observer2|images/<id>.png
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from vesselbench.comparing.comparison import Comparison
from vesselbench.comparing.scored import ScoredRun
from vesselbench.data.read import load_example
from vesselbench.plugins import Catalogue
from vesselbench.predicting.writing import png
from vesselbench.recipes import dump_settings
from vesselbench.report.panels import read_data, read_prediction
from vesselbench.report.pseudonyms import Shown
from vesselbench.rundir import RunDir, file_name, write_bytes, write_json, write_jsonl, write_text
from vesselbench.types import Example, SetName
from vesselbench.watch import Watch

SAMPLES, REFERENCE, RUNS, IMAGES = "samples.jsonl", "reference", "runs", "images"
MADE_ELSEWHERE = ("command", "reason")
"""Keys of run.json that can name people and folders and that no number depends on."""


def write_contents(shown: Shown, folder: Path, catalogue: Catalogue, images: bool, watch: Watch) -> None:
    """Write the runs and the references of a comparison below the empty `folder`, under the names that it shows.

    `images`: the pixels of the images as well. Raises UserError when the data have changed since the runs, or a
    prediction is not the one that was scored.
    """
    samples = read_data(shown.original, catalogue)
    for one, true in zip(_seeds(shown.comparison), _seeds(shown.original), strict=True):
        _write_run(one, true, folder, shown.comparison.set_name)
    lines = []
    total = len(shown.comparison.images)
    for index, (name, true_name) in enumerate(zip(shown.comparison.images, shown.original.images, strict=True)):
        example = load_example(samples[true_name])
        lines.append(_write_reference(name, shown.comparison.groups[index], example, folder, images))
        for one, true in zip(_seeds(shown.comparison), _seeds(shown.original), strict=True):
            _write_prediction(one, true, index, example, folder, shown.comparison.set_name)
        watch.progress("bundle", index + 1, total)
    write_jsonl(folder / REFERENCE / SAMPLES, lines)


def _seeds(comparison: Comparison) -> list[ScoredRun]:
    return [seed for contender in comparison.runs for seed in contender.seeds]


def run_folder(folder: Path, run: ScoredRun) -> RunDir:
    """Where a run lies in the bundle's folder."""
    return RunDir(folder / RUNS / run.where)


def _write_run(run: ScoredRun, true: ScoredRun, folder: Path, set_name: SetName) -> None:
    copy = run_folder(folder, true)
    record = {key: value for key, value in run.record.items() if key not in MADE_ELSEWHERE}
    write_text(copy.config, dump_settings(dict(run.config)))
    write_json(copy.record_file, record)
    copy.write_split(run.split)
    if true.run.validation_log.is_file():
        write_bytes(copy.validation_log, true.run.validation_log.read_bytes())
    write_jsonl(copy.evaluation(set_name) / "scores.jsonl", (asdict(row) for row in run.scores.rows))
    write_json(copy.evaluation(set_name) / "summary.json", dict(run.summary))
    if run.observer2 is not None:
        write_jsonl(copy.observer_file(set_name), (asdict(row) for row in run.observer2))


def _write_prediction(
    run: ScoredRun, true: ScoredRun, index: int, example: Example, folder: Path, set_name: SetName
) -> None:
    """The mask that was scored, and its 16-bit probabilities where the run has stored them."""
    copy, row = run_folder(folder, true), run.scores.rows[index]
    mask = read_prediction(true, set_name, index, example)
    write_bytes(copy.prediction_file(set_name, row.id), png(mask))
    stored = true.run.probability_file(set_name, true.scores.rows[index].id)
    if stored.is_file():
        write_bytes(copy.probability_file(set_name, row.id), stored.read_bytes())


def _write_reference(name: str, group: str, example: Example, folder: Path, images: bool) -> dict[str, Any]:
    """The masks of one image; returns its line of samples.jsonl."""
    masks = {"masks": example.mask, "fov": example.fov, "observer2": example.observer2}
    for place, mask in masks.items():
        if mask is not None:
            write_bytes(folder / REFERENCE / place / f"{file_name(name)}.png", png(mask))
    if images:
        write_bytes(folder / REFERENCE / IMAGES / f"{file_name(name)}.png", png(example.image))
    return {
        "id": name,
        "group": group,
        "target": example.sample.target,
        "size": list(example.size),
        "spacing": None if example.sample.spacing is None else list(example.sample.spacing),
    }
