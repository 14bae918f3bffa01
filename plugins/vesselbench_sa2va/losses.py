"""The losses of the masks, on points, and of the language model, on the answer. All in float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vesselbench_sa2va.config import LossSettings

OFFICIAL_EPS = 1e-4 + 1.19e-7
"""What the official code adds to its counts of points and masks before it divides."""


@dataclass(frozen=True)
class Targets:
    """masks: uint8 or float [H,W] per object; present: float [N], 0 where an object has no mask at all;
    content: [N,2], the share (x, y) of SAM's square that the image fills; eps: see `point_losses`; images: int64 [N],
    the image of each object; seeds: int64 [N], from which its points are drawn."""

    masks: list[Tensor]
    present: Tensor
    content: Tensor
    images: Tensor
    seeds: Tensor
    eps: float = 0.0


def sample_map(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values [N,C,P] of maps [N,C,h,w] at points [N,P,2], (x, y) in [0,1] from edge to edge; 0 outside."""
    return read_map(maps, 2 * points - 1)


def read_map(maps: Tensor, grid: Tensor) -> Tensor:
    """The same at points in torch's own coordinates: [-1,1] from edge to edge."""
    return F.grid_sample(maps, grid.unsqueeze(1), align_corners=False).squeeze(2)


def sample_masks(masks: list[Tensor], points: Tensor) -> Tensor:
    """Bilinear values [N,P] of masks of any size at points [N,P,2]: soft targets in [0,1]."""
    grid = points.mul(2).sub_(1)  # of many points: every copy that is saved counts
    if len({mask.shape for mask in masks}) == 1:
        return read_map(torch.stack(masks)[:, None].to(points.dtype), grid)[:, 0]
    rows = [read_map(mask.to(points.dtype)[None, None], row[None])[0, 0] for mask, row in zip(masks, grid, strict=True)]
    return torch.stack(rows)


def shrink_masks(masks: list[Tensor], content: Tensor, grid: int) -> list[Tensor]:
    """The official target: masks resized by nearest neighbour to the part of the logits' grid that the image fills."""
    shrunk = []
    for mask, (x, y) in zip(masks, content.tolist(), strict=True):
        size = (max(1, round(y * grid)), max(1, round(x * grid)))
        shrunk.append(F.interpolate(mask[None, None].float(), size, mode="nearest")[0, 0])
    return shrunk


def shares(rows: Tensor, count: int) -> Tensor:
    """Weights [M] of things that belong to `rows` [M] of `count` equal ones: their sum is the mean over the rows of the
    means over each row's things.

    A mean over all things would make it matter which rows share a micro-batch: images with many objects, answers with
    many tokens. (Rows without anything weigh 0.)
    """
    return 1 / (count * torch.bincount(rows, minlength=count)[rows].float())


def uniform_points(seeds: Tensor, count: int, device: torch.device) -> Tensor:
    """Points [N,count,2] in [0,1], each row drawn from its seed: alike on any rank and in any micro-batch."""
    points = torch.empty(len(seeds), count, 2)
    for row, seed in zip(points, seeds.tolist(), strict=True):
        torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), out=row)
    return points.to(device)


def uncertain_points(logits: Tensor, count: int) -> Tensor:
    """Numbers [N,K,count], in no defined order, of the points of least |logit| among those of logits [N,K,M].

    Source: PointRend (Kirillov et al. 2020), section 3.1.
    """
    distance = logits.abs()
    if distance.device.type == "cpu":  # torch takes six times as long here, a twentieth of a small model's step
        return torch.from_numpy(np.argpartition(distance.numpy(), count - 1, axis=2)[..., :count])
    return distance.topk(count, dim=2, largest=False, sorted=False).indices


def take_rows(index: Tensor, *tables: Tensor) -> list[Tensor]:
    """Of each table, float32 [N,M] or [N,M,2], the rows index [N,K,P], each among its own N: [N*K,P,...]."""
    count = tables[0].shape[1]
    rows = (index + count * torch.arange(len(index), device=index.device).view(-1, 1, 1)).flatten()
    taken = []
    for table in tables:
        whole = table.view(torch.float64) if table.ndim == 3 else table  # a pair is moved as one number: half the time
        picked = whole.reshape(-1).index_select(0, rows).view(table.dtype)
        taken.append(picked.view(-1, index.shape[2], *table.shape[2:]))
    return taken


