"""Our names against the key lists of released checkpoints, on the meta device."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch

from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.layouts import layout_of, pieces_of, unmatched
from vesselbench_sa2va.model import Sa2VAModule
from vesselbench_sa2va.names import SAM, UNUSED, official_keys, plain
from vesselbench_sa2va.sizes import SIZES
from vesselbench_sa2va.weights import FRESH, Stored

LISTS = Path(__file__).parents[2] / "../shared/sa2va"


class KeyList:
    """What a checkpoint would be known by: names and, where they are known, shapes."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.path, self.files, self.shapes = Path("listed"), [], shapes


def _listed(name: str) -> Any:
    path = LISTS / name
    if not path.is_file():
        pytest.skip("the key lists of released checkpoints are not beside this repository")
    return json.loads(path.read_text())


def _shapes(size: str, tokens: str) -> dict[str, tuple[int, ...]]:
    config = Sa2VAConfig.model_validate({"size": size, "freeze": "official", "lora": {"tokens": tokens}})
    with torch.device("meta"):
        module = Sa2VAModule(SIZES[size], config, frozen=True)
    buffers = [(n, b) for n, b in module.named_buffers() if n.endswith(".positional_embedding")]
    tensors = {plain(name): tuple(tensor.shape) for name, tensor in [*module.named_parameters(), *buffers]}
    return {name: shape for name, shape in tensors.items() if not FRESH.search(name) or name.startswith("text_")}


@pytest.mark.parametrize("tokens", ["lean", "official"])
def test_parity_of_all_keys_and_shapes_of_the_released_2b(tokens: str) -> None:
    listed = {key: tuple(shape) for key, shape in _listed("official-2b-keys.json").items()}
    archive: Any = KeyList(listed)
    shapes = _shapes("2b", tokens)
    layout = layout_of(archive)
    assert layout.kind == "released Sa2VA"
    pieces = pieces_of(archive, layout, shapes)
    assert unmatched(archive, pieces) == ([], [])
    assert {name: Stored(archive, piece).shape for name, piece in pieces.items()} == shapes
    unused = [key for key in listed if UNUSED.match(key.removeprefix(SAM))]
    assert len(listed) == 1589
    assert len(unused) == 157
    assert set(official_keys(shapes)) == listed.keys() - set(unused)


def test_parity_of_all_keys_of_a_real_8b_export() -> None:
    """The index states no shapes, but how many parameters they make in all."""
    index, memory = _listed("official-8b.index.json"), _listed("official-2b-keys.json")
    listed = index["weight_map"]
    archive: Any = KeyList(dict.fromkeys(listed, ()))
    shapes = _shapes("8b", "lean")
    pieces = pieces_of(archive, layout_of(archive), shapes)
    assert unmatched(archive, pieces) == ([], [])
    assert pieces.keys() == shapes.keys()
    unused = [key for key in listed if UNUSED.match(key.removeprefix(SAM))]
    assert len(listed) == 1589
    assert set(official_keys(shapes)) == listed.keys() - set(unused)
    ours = sum(prod(shape) for name, shape in shapes.items() if not name.endswith(".positional_embedding"))
    assert ours + sum(prod(memory[key]) for key in unused) == index["metadata"]["total_parameters"]
