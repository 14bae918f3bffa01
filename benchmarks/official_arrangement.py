"""The official training forward of Sa2VA, arranged as its authors do: only to be timed beside the plugin's own.

Per image exactly 5 objects, by repetition, each with its own copy of the image's features; logits over the vocabulary
at every position; the hidden states of all layers; text_hidden_fcs over all tokens; eager attention in InternVL;
targets by nearest resizing, the chosen one of three candidates learns. The official configuration also computes the
blocks of the language model a second time in the backward pass (gradient checkpointing), which is timed apart: it
trades time for memory on purpose. InternViT, Qwen2, SAM 2 and LoRA are transformers' and peft's own here. transformers
5.23 computes in every block of SAM's encoder an attention matrix over the heads that nobody reads, which the official
code does not; `plain_official` has none of it. Not done here: the optimizer step, bfloat16, the term of weight 0 that
keeps a graph without masks connected, and the dropout of LoRA, none of which either side has in this comparison.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from peft.tuners.lora import Linear
from torch import Tensor
from transformers import Sam2Model

from vesselbench import Batch
from vesselbench_sa2va.config import LossSettings, Sa2VAConfig
from vesselbench_sa2va.internvit import VisionLayer, VisionTower
from vesselbench_sa2va.losses import OFFICIAL_EPS, point_losses, sample_map
from vesselbench_sa2va.lowrank import LoraLinear
from vesselbench_sa2va.model import Sa2VAModule, normalise
from vesselbench_sa2va.qwen2 import Language, LanguageLayer
from vesselbench_sa2va.rmsnorm import RMSNorm
from vesselbench_sa2va.sam2 import best_mask, sam2_config
from vesselbench_sa2va.sizes import LanguageShape, SamShape, Shape, TokenIds, VisionShape
from vesselbench_sa2va.tokens import IGNORED

OBJECTS = 5
SIZES = {
    "tiny-a": Shape(
        VisionShape(hidden=64, layers=2, heads=4, mlp=160, tile=112),
        LanguageShape(hidden=64, layers=2, heads=4, kv_heads=2, mlp=144, vocabulary=320, positions=2048),
        SamShape(128, 8, 1, (1, 2, 3, 2), (8, 4, 4, 2), (4, 7), width=128, decoder_mlp=96, iou_hidden=48),
        TokenIds(image=5, seg=6, new=(6, 7, 8, 9, 10)),
    ),
    "middle": Shape(
        VisionShape(hidden=128, layers=4, heads=4, mlp=512),
        LanguageShape(hidden=256, layers=4, heads=4, kv_heads=2, mlp=1024),
        SamShape(512, 48, 1, (1, 2, 7, 2), (8, 4, 14, 7), (5, 7, 9)),
    ),
}
"""tiny-a: dimensions of the parity fixture of that name. middle: 4 language layers of 256 over the real vocabulary."""


class OfficialModule(Sa2VAModule):
    """transformers' modules as they come, in the official arrangement; computes the same losses on the same weights."""

    def __init__(self, shape: Shape, config: Sa2VAConfig, frozen: bool) -> None:
        super().__init__(shape, config, frozen)
        for layer in self.vlm.modules():
            if isinstance(layer, LoraLinear):
                layer.__class__ = Linear
            if isinstance(layer, RMSNorm | VisionTower | VisionLayer | Language | LanguageLayer):
                layer.__class__ = type(layer).__base__
        sam = Sam2Model(sam2_config(shape.sam))
        sam.load_state_dict(self.sam.state_dict())
        for new, own in zip(sam.parameters(), self.sam.parameters(), strict=True):
            new.requires_grad_(own.requires_grad)
        self.sam = sam

    def candidates(self, images: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N,3,h,w] and predicted IoU [N,3]: every prompt [N,width] with its own copy of its image's maps."""
        sam, count = self.sam, len(prompts)
        with torch.no_grad():
            maps = list(sam.vision_encoder(images, return_dict=True).fpn_hidden_states)
        maps[0], maps[1] = sam.mask_decoder.conv_s0(maps[0]), sam.mask_decoder.conv_s1(maps[1])
        fine, middle, coarse = (part.repeat_interleave(count // len(images), 0) for part in maps)
        labels = -torch.ones(count, 1, 1, dtype=torch.int32)
        sparse, dense = sam.prompt_encoder(torch.zeros(count, 1, 1, 2), labels, None, None)
        masks, iou, _, _ = sam.mask_decoder(
            image_embeddings=coarse + sam.no_memory_embedding.reshape(1, -1, 1, 1),
            image_positional_embeddings=sam.get_image_wide_positional_embeddings().repeat(count, 1, 1, 1),
            sparse_prompt_embeddings=torch.cat([sparse, prompts[:, None, None]], dim=2),
            dense_prompt_embeddings=dense,
            multimask_output=True,
            high_resolution_features=[fine, middle],
        )
        return masks[:, 0], iou[:, 0]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """As `Sa2VAModule.loss`, one object per image in the batch."""
        inputs, text = batch.inputs, batch.inputs["text"]
        embedded = self.embed(normalise(inputs["tiles"]), text["ids"])
        output = self.internvl.model.language_model(
            inputs_embeds=embedded, attention_mask=text["attention"], use_cache=False, output_hidden_states=True
        )
        states = output.hidden_states[-1]
        flat = states.flatten(0, 1)
        logits = self.token_logits(flat).float().view(*states.shape[:2], -1)[:, :-1]
        llm = F.cross_entropy(logits.flatten(0, 1), text["labels"][:, 1:].flatten(), ignore_index=IGNORED)
        image, place, _ = text["seg"].unbind(1)
        prompts = self.text_hidden_fcs(states)[image, place].repeat_interleave(OBJECTS, 0)
        chosen = best_mask(*self.candidates(normalise(inputs["images"]), prompts)).float()
        grid = self.shape.sam.grid
        small = [F.interpolate(mask[None, None].float(), (grid, grid), mode="nearest") for mask in inputs["masks"]]
        entropy, dice = official_losses(
            chosen, torch.cat(small)[:, 0].repeat_interleave(OBJECTS, 0), self.settings.loss
        )
        return {"loss": entropy + dice + llm}


def official_losses(logits: Tensor, masks: Tensor, settings: LossSettings) -> tuple[Tensor, Tensor]:
    """Cross-entropy and dice of masks [N,h,w] on points, the uncertain ones in order of uncertainty."""
    uniform = torch.rand(len(logits), int(settings.oversample * settings.points), 2)
    kept = int(settings.uncertain * settings.points)
    with torch.no_grad():
        drawn = sample_map(logits[:, None], uniform)[:, 0]
        index = (-drawn.abs()).topk(kept, dim=1).indices
        fresh = torch.rand(len(logits), settings.points - kept, 2)
        points = torch.cat([uniform.gather(1, index[..., None].expand(-1, -1, 2)), fresh], dim=1)
        targets = sample_map(masks[:, None], points)[:, 0]
    entropy, dice = point_losses(sample_map(logits[:, None], points)[:, 0], targets, OFFICIAL_EPS)
    return settings.mask * entropy.mean(), settings.dice * dice.mean()


def make_module(size: str, arrangement: str, tokens: str = "lean") -> Sa2VAModule:
    """A frozen model with LoRA of rank 16 and random weights: `arrangement` is default, official or checkpointed, the
    official one that computes the language model's blocks twice."""
    official = arrangement != "default"
    loss = {"candidates": "chosen", "iou": 0.0} if official else {}
    lora = {"r": 16, "dropout": 0.0, "tokens": tokens}
    attention = "eager" if official else "sdpa"
    again = arrangement == "checkpointed"
    config = Sa2VAConfig(lora=lora, loss=loss, freeze="official", attention=attention, checkpointing=again)
    torch.manual_seed(0)
    return (OfficialModule if official else Sa2VAModule)(SIZES[size], config, frozen=True).train()


def make_batch(size: str, tiles: int) -> Batch:
    """One image of SAM's size with one object, cut into `tiles` tiles, a question of 24 tokens and an answer of 6."""
    shape, generator = SIZES[size], torch.Generator().manual_seed(0)
    side, tile = shape.sam.image, shape.vision.tile
    words = torch.randint(20, 300, (30,), generator=generator).tolist()
    answer = [*words[24:27], shape.tokens.seg, *words[27:]]
    ids = torch.tensor([*[shape.tokens.image] * (tiles * shape.vision.tokens_per_tile), *words[:24], *answer])
    labels = torch.where(torch.arange(len(ids)) >= len(ids) - len(answer), ids, IGNORED)
    mask = (torch.arange(side)[:, None] - torch.arange(side)[None]).abs() < 4
    return Batch(
        ["a"],
        [(side, side)],
        {
            "tiles": torch.randint(0, 256, (tiles, tile, tile, 3), generator=generator, dtype=torch.uint8),
            "images": torch.randint(0, 256, (1, side, side, 3), generator=generator, dtype=torch.uint8),
            "placed": torch.tensor([[side, side]]),
            "masks": [mask.to(torch.uint8)],
            "present": torch.tensor([True]),
            "seeds": torch.tensor([0]),
            "text": {
                "ids": ids[None],
                "labels": labels[None],
                "attention": torch.ones_like(ids)[None],
                "seg": torch.tensor([[0, len(ids) - 4, 0]]),
            },
        },
    )