def point_losses(logits: Tensor, targets: Tensor, eps: float = 0.0) -> tuple[Tensor, Tensor]:
    """Cross-entropy and dice loss [N] each of logits and targets [N,P]; dice has 1 added above and below.

    Their means over N are the losses. The official code adds `eps` to the number of points and of masks before it
    divides by them (OFFICIAL_EPS), which its numbers can be reproduced with.
    """
    count, points = logits.shape
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)
    entropy = entropy * (count * points / (count * points + eps))
    probability = logits.sigmoid()
    overlap = 2 * (probability * targets).sum(1) + 1
    dice = 1 - overlap / (probability.sum(1) + targets.sum(1) + 1)
    return entropy, dice * (count / (count + eps))


def iou_of(logits: Tensor, targets: Tensor) -> Tensor:
    """IoU [N,K] of candidates with logits [N,K,M] and a mask [N,M] at uniform points; 1 where both are empty."""
    predicted = torch.gt(logits, 0, out=torch.empty_like(logits))  # floats are added up faster than bits, and
    true = torch.gt(targets, 0.5, out=torch.empty_like(targets))[
        :, None
    ]  # turning bits into floats takes ten times this
    areas = predicted.sum(-1) + true.sum(-1)
    both = predicted.mul_(true).sum(-1)
    union = areas - both
    return torch.where(union > 0, both / union.clamp(min=1), 1.0)


def mask_losses(logits: Tensor, iou: Tensor, targets: Targets, settings: LossSettings) -> dict[str, Tensor]:
    """Losses of the masks: means over the images of the means over their objects, those without a mask counting 0.

    logits [N,3,h,w] and iou [N,3] are the candidates and their predicted IoU. Points are drawn in the mask's own
    square, so that none falls into the padding, from each object's seed. The IoU is measured on uniform ones.
    """
    logits, iou = logits.float(), iou.float()
    kept = logits.shape[1] if settings.candidates == "all" else 1
    many, certain = int(settings.oversample * settings.points), int(settings.uncertain * settings.points)
    few = settings.points - certain
    points = uniform_points(targets.seeds, many + kept * few, logits.device)
    with torch.no_grad():
        values, grid = sample_masks(targets.masks, points), points.mul(2 * targets.content[:, None].float()).sub_(1)
        drawn = read_map(logits, grid[:, :many])
        true_iou = iou_of(drawn, values[:, :many])
        if settings.candidates == "chosen":
            chosen = iou.argmax(1, keepdim=True)
            drawn = drawn.gather(1, chosen[..., None].expand(-1, -1, many))
        fresh = torch.arange(many, many + kept * few, device=logits.device).view(kept, few)
        index = torch.cat([uncertain_points(drawn, certain), fresh.expand(len(logits), -1, -1)], dim=2)
        values, grid = take_rows(index, values, grid)
    if settings.candidates == "chosen":
        logits = logits.gather(1, chosen[..., None, None].expand(-1, -1, *logits.shape[2:]))
    predicted = read_map(logits.flatten(0, 1)[:, None], grid)[:, 0]
    entropy, dice = (part.view(-1, kept).mean(1) for part in point_losses(predicted, values, targets.eps))
    weight = targets.present.float() * shares(targets.images, int(targets.images.max()) + 1)
    return {
        "loss_mask": settings.mask * (weight @ entropy),
        "loss_dice": settings.dice * (weight @ dice),
        "loss_iou": settings.iou * (weight @ (iou - true_iou).square().mean(1)),
    }


def answer_losses(logits: Tensor, labels: Tensor, rows: Tensor, count: int, seg: int) -> dict[str, Tensor]:
    """Cross-entropy (nat/token) of logits [M,vocabulary] and labels [M]: the mean over `count` texts, which `rows` [M]
    names, of the mean over each one's tokens; and of all tokens at [SEG] and elsewhere.

    With one text in a micro-batch the first is what the official code minimises.
    """
    each = F.cross_entropy(logits.float(), labels, reduction="none")
    seen, at_seg = each.detach(), (labels == seg).float()
    elsewhere = 1 - at_seg
    return {
        "loss_llm": each @ shares(rows, count),
        "llm_at_seg": seen @ at_seg / at_seg.sum().clamp(min=1),
        "llm_elsewhere": seen @ elsewhere / elsewhere.sum().clamp(min=1),
    }
