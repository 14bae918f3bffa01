"""Tensors that follow from frozen ones, made once instead of in every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Kept:
    """The last value made, kept as long as its sources are the same tensors, not written to in place, and frozen."""

    def __init__(self) -> None:
        self._sources: list[Tensor] = []
        self._state: list[object] = []
        self._value: Tensor | None = None

    def get(self, sources: Sequence[Tensor], make: Callable[[], Tensor]) -> Tensor:
        """What `make` gives of `sources`: made anew when one of them is learning or another one, or was changed."""
        if any(source.requires_grad for source in sources):
            return make()
        state: list[object] = [(source._version, source.dtype, source.device) for source in sources]
        same = len(sources) == len(self._sources) and all(a is b for a, b in zip(sources, self._sources, strict=True))
        if self._value is None or not same or state != self._state:
            with torch.inference_mode(False), torch.no_grad():  # a prediction may come first, a training next
                self._value = make()
            self._sources, self._state = list(sources), state
        return self._value
