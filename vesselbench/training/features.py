"""What a model's frozen networks make of the training images, kept on disk by content (``train.cache_features``).

An entry is a safetensors file ``<first 2 digits>/<key>.safetensors``, readable by its owner alone. The key is the
SHA-256 of the frozen networks' weights, the arithmetic, and the very tensors that the networks would be given: the
image after all that the recipe does to it. So nothing ever becomes stale; the folder may be deleted between trainings.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from vesselbench import distributed, sharding
from vesselbench.config import AugmentConfig, Recipe
from vesselbench.data.cache import MaskCache, load_with, open_cache
from vesselbench.data.folders import user_cache
from vesselbench.data.loader import Collate, make_batch, units_of
from vesselbench.errors import UserError
from vesselbench.hookspecs import ModelPlugin
from vesselbench.model import batch_to
from vesselbench.plugins import Catalogue
from vesselbench.training.engine import Engine
from vesselbench.types import Example, Sample

VERSION = 2
"""Raise it when what is stored, or how a key is made, changes."""
FULL = 0.9
"""Share of the free disk that new features may take."""
DIGEST = "sha256"


@dataclass(frozen=True)
class FeatureCollate:
    """A collator that adds ``features`` to the inputs: for each image what `prepare_features` has kept of it."""

    collate: Collate
    plugin: ModelPlugin
    networks: str
    folder: Path

    def __call__(self, examples: list[Example]) -> dict[str, Any]:
        inputs = self.collate(examples)
        return {**inputs, "features": [self._read(key) for key in self.keys(inputs)]}

    def keys(self, inputs: Mapping[str, Any]) -> list[str]:
        """The key of each image of a batch."""
        contents: list[list[torch.Tensor]] = self.plugin.feature_content(inputs)  # type: ignore[attr-defined]
        return [_key(self.networks, content) for content in contents]

    def path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"

    def _read(self, key: str) -> dict[str, torch.Tensor]:
        try:
            # copied: in the file they begin anywhere, and matrix products round by where their input begins
            tensors = {name: tensor.clone() for name, tensor in load_file(self.path(key)).items()}
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{self.path(key)}: kept features cannot be read: {error}",
                "start again (what is missing is computed), and leave the folder alone while a training runs",
            ) from None
        return tensors


def prepare_features(engine: Engine, recipe: Recipe, catalogue: Catalogue, samples: Sequence[Sample]) -> list[str]:
    """Compute what is not kept yet, let the engine's batches bring it, and say in words what there is; nothing without
    ``train.cache_features``.

    Every rank must call it: each looks at its part of the images and computes its part of what is missing, in equally
    many passes. Raises UserError for a model without frozen networks, for images that are changed anew in every epoch,
    and when the disk is too small.
    """
    train, plugin, cache = recipe.train, catalogue.models[recipe.model["name"]], open_cache(recipe.data)
    if train.cache_features is False:
        return []
    _refuse(engine, plugin, train.augment)
    folder = train.cache_features if isinstance(train.cache_features, Path) else user_cache() / "features"
    networks = f"{VERSION} {plugin.name} {engine.arithmetic} {networks_digest(engine.module)}"
    collate = FeatureCollate(engine.feed.collate, plugin, networks, folder.expanduser())
    units = units_of(samples, engine.feed.by_image)
    mine = range(distributed.rank(), len(units), distributed.world())
    found = [(key, number) for number in mine for key in collate.keys(_inputs(collate, units[number], cache))]
    where = dict(reversed(distributed.gather_rows(found)))  # of equal images the first one counts
    missing = distributed.from_first([key for key in sorted(where) if not is_whole(collate.path(key))])
    _compute(engine, collate, [(key, units[where[key]]) for key in missing], cache)
    engine.feed = replace(engine.feed, collate=collate)
    size = distributed.from_first(sum(collate.path(key).stat().st_size for key in where))
    return [
        f"train.cache_features: what the frozen networks make of {len(where)} training images is kept in "
        f"{collate.folder} ({size / 1e6:.1f} MB; {len(missing)} computed now). They are not run in training"
    ]


def changing(augment: AugmentConfig) -> list[str]:
    """The keys of ``train.augment`` by which an image differs from one epoch to the next."""
    return [f"train.augment.{name}" for name, value in augment.model_dump().items() if value not in (None, False, 0.0)]


def networks_digest(module: torch.nn.Module) -> str:
    """SHA-256 over name, type, shape and bytes of all parameters and buffers of the frozen networks, split or not."""
    digest = hashlib.sha256()
    for number, network in enumerate(module.feature_networks()):  # type: ignore[operator]
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            with sharding.whole([tensor] if isinstance(tensor, torch.nn.Parameter) else []):
                digest.update(f"{number} {name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
                digest.update(_bytes(tensor))
    return distributed.from_first(digest.hexdigest())


def is_whole(path: Path) -> bool:
    """Whether an entry is there and its tensors are those that were written; a damaged one is computed anew."""
    try:
        with safe_open(path, "pt") as file:
            kept, names = (file.metadata() or {}).get(DIGEST), file.keys()
            return bool(kept == _content({name: file.get_tensor(name) for name in names}))
    except (OSError, SafetensorError):
        return False


def _refuse(engine: Engine, plugin: ModelPlugin, augment: AugmentConfig) -> None:
    networks = engine.module.feature_networks() if hasattr(engine.module, "feature_networks") else []  # type: ignore[operator]
    if not networks:
        raise UserError(
            f"train.cache_features: the model {plugin.name!r} with these settings has no frozen networks of its own "
            "for the image",
            "leave it out",
        )
    changes = changing(augment)
    if changes:
        raise UserError(
            f"train.cache_features: every epoch has other images, by {', '.join(changes)}",
            "set these to false or 0 (crop: null), or leave train.cache_features out",
        )


def _inputs(collate: FeatureCollate, unit: Sequence[Sample], cache: MaskCache | None) -> dict[str, Any]:
    return collate.collate([load_with(cache, replace(sample, observer2=None)) for sample in unit])


def _compute(
    engine: Engine, collate: FeatureCollate, missing: Sequence[tuple[str, Sequence[Sample]]], cache: MaskCache | None
) -> None:
    """Each rank its part, one image at a time; who has no more repeats the last, so that all make equal calls."""
    world, rank = distributed.world(), distributed.rank()
    engine.engine.eval()
    for first in range(0, len(missing), world):
        key, unit = missing[min(first + rank, len(missing) - 1)]
        examples = [load_with(cache, replace(sample, observer2=None)) for sample in unit]
        batch = make_batch(examples, collate.collate)
        with torch.no_grad():
            rows = engine.engine("features", batch_to(batch, engine.device, engine.dtype))
        row = rows[collate.keys(batch.inputs).index(key)]
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in row.items()}
        if first == 0:
            each = sum(tensor.nbytes for tensor in tensors.values())
            distributed.on_first(partial(_refuse_large, collate.folder, each, len(missing)))
        if first + rank < len(missing):
            _write(collate.path(key), tensors)
    distributed.gather_rows([rank])  # nobody reads before everybody has written


def _refuse_large(folder: Path, each: int, count: int) -> None:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if each * count > FULL * free:
        raise UserError(
            f"train.cache_features: {count} images of {each / 1e6:.1f} MB each need {each * count / 1e9:.1f} GB, "
            f"{free / 1e9:.1f} GB are free in {folder}",
            "name a folder on a larger disk, or leave train.cache_features out",
        )


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Whole or not at all, for the owner alone: what is derived from an image is as confidential as the image."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.parent.mkdir(exist_ok=True, mode=0o700)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(save(tensors, {DIGEST: _content(tensors)}))
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise UserError(
            f"train.cache_features: cannot write {path}: {error.strerror or error}",
            "name a folder that you may write to, or leave train.cache_features out",
        ) from None


def _key(networks: str, content: Sequence[torch.Tensor]) -> str:
    digest = hashlib.sha256(networks.encode())
    for tensor in content:
        digest.update(f"\n{tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _content(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\n".encode())
        digest.update(_bytes(tensors[name]))
    return digest.hexdigest()


def _bytes(tensor: torch.Tensor) -> Any:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
