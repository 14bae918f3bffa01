"""The whole model: from the inputs of a fixture to everything that a fixture expects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.parity.reference.decoder import Decoded, decode
from tests.parity.reference.internvl import language_states, vision_states, visual_tokens
from tests.parity.reference.sam2 import image_maps
from tests.parity.reference.training import EPS, at_points, losses, repeated
from tests.parity.reference.weights import Weights

SAM = "grounding_encoder.sam2_model"
IGNORED = -100


@dataclass(frozen=True)
class Reference:
    """A fixture's model and inputs, in the dtype of its tensors.

    `inner` is the precision inside norms, rotations and softmax of the language model and of the pyramid's enlarging:
    float32 in the official code whatever the rest is in; float64 makes the numbers exact.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    inputs: dict[str, Tensor]
    inner: torch.dtype = torch.float32
    scaling: float = 0.0

    @property
    def dtype(self) -> torch.dtype:
        return self.tensors["text_hidden_fcs.0.weight"].dtype

    @property
    def w(self) -> Weights:
        return Weights(self.tensors, scaling=self.scaling)

    @property
    def samples(self) -> int:
        return len(self.inputs["input_ids"])

    @cached_property
    def vision(self) -> Tensor:
        tiles = torch.cat([self.inputs[f"pixel_values.{i}"] for i in range(self.samples)]).to(self.dtype)
        return vision_states(self.w.at("vision_model"), self.config["vision_config"], tiles)

    @cached_property
    def features(self) -> Tensor:
        return visual_tokens(self.w.at("mlp1"), self.vision)

    @cached_property
    def states(self) -> Tensor:
        """Last hidden states: the image's features stand in place of the image tokens, in their order."""
        ids, language = self.inputs["input_ids"], self.w.at("language_model", "model")
        embedded = language["embed_tokens.weight"][ids].clone()
        embedded[ids == self.config["tokens"]["img_context"]] = self.features.flatten(0, 1)
        mask, positions = self.inputs["attention_mask"], self.inputs["position_ids"]
        return language_states(language, self.config["llm_config"], embedded, mask, positions, self.inner)[-1]

    @cached_property
    def logits(self) -> Tensor:
        return self.w.at("language_model", "lm_head").linear(self.states)

    @cached_property
    def llm_loss(self) -> Tensor:
        labels = self.inputs["labels"][:, 1:].flatten()
        return F.cross_entropy(self.logits[:, :-1].flatten(0, 1), labels, ignore_index=IGNORED)

    @cached_property
    def sample_of(self) -> Tensor:
        """Which sample each [SEG] belongs to."""
        return (self.inputs["input_ids"] == self.config["tokens"]["seg"]).nonzero()[:, 0]

    @cached_property
    def seg_hidden(self) -> Tensor:
        return self.states[self.inputs["input_ids"] == self.config["tokens"]["seg"]]

    @cached_property
    def embedding(self) -> Tensor:
        """text_hidden_fcs at [SEG]."""
        part = self.w.at("text_hidden_fcs")
        return part.at("2").linear(F.relu(part.at("0").linear(self.seg_hidden)))

    @cached_property
    def maps(self) -> list[Tensor]:
        """The upper two as the mask decoder's convolutions leave them, the lowest without the no-memory embedding."""
        sam = self.w.at(SAM)
        pixels = self.inputs["grounding_pixel_values"].to(self.dtype)
        maps = image_maps(sam.at("image_encoder"), self.config["sam2_config"], pixels, self.inner)
        decoder = sam.at("sam_mask_decoder")
        return [decoder.at("conv_s0").conv(maps[0]), decoder.at("conv_s1").conv(maps[1]), maps[2]]

    def decode(self, rows: Tensor) -> Decoded:
        """The objects `rows`, each with its own copy of its image's maps."""
        maps = [part[self.sample_of[rows]] for part in self.maps]
        return decode(self.w.at(SAM), self.config["sam2_config"], maps, self.embedding[rows])

    @cached_property
    def decoded(self) -> Decoded:
        return self.decode(torch.arange(len(self.sample_of)))

    @cached_property
    def rows(self) -> Tensor:
        """The objects that take part in training: of every sample as many, by repetition."""
        count = self.config["losses"]["fix_number"]
        own = [(self.sample_of == sample).nonzero()[:, 0].tolist() for sample in range(self.samples)]
        return torch.tensor([row for rows in own for row in repeated(rows, count)])

    @cached_property
    def trained(self) -> Tensor:
        """Their masks [N,h,w], those with the largest score."""
        return chosen(self.decode(self.rows))

    @cached_property
    def targets(self) -> Tensor:
        """[N,h,w]: every mask by its nearest pixels on the grid of the logits."""
        masks = [mask for i in range(self.samples) for mask in self.inputs[f"gt_masks.{i}"]]
        size = tuple(self.trained.shape[-2:])
        small = [F.interpolate(mask[None, None].to(self.dtype), size, mode="nearest")[0, 0] for mask in masks]
        return torch.stack([small[row] for row in self.rows.tolist()])

    def losses(self, points: Tensor) -> dict[str, Tensor]:
        """The training step on given points [N,P,2]."""
        points = points.to(self.dtype)
        logits, targets = at_points(self.trained, points), at_points(self.targets, points)
        mask, dice = losses(logits, targets, self.config["losses"], EPS)
        named = {"loss_mask": mask, "loss_dice": dice, "llm_loss": self.llm_loss}
        return named | {"loss_total": sum(named.values()), "point_logits": logits, "point_targets": targets}

    def dense_losses(self) -> dict[str, Tensor]:
        """The same on all cells of the grid."""
        mask, dice = losses(self.trained.flatten(1), self.targets.flatten(1), self.config["losses"], 0.0)
        return {"loss_mask": mask, "loss_dice": dice, "llm_loss": self.llm_loss}

    def final_masks(self) -> dict[str, Tensor]:
        """The chosen masks at SAM's side, then at that of each image, with two interpolations."""
        side = self.config["sam2_config"]["image_size"]
        square = _enlarged(chosen(self.decoded)[:, None], (side, side))
        found = {"sam.video_res_mask": square}
        for sample in range(self.samples):
            size = tuple(self.inputs[f"gt_masks.{sample}"].shape[-2:])
            logits = _enlarged(square[self.sample_of == sample], size)[:, 0]
            found[f"final_mask_logits.{sample}"] = logits
            found[f"final_mask.{sample}"] = (logits.sigmoid() > 0.5).to(torch.uint8)
        return found

    def stages(self) -> dict[str, Tensor]:
        """Every stage of a prediction under the name that fixtures have for it."""
        found = {
            "vit_last_hidden_state": self.vision,
            "vision_features": self.features,
            "logits": self.logits,
            "llm_loss": self.llm_loss[None],
            "last_hidden_state": self.states,
            "seg_counts": self.sample_of.bincount(minlength=self.samples),
            "seg_hidden": self.seg_hidden,
            "seg_embedding": self.embedding,
            "sam.low_res_multimasks": self.decoded.masks,
            "sam.iou_scores": self.decoded.iou,
            "sam.low_res_mask": chosen(self.decoded)[:, None],
            "sam.object_score_logits": self.decoded.score,
        }
        return found | {f"sam.fpn{level}": part for level, part in enumerate(self.maps)} | self.final_masks()


def chosen(decoded: Decoded) -> Tensor:
    """Of each object's candidates the one with the largest score."""
    return decoded.masks[torch.arange(len(decoded.iou)), decoded.iou.argmax(1)]


def _enlarged(masks: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(masks, size, mode="bilinear", align_corners=False)
