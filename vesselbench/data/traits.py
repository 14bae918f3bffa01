"""Measuring the traits of a training set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch

from vesselbench.data.cache import MaskCache, load_with
from vesselbench.data.limits.widths import centre_line, line_widths
from vesselbench.traits import Traits
from vesselbench.types import Sample

CPU_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")
"""Of /proc/cpuinfo: a processor without one of them emulates bfloat16, slower than float32."""


def measure_traits(samples: Sequence[Sample], device: torch.device, cache: MaskCache | None = None) -> Traits:
    """The traits of the samples, which are decoded one after the other; UserError for a broken file."""
    sizes, pixels, vessel, widths = [], 0, 0, []
    for sample in samples:
        example = load_with(cache, sample)
        inside = np.ones(example.size, bool) if example.fov is None else example.fov
        mask = inside & example.mask if example.mask is not None else np.zeros(example.size, bool)
        sizes.append(example.size)
        pixels, vessel = pixels + int(inside.sum()), vessel + int(mask.sum())
        if mask.any():
            widths.append(line_widths(mask, centre_line(mask)))
    along = np.concatenate(widths) if widths else None
    return Traits(
        images=len({sample.image for sample in samples}),
        size=(int(median(height for height, _ in sizes)), int(median(width for _, width in sizes))),
        pixels=pixels,
        vessel=vessel / max(1, pixels),
        width=None if along is None else float(np.percentile(along, 50)),
        wide=None if along is None else float(np.percentile(along, 95)),
        bf16=multiplies_in_bf16(device),
    )


def multiplies_in_bf16(device: torch.device, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether products in bfloat16 are the device's own. A processor that says nothing about itself: no."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        text = cpuinfo.read_text(encoding="utf-8")
    except OSError:  # not Linux
        return False
    flags = {word for line in text.splitlines() if line.startswith(("flags", "Features")) for word in line.split()}
    return bool(flags & set(CPU_FLAGS))
