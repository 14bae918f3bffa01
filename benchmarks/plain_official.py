"""The official training forward once more, from the parity tests' independent reference: no modules, no wrappers.

That reference gives the official code's own numbers to the bit. Wrappers apart it does what the official code does, so
that it is the faster one of the two official sides that the plugin is timed against.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.official_arrangement import OBJECTS, OfficialModule
from tests.parity.reference.decoder import decode
from tests.parity.reference.internvl import language_states, vision_states, visual_tokens
from tests.parity.reference.model import SAM, chosen
from tests.parity.reference.sam2 import image_maps
from tests.parity.reference.training import EPS, at_points, draw_points, losses
from tests.parity.reference.weights import Weights
from vesselbench import Batch
from vesselbench_sa2va.merged import merged_names
from vesselbench_sa2va.model import normalise
from vesselbench_sa2va.names import official_keys, plain
from vesselbench_sa2va.sizes import Shape
from vesselbench_sa2va.tokens import IGNORED

EMBEDDING, HEAD = "language_model.model.embed_tokens.weight", "language_model.lm_head.weight"


class PlainOfficial:
    """Copies of an OfficialModule's weights under official names; `loss` computes what that one's does."""

    def __init__(self, module: OfficialModule) -> None:
        settings = module.settings
        self.config = reference_config(module.shape) | {"losses": loss_config(module)}
        tensors = _official_weights(module)
        for name, tensor in tensors.items():
            trained = name.startswith(("mlp1.", "text_hidden_fcs.", f"{SAM}.sam_mask_decoder.")) or ".lora_" in name
            copies = settings.lora.tokens == "official" and name in (EMBEDDING, HEAD)
            tensor.requires_grad_(trained or copies)
        self.w = Weights(tensors, scaling=settings.lora.alpha / settings.lora.r)

    def parameters(self) -> list[Tensor]:
        """Everything; what is trained requires gradients."""
        return list(self.w.tensors.values())

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """As `OfficialModule.loss`."""
        inputs, text, w, config = batch.inputs, batch.inputs["text"], self.w, self.config
        vision = vision_states(w.at("vision_model"), config["vision_config"], normalise(inputs["tiles"]))
        language, ids = w.at("language_model", "model"), text["ids"]
        embedded = language["embed_tokens.weight"][ids].clone()
        embedded[ids == config["tokens"]["img_context"]] = visual_tokens(w.at("mlp1"), vision).flatten(0, 1)
        places = torch.arange(ids.shape[1])[None]
        states = language_states(language, config["llm_config"], embedded, text["attention"], places, torch.float32)
        logits = w.at("language_model", "lm_head").linear(states[-1])[:, :-1]
        llm = F.cross_entropy(logits.flatten(0, 1), text["labels"][:, 1:].flatten(), ignore_index=IGNORED)
        fcs = w.at("text_hidden_fcs")
        prompts = fcs.at("2").linear(F.relu(fcs.at("0").linear(states[-1])))[ids == config["tokens"]["seg"]]
        masks = self._masks(normalise(inputs["images"]), prompts.repeat_interleave(OBJECTS, 0))
        size = tuple(masks.shape[-2:])
        small = torch.cat([F.interpolate(mask[None, None].float(), size, mode="nearest") for mask in inputs["masks"]])
        with torch.no_grad():
            points = draw_points(masks, config["losses"])
            targets = at_points(small[:, 0].repeat_interleave(OBJECTS, 0), points)
        entropy, dice = losses(at_points(masks, points), targets, config["losses"], EPS)
        return {"loss": entropy + dice + llm}

    def _masks(self, images: Tensor, prompts: Tensor) -> Tensor:
        sam, config = self.w.at(SAM), self.config["sam2_config"]
        maps = image_maps(sam.at("image_encoder"), config, images, torch.float32)
        decoder = sam.at("sam_mask_decoder")
        maps = [decoder.at("conv_s0").conv(maps[0]), decoder.at("conv_s1").conv(maps[1]), maps[2]]
        return chosen(decode(sam, config, [part.repeat_interleave(OBJECTS, 0) for part in maps], prompts))


def _official_weights(module: OfficialModule) -> dict[str, Tensor]:
    """Copies under official keys, LoRA factors under those that the reference looks for."""
    names, found = merged_names(module), {}
    state = module.state_dict()
    for key, entries in official_keys(names).items():
        parts = [state[names[name]].chunk(count)[index] for name, index, count in entries]
        found[key] = (torch.cat(parts) if len(parts) > 1 else parts[0]).clone()
    factors = {name: tensor for name, tensor in state.items() if ".lora_" in name}
    for name, tensor in factors.items():
        found[plain(name).replace("vlm.model.language_model.", "language_model.model.")] = tensor.clone()
    return found


def reference_config(shape: Shape) -> dict[str, Any]:
    """A shape in the words of config.json."""
    vision, language, sam = shape.vision, shape.language, shape.sam
    return {
        "tokens": {"seg": shape.tokens.seg, "img_context": shape.tokens.image},
        "vision_config": {
            "patch_size": vision.patch,
            "layer_norm_eps": vision.eps,
            "num_hidden_layers": vision.layers,
            "num_attention_heads": vision.heads,
        },
        "llm_config": {
            "hidden_size": language.hidden,
            "num_attention_heads": language.heads,
            "num_key_value_heads": language.kv_heads,
            "num_hidden_layers": language.layers,
            "rope_theta": language.rope_theta,
            "rms_norm_eps": language.eps,
        },
        "sam2_config": {
            "stages": sam.stages,
            "window_spec": sam.windows,
            "global_att_blocks": sam.global_blocks,
            "num_heads": sam.heads,
            "patch_stride": 4,
            "fpn_top_down_levels": sam.top_down,
            "num_heads_decoder": sam.decoder_heads,
        },
    }


def loss_config(module: OfficialModule) -> dict[str, Any]:
    """The weights of the losses and the drawing of points, likewise."""
    loss = module.settings.loss
    return {
        "mask_weight": loss.mask,
        "dice_weight": loss.dice,
        "dice_eps": 1.0,
        "num_points": loss.points,
        "oversample_ratio": loss.oversample,
        "importance_sample_ratio": loss.uncertain,
    }
