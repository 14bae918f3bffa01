"""The global random number generators of one rank: dropout and sampled points draw from them."""

from __future__ import annotations

import random

import numpy as np
import torch

from vesselbench.training.state import State


class RandomState:
    """Python's, numpy's, torch's and, on a GPU, that device's generator. A `Stateful` of each rank's own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def state(self) -> State:
        version, words, gauss = random.getstate()
        kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
        values = {
            "python": [version, list(words), gauss],
            "numpy": [kind, int(position), int(has_gauss), float(cached)],
        }
        tensors = {"numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)), "torch": torch.get_rng_state()}
        if self._device.type == "cuda":
            tensors["cuda"] = torch.cuda.get_rng_state(self._device)
        return State(values, tensors)

    def restore(self, state: State) -> None:
        version, words, gauss = state.values["python"]
        random.setstate((version, tuple(words), gauss))
        kind, position, has_gauss, cached = state.values["numpy"]
        np.random.set_state((kind, state.tensor("numpy").numpy().astype(np.uint32), position, has_gauss, cached))
        torch.set_rng_state(state.tensor("torch"))
        if self._device.type == "cuda" and "cuda" in state.tensors:
            torch.cuda.set_rng_state(state.tensor("cuda"), self._device)
