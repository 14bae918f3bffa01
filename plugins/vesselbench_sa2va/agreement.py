"""A named size against the config.json of the weights: dimensions must agree, what changes no tensor is taken over."""

from __future__ import annotations

from dataclasses import asdict, replace

from vesselbench_sa2va.sizes import SIZES, SamShape, Shape

FREE = ("vision.eps", "language.eps", "language.positions", "language.rope_theta", "template", "max_tiles")
"""Parts of a shape on which no tensor's size depends: the weights were trained with the folder's values."""

Differences = dict[str, tuple[object, object]]


def dimensions_apart(ours: Shape, stated: Shape) -> Differences:
    """The dimensions in which a model cannot have the weights of a folder, by name: (stated, ours)."""
    return {name: pair for name, pair in _apart(ours, stated).items() if name not in FREE}


def values_apart(ours: Shape, stated: Shape) -> Differences:
    """The parts that `adopted` takes over, by name: (stated, ours)."""
    return {name: pair for name, pair in _apart(ours, stated).items() if name in FREE}


def adopted(ours: Shape, stated: Shape) -> Shape:
    """`ours` with the values of a folder in all that changes no tensor's size."""
    vision, language = stated.vision, stated.language
    return replace(
        ours,
        vision=replace(ours.vision, eps=vision.eps),
        language=replace(ours.language, eps=language.eps, positions=language.positions, rope_theta=language.rope_theta),
        template=stated.template,
        max_tiles=stated.max_tiles,
    )


def fitting_sizes(stated: Shape) -> list[str]:
    """The named sizes whose every dimension is the stated one."""
    return [name for name, known in SIZES.items() if not dimensions_apart(known, stated)]


def _apart(ours: Shape, stated: Shape) -> Differences:
    """What differs. SAM 2 is compared where the folder states it; the new tokens are the settings' own."""
    parts = ["vision", "language", *(["sam"] if stated.sam != SamShape() else [])]
    mine, theirs = asdict(ours), asdict(stated)
    pairs = {f"{part}.{key}": (theirs[part][key], value) for part in parts for key, value in mine[part].items()}
    pairs |= {f"tokens.{key}": (theirs["tokens"][key], mine["tokens"][key]) for key in ("image", "seg")}
    pairs |= {key: (theirs[key], mine[key]) for key in ("template", "max_tiles")}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
