"""A look-alike of a real fine-tune's data: X-ray angiography frames, annotated by hand, with the faults they had.

1220 frames of 36 sequences and 20 patients; most frames have one outline, few have up to 21; half of the annotations
state 800 x 800 while the image is 512 x 512; one outline is a single point; one file states another shape than its
image; three pairs of outlines overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vesselbench.data.synthetic.replay_files import FrameFile, write_labelme, write_sa2va
from vesselbench.data.synthetic.replay_scene import SIDE, Scene, draw_frame, make_scene
from vesselbench.errors import UserError

OUTLINES = {1: 1047, 2: 58, 3: 40, 4: 31, 5: 8, 6: 11, 7: 9, 8: 4, 9: 7, 10: 3, 11: 1, 21: 1}
"""Outlines per frame: number of frames."""
SEQUENCES, PATIENTS = 36, 20
OTHER_SIDE = 800
"""Side of the images that half of the annotations were drawn on."""
OTHER_SHARE = 600 / 1220
ODD_SIZE = (480, 640)
"""(H, W) that one file states for an image of 512 x 512."""
OVERLAPS = 3


@dataclass(frozen=True)
class FramePlan:
    """What one frame is to be. `size`: (H, W) that its annotation states."""

    sequence: int
    number: int
    outlines: int
    size: tuple[int, int] = (SIDE, SIDE)
    single_point: bool = False
    overlapping: bool = False

    @property
    def stem(self) -> str:
        """``patient07_seq12_003``: `data.group` finds the patient by ``(patient\\d+)``."""
        return f"patient{self.sequence * PATIENTS // SEQUENCES:02d}_seq{self.sequence:02d}_{self.number:03d}"


def plan_frames(images: int, seed: int) -> list[FramePlan]:
    """The frames in order, with the faults dealt out; fewer than 1220 keep the proportions, and one of each fault."""
    rng = np.random.default_rng([seed, 7])
    counts = rng.permutation(_outline_counts(images))
    if images == sum(OUTLINES.values()):
        sequences = np.repeat(np.arange(SEQUENCES), _lengths(rng))
    else:
        few = max(4, images * SEQUENCES // sum(OUTLINES.values()))
        sequences = np.arange(images) * few // images * SEQUENCES // few  # spread over the patients
    starts = {int(sequence): int(np.searchsorted(sequences, sequence)) for sequence in sequences}
    others = round(images * OTHER_SHARE)
    several = [int(index) for index in np.flatnonzero(counts >= 2)]
    one_shape = [int(index) for index in np.flatnonzero(counts == 1) if index >= others]
    point, *overlapping = (several[k * len(several) // (OVERLAPS + 1)] for k in range(OVERLAPS + 1))
    return [
        FramePlan(
            sequence=int(sequences[index]),
            number=index - starts[int(sequences[index])],
            outlines=int(counts[index]),
            size=_stated(index, others, one_shape[0]),
            single_point=index == point,
            overlapping=index in overlapping,
        )
        for index in range(images)
    ]


def draw_replay(
    folder: Path,
    images: int = 1220,
    seed: int = 0,
    form: str = "labelme",
    progress: Callable[[int, int], None] | None = None,
) -> list[FramePlan]:
    """Write frames (JPEG) and annotations into `folder`; equal arguments give equal files.

    form labelme: a JSON beside each frame. form sa2va: ``annotations.json`` and ``images``; it cannot state a size, so
    all coordinates are pixels of the image. Raises UserError when `folder` is not empty or cannot be written.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder} is not empty", "name a folder that does not exist yet")
        holder = folder / "images" if form == "sa2va" else folder
        holder.mkdir(parents=True, exist_ok=True)
        plans = plan_frames(images, seed)
        files: list[FrameFile] = []
        scene: Scene | None = None
        for number, plan in enumerate(plans):
            if scene is None or plan.number == 0:
                scene = make_scene(np.random.default_rng([seed, 0, plan.sequence]))
            frame = draw_frame(np.random.default_rng([seed, 1, number]), scene, plan.outlines, plan.overlapping)
            Image.fromarray(frame.pixels).save(holder / f"{plan.stem}.jpg", quality=90)
            outlines = list(frame.outlines)
            if plan.single_point:
                outlines[-1] = outlines[-1][:2]
            files.append(FrameFile(f"{plan.stem}.jpg", (SIDE, SIDE), plan.size, tuple(outlines)))
            if progress is not None:
                progress(number + 1, len(plans))
        (write_sa2va if form == "sa2va" else write_labelme)(folder, files)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}", "choose another folder") from error
    return plans


def _outline_counts(images: int) -> list[int]:
    """The histogram, thinned evenly for fewer frames, with at least the four frames of several that the faults need."""
    whole = [number for number, frames in OUTLINES.items() for _ in range(frames)]
    counts = [whole[index * len(whole) // images] for index in range(images)]
    while sum(count > 1 for count in counts) < OVERLAPS + 1:
        counts[counts.index(1)] = 2
    return counts


def _lengths(rng: np.random.Generator) -> list[int]:
    """Frames of each sequence: 20 to 40, 1220 in all."""
    lengths = rng.integers(28, 41, SEQUENCES)
    while (surplus := int(lengths.sum()) - sum(OUTLINES.values())) != 0:
        step = -1 if surplus > 0 else 1
        changeable = np.flatnonzero((lengths + step >= 20) & (lengths + step <= 40))
        lengths[rng.choice(changeable)] += step
    return [int(length) for length in lengths]


def _stated(index: int, others: int, odd: int) -> tuple[int, int]:
    if index < others:
        return (OTHER_SIDE, OTHER_SIDE)
    return ODD_SIZE if index == odd else (SIDE, SIDE)
