"""The module behind `frangi`: scikit-image's filter, with its settings as buffers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from vesselbench import Batch, Example, UserError
from vesselbench.ridges import ridge_response


class RidgeModule(torch.nn.Module):
    """The response to ridges as probability. Its settings are buffers: two settings are two weights files.

    They are those of `FrangiConfig`, with channel green or grey; UserError names one that is not chosen yet.
    """

    sigmas: torch.Tensor
    dark: torch.Tensor
    grey: torch.Tensor

    def __init__(self, channel: str | None, dark: bool | None, sigmas: list[float] | None) -> None:
        super().__init__()
        for key, value in (("channel", channel), ("dark", dark), ("sigmas", sigmas)):
            if value is None:
                raise UserError(
                    f"model.{key} of 'frangi' is not chosen yet", f"vesselbench train frangi, or set model.{key}"
                )
        self.register_buffer("sigmas", torch.tensor(sigmas, dtype=torch.float32))
        self.register_buffer("dark", torch.tensor([float(bool(dark))]))
        self.register_buffer("grey", torch.tensor([float(channel == "grey")]))

    def predict(self, batch: Batch) -> list[torch.Tensor]:
        """float32 [H,W] in [0,1] per sample, 0 outside the field of view."""
        pairs = zip(batch.inputs["image"], batch.inputs["fov"], strict=True)
        return [self._response(image.cpu().numpy(), fov.cpu().numpy()) for image, fov in pairs]

    def _response(self, image: np.ndarray[Any, Any], fov: np.ndarray[Any, Any]) -> torch.Tensor:
        """Of an image uint8 [H,W,3] and its field of view, bool [H,W]."""
        seen = image.mean(axis=2, dtype=np.float32) if float(self.grey) else image[..., 1].astype(np.float32)
        if not fov.any():
            return torch.zeros(fov.shape)
        inside = None if fov.all() else fov
        found = ridge_response(seen / np.float32(255), inside, self.sigmas.tolist(), bool(self.dark))
        return torch.from_numpy(found * fov)


def collate(examples: list[Example]) -> dict[str, Any]:
    """``image``, uint8 [H,W,3], and ``fov``, bool [H,W], per sample: images of unlike sizes need no padding here."""
    fovs = [np.ones(example.size, bool) if example.fov is None else example.fov for example in examples]
    return {
        "image": [torch.from_numpy(np.array(example.image)) for example in examples],
        "fov": [torch.from_numpy(np.array(fov)) for fov in fovs],
    }
