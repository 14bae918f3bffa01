"""The adapter of every baseline: a loss over crops, a prediction in windows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from monai.inferers import sliding_window_inference

from vesselbench import Batch
from vesselbench_monai.losses import sample_losses
from vesselbench_monai.settings import NetConfig

ALL_AT_ONCE = 1_000_000
WINDOWS = 16
"""Windows per call of the net when this process is alone: memory does not grow with the image."""
Turn = Callable[[torch.Tensor], torch.Tensor]


class PatchModule(torch.nn.Module):
    """A network with one output channel per target and the two methods of a vesselbench model."""

    def __init__(self, net: torch.nn.Module, config: NetConfig) -> None:
        super().__init__()
        self.net, self.config = net, config

    def maps(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Logits [B,targets,H,W] of the net, the best resolved first; several only where it supervises deeply."""
        output = self.net(image)
        return [output] if isinstance(output, torch.Tensor) else list(output)

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """The mean over the samples of the loss that the settings name, in fp32.

        Of several maps each counts half as much as the one before it, and the weights sum to 1 (Isensee et al. 2021);
        the terms in the log are those of the first.
        """
        mask, weight = batch.inputs["mask"].float(), batch.inputs["weight"].float()
        of_maps = [
            sample_losses(pick(logits, batch), mask, weight, self.config) for logits in self.maps(batch.inputs["image"])
        ]
        shares = [0.5**level for level in range(len(of_maps))]
        weighted = [share * losses["loss"].mean() for share, losses in zip(shares, of_maps, strict=True)]
        total = torch.stack(weighted).sum() / sum(shares)
        return {name: value.mean().detach() for name, value in of_maps[0].items()} | {"loss": total}

    def predict(self, batch: Batch) -> list[torch.Tensor]:
        """Probability [H,W] per sample at its own size: the padding is cut off again.

        Images larger than the window are predicted in overlapping windows, blended with Gaussian weights: instance
        norm sees then what it saw in training. On several processes all windows go through the net in one call:
        every rank of a ZeRO-3 job must make equally many calls, whatever the sizes of its images.
        """
        image = batch.inputs["image"]
        turned = [back(self._probability(there(image), batch)) for there, back in views(self.config.views)]
        probability = torch.stack(turned).mean(0)
        return [probability[i, 0, :height, :width] for i, (height, width) in enumerate(batch.sizes)]

    def _probability(self, image: torch.Tensor, batch: Batch) -> torch.Tensor:
        logits = sliding_window_inference(
            image,
            tuple(min(self.config.window, length) for length in image.shape[2:]),
            sw_batch_size=WINDOWS if is_alone() else ALL_AT_ONCE,
            predictor=lambda windows: self.maps(windows)[0],
            overlap=self.config.overlap,
            mode="gaussian",
        )
        return torch.sigmoid(pick(logits, batch))


def views(count: int) -> list[tuple[Turn, Turn]]:
    """Pairs of (change, way back) of [B,C,H,W]: 1, as it is; 4, the mirror images; 8, these transposed too."""
    mirrored = [_mirror(()), _mirror((2,)), _mirror((3,)), _mirror((2, 3))]
    turned = [
        (lambda x, f=there: f(x).transpose(2, 3), lambda x, f=back: f(x.transpose(2, 3))) for there, back in mirrored
    ]
    return (mirrored + turned)[:count]


def _mirror(dims: tuple[int, ...]) -> tuple[Turn, Turn]:
    def flip(x: torch.Tensor) -> torch.Tensor:
        return torch.flip(x, dims) if dims else x

    return flip, flip


def is_alone() -> bool:
    """Whether no other process takes part in this job."""
    return not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1


def pick(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """float32 [B,1,H,W]: of logits [B,targets,H,W] the channel of each sample's target."""
    index = batch.inputs["channel"].view(-1, 1, 1, 1).expand(-1, 1, *logits.shape[2:])
    return logits.float().gather(1, index)
