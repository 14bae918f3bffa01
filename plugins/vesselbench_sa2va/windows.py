"""Predictions in windows: each is an image of its own to the model, so that thin vessels keep their pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from vesselbench import Example

OVERLAP = 0.25
"""Share of a window that the next one covers again."""
TOGETHER = 16
"""Windows per forward pass when this process is alone: memory does not grow with the image, nor with the views."""
ALL_AT_ONCE = 1_000_000
SPREAD = 0.125
"""Deviation of the Gaussian weight of a window's pixels, as a share of its side (nnU-Net's)."""


def starts(length: int, window: int) -> list[int]:
    """First pixels of the windows along an axis; the last one ends at the border."""
    if length <= window:
        return [0]
    stride = max(1, int(window * (1 - OVERLAP)))
    return [*range(0, length - window, stride), length - window]


def cut_windows(examples: list[Example], window: int | None) -> tuple[list[Example], Tensor]:
    """The examples' windows (None: one, the whole), and int64 [N,3]: example, top, left of each."""
    pieces, places = [], []
    for number, example in enumerate(examples):
        height, width = (window or length for length in example.size)
        for top in starts(example.size[0], height):
            for left in starts(example.size[1], width):
                part = (slice(top, top + height), slice(left, left + width))
                mask = None if example.mask is None else example.mask[part]
                fov = None if example.fov is None else example.fov[part]
                pieces.append(replace(example, image=example.image[part], mask=mask, fov=fov, observer2=None))
                places.append((number, top, left))
    return pieces, torch.tensor(places)


def in_chunks(inputs: dict[str, Any], together: int) -> list[dict[str, Any]]:
    """The windows' inputs in parts of `together`; on several processes in one: every rank makes equally many calls."""
    total = len(inputs["images"])
    size = together if is_alone() else ALL_AT_ONCE
    ends = torch.cat([torch.zeros(1, dtype=torch.long), inputs["tile_counts"].cpu().cumsum(0)]).tolist()
    parts = []
    for first in range(0, total, size):
        last = min(first + size, total)
        text, seg = inputs["text"], inputs["text"]["seg"]
        mine = seg[(seg[:, 0] >= first) & (seg[:, 0] < last)] - seg.new_tensor([first, 0, 0])
        rows = {name: text[name][first:last] for name in ("ids", "labels", "attention")}
        cut = {name: inputs[name][first:last] for name in ("images", "placed")}
        parts.append({"tiles": inputs["tiles"][ends[first] : ends[last]], "text": {**rows, "seg": mine}, **cut})
    return parts


def blend(maps: list[Tensor], windows: Tensor, sizes: list[tuple[int, int]]) -> list[Tensor]:
    """One map [H,W] per example from the maps of its windows, weighted by a Gaussian around the middle of each."""
    sums = [torch.zeros(size, device=maps[0].device) for size in sizes]
    weights = [torch.zeros(size, device=maps[0].device) for size in sizes]
    for part, (number, top, left) in zip(maps, windows.tolist(), strict=True):
        weight = _weight(part)
        place = (slice(top, top + part.shape[0]), slice(left, left + part.shape[1]))
        sums[number][place] += weight * part.float()
        weights[number][place] += weight
    return [(total / weight).clamp(0, 1) for total, weight in zip(sums, weights, strict=True)]


def _weight(part: Tensor) -> Tensor:
    bells = []
    for length in part.shape:
        away = (torch.arange(length, device=part.device) - (length - 1) / 2) / (SPREAD * length)
        bells.append(torch.exp(-0.5 * away**2))
    return (bells[0][:, None] * bells[1]).clamp(min=1e-4)


def is_alone() -> bool:
    """Whether no other process takes part in this job."""
    return not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1


Predict = Callable[[dict[str, Any], list[tuple[int, int]]], list[Tensor]]


def predict_windows(
    inputs: dict[str, Any], sizes: list[tuple[int, int]], predict: Predict, together: int
) -> list[Tensor]:
    """Probability [H,W] per example: `predict` maps a part of the windows' inputs, and their sizes, to their maps."""
    shapes = [tuple(size) for size in inputs["window_sizes"].tolist()]
    maps: list[Tensor] = []
    for part in in_chunks(inputs, together):
        maps += predict(part, shapes[len(maps) : len(maps) + len(part["images"])])
    return blend(maps, inputs["windows"], sizes)
