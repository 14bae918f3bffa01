"""Predict images one by one, write what comes of each as it is made, and count what could not be predicted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vesselbench.data.images import read_image
from vesselbench.errors import UserError
from vesselbench.evaluation.predict import Predictor
from vesselbench.evaluation.score import check_prediction
from vesselbench.predicting.inputs import Inputs, Picture
from vesselbench.predicting.sources import Source
from vesselbench.predicting.writing import append_row, write_pictures
from vesselbench.provenance import command_line, versions
from vesselbench.rundir import file_name, write_json
from vesselbench.types import Example, Sample
from vesselbench.watch import Watch

FAILED = "failed"
ALL_MEMORY = "there is not enough memory for an image of this size"
BLANK = 64
"""Side in pixels of the image with which questions are tried: one tile, and no image makes a shorter text."""


@dataclass(frozen=True)
class Question:
    """What is asked of every image. `folder`: outputs of this question lie below it, empty for the only one."""

    target: str
    prompt: str
    folder: str = ""


@dataclass(frozen=True)
class Outcome:
    """What was written: the folder, one row per image and question, and how many images failed."""

    folder: Path
    rows: tuple[dict[str, Any], ...]
    failed: int

    def summary(self) -> str:
        """One line: images, and how many of each status."""
        counts = Counter(row["status"] for row in self.rows)
        said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        return f"{self.folder}: {len(self.rows)} predictions ({said}); see {self.folder / 'predictions.csv'}"


def questions_of(source: Source, prompt: str | None) -> list[Question]:
    """What to ask: the phrase of the command line, else one question per target.

    Raises UserError for a phrase that the model does not read, and for one that reads phrases where the phrase of a
    target is not recorded or there are several.
    """
    if prompt is not None and not source.reads_prompt:
        name = source.recipe.model["name"]
        raise UserError(f"the model {name!r} reads no prompt: --prompt would have no effect", "leave it out")
    targets = source.task.targets
    if prompt is not None:
        if not prompt.strip():
            raise UserError("the prompt is empty", 'give a phrase, for example --prompt "blood vessel"')
        return [Question(targets[0] if len(targets) == 1 else "", prompt)]
    if not source.reads_prompt:
        return [Question(target, "", _place(target, targets)) for target in targets]
    if source.prompts is None:
        raise UserError(
            f"{source.path} does not say with which phrases the model was trained",
            'give one, for example --prompt "blood vessel"',
        )
    for target in targets:
        if len(phrases := source.prompts.get(target, ())) != 1:
            listed = ", ".join(repr(phrase) for phrase in phrases[:5]) or "none"
            what = f"the target {target!r} was trained with {len(phrases)} phrases: {listed}"
            raise UserError(what, "choose one with --prompt")
    return [Question(target, source.prompts[target][0], _place(target, targets)) for target in targets]


def refuse_hopeless(predictor: Predictor, questions: Sequence[Question]) -> None:
    """UserError for a question that the model can be asked about no image: a phrase that is too long for it, say.

    The collator is given a small black image; nothing is predicted.
    """
    size = f"{BLANK} x {BLANK} pixels"
    for question in questions:
        sample = Sample("blank", Path(), None, target=question.target, prompt=question.prompt, origin=size)
        try:
            predictor.collate([Example(sample, np.zeros((BLANK, BLANK, 3), np.uint8), None)])
        except UserError as error:
            raise UserError(f"this cannot be asked about any image: {error.message}", error.hint) from error


def _place(target: str, targets: Sequence[str]) -> str:
    return file_name(target) if len(targets) > 1 else ""


def predict_images(
    predictor: Predictor, inputs: Inputs, questions: Sequence[Question], threshold: float, folder: Path, watch: Watch
) -> Outcome:
    """Predict every image and write it below the new `folder`; what was written stays when the work is interrupted.

    An image that cannot be read or predicted, or that the model refuses, is a row of status `failed` with the reason,
    is named on the watch, and the work goes on. A line of predictions.csv follows each. Raises UserError when the
    folder cannot be written.
    """
    rows: list[dict[str, Any]] = []
    for done, picture in enumerate(inputs.pictures, 1):
        for row in _rows_of(picture, predictor, questions, threshold, folder):
            append_row(folder / "predictions.csv", row)
            rows.append(row)
            if row["status"] == FAILED:
                named = "" if str(picture.path) in row["reason"] else f"{picture.path}: "
                watch.line(f"failed: {named}{row['reason']}")
        watch.progress("predict", done, len(inputs.pictures))
    return Outcome(folder, tuple(rows), len({row["file"] for row in rows if row["status"] == FAILED}))


def _rows_of(
    picture: Picture, predictor: Predictor, questions: Sequence[Question], threshold: float, folder: Path
) -> Iterator[dict[str, Any]]:
    try:
        if picture.refused:
            raise UserError(picture.refused)
        image = read_image(picture.path)
    except UserError as error:
        yield {"file": picture.name, "status": FAILED, "reason": error.message}
        return
    for question in questions:
        row = {"file": picture.name, "target": question.target, "prompt": question.prompt, "threshold": threshold}
        row |= {"width": int(image.shape[1]), "height": int(image.shape[0])}
        sample = Sample(picture.name, picture.path, None, target=question.target, prompt=question.prompt)
        stem = f"{question.folder}/{picture.stem}" if question.folder else picture.stem
        try:
            yield row | _predict_one(predictor, Example(sample, image, None), threshold, folder, stem)
        except (torch.OutOfMemoryError, MemoryError):
            yield row | {"status": FAILED, "reason": ALL_MEMORY}


def _predict_one(predictor: Predictor, example: Example, threshold: float, folder: Path, stem: str) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        (prediction,) = predictor([example])
        seconds = time.perf_counter() - started
        check_prediction(prediction, example)
    except UserError as error:
        return {"status": FAILED, "reason": error.message, "seconds": time.perf_counter() - started}
    mask = prediction.mask(threshold)
    written = write_pictures(folder, stem, example.image, mask, prediction.probability)
    said = {"reason": prediction.text} if prediction.status != "ok" else {}
    return {"vessel_fraction": float(mask.mean()), "status": prediction.status, "seconds": seconds, **written, **said}


def write_record(source: Source, predictor: Predictor, inputs: Inputs, threshold: float, outcome: Outcome) -> None:
    """Write predictions.json: where the predictions come from, what was left out, and a row for each."""
    record = {
        "source": str(source.path),
        "kind": source.kind,
        "model": source.recipe.model["name"],
        "weights_sha256": predictor.weights_sha256,
        "threshold": threshold,
        "threshold_from": source.kind if threshold == source.threshold else "command line",
        "device": str(predictor.device),
        "precision": source.recipe.train.precision,
        "versions": versions(),
        "command": command_line(),
        "images": len(inputs.pictures),
        "failed": outcome.failed,
        "statuses": dict(sorted(Counter(row["status"] for row in outcome.rows).items())),
        "no_images": list(inputs.others),
        "named_twice": list(inputs.doubled),
        "predictions": list(outcome.rows),
    }
    write_json(outcome.folder / "predictions.json", record)
