"""The Sa2VA module: image and phrase in, masks out."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from vesselbench import Batch
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.generate import Answered, status_of, write_answers
from vesselbench_sa2va.internvit import exchange_vision
from vesselbench_sa2va.internvl import add_lora, build_internvl
from vesselbench_sa2va.losses import OFFICIAL_EPS, Targets, answer_losses, mask_losses, shrink_masks
from vesselbench_sa2va.lowrank import exchange_lora
from vesselbench_sa2va.prompts import TEMPLATES
from vesselbench_sa2va.qwen2 import exchange_language
from vesselbench_sa2va.rmsnorm import exchange_norms
from vesselbench_sa2va.sam2 import best_mask, build_sam2, decode_masks, encode, refine, to_image_sizes
from vesselbench_sa2va.sizes import Shape
from vesselbench_sa2va.tiling import MEAN, STD
from vesselbench_sa2va.tokenrows import NewEmbedding, NewHead
from vesselbench_sa2va.tokens import IGNORED
from vesselbench_sa2va.trainable import checkpoint_blocks, set_trainable
from vesselbench_sa2va.views import average_views, size_of
from vesselbench_sa2va.windows import TOGETHER, predict_windows


def normalise(pixels: Tensor) -> Tensor:
    """uint8 [N,H,W,3] to float32 [N,3,H,W] with ImageNet's statistics."""
    mean, std = (torch.tensor(values, device=pixels.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    return pixels.permute(0, 3, 1, 2).contiguous().float().div_(255).sub_(mean).div_(std)


class Sa2VAModule(nn.Module):
    """InternVL with LoRA (`vlm`), the step from its states to prompts (`text_hidden_fcs`) and SAM 2 (`sam`).

    Every call runs the same modules in the same order, whatever the batch holds: masks that are empty or absent only
    weigh 0. `inputs` of a batch is what `collate.Collator` makes.
    """

    def __init__(self, shape: Shape, config: Sa2VAConfig, frozen: bool) -> None:
        super().__init__()
        self.shape, self.settings, self.frozen = shape, config, frozen
        official_tokens = frozen and config.lora.tokens == "official"
        self.vlm: Any = add_lora(build_internvl(shape, config.attention), config.lora, copies=official_tokens)
        exchange_lora(self.vlm)
        exchange_norms(self.vlm)
        exchange_vision(self.internvl.model.vision_tower)
        exchange_language(self.internvl.model.language_model)
        hidden = shape.language.hidden
        lean = frozen and not official_tokens
        self.new_embedding = NewEmbedding(shape.tokens.new, hidden) if lean else None
        self.new_head = NewHead(shape.tokens.new, hidden) if lean else None
        self.text_hidden_fcs = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, shape.sam.width))
        self.sam: Any = build_sam2(shape.sam)
        self.tokenizer: Tokenizer | None = None
        """Set when the model writes its answers itself."""
        set_trainable(self, frozen, config)
        if config.checkpointing:
            towers = [] if frozen else [self.internvl.model.vision_tower]
            checkpoint_blocks([self.internvl.model.language_model, *towers])

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Keep SAM's random Fourier frequencies in float32 at least: in bfloat16 their phases are off by 0.1 rad."""
        embeddings = [self.sam.shared_image_embedding, self.sam.prompt_encoder.shared_embedding]
        exact = [part.positional_embedding for part in embeddings]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for part, old in zip(embeddings, exact, strict=True):
            new = part.positional_embedding
            if new.dtype.itemsize < old.dtype.itemsize and not old.is_meta:
                part.positional_embedding = old.to(new.device)
        return self

    @property
    def internvl(self) -> Any:
        """InternVLForConditionalGeneration inside peft's wrapper."""
        return self.vlm.base_model.model

    def feature_networks(self) -> list[nn.Module]:
        """The frozen networks that see nothing but the image; none when they are trained."""
        encoder = self.sam.vision_encoder
        return [self.internvl.model.vision_tower, encoder.backbone, encoder.neck] if self.frozen else []

    @torch.no_grad()
    def features(self, batch: Batch) -> list[dict[str, Tensor]]:
        """What these make of each image of a batch: ``tokens`` [T,tokens,4C] of its tiles, and ``map0`` to ``map2`` as
        `encode` gives them. Other contents need another `VERSION` of vesselbench.training.features: they are kept."""
        inputs = batch.inputs
        tokens = torch.split(self.see(normalise(inputs["tiles"])), inputs["tile_counts"].tolist())
        maps = encode(self.sam, normalise(inputs["images"]), self.frozen)
        named = {f"map{level}": plane for level, plane in enumerate(maps)}
        return [
            {"tokens": part, **{name: plane[number] for name, plane in named.items()}}
            for number, part in enumerate(tokens)
        ]

    def see(self, tiles: Tensor) -> Tensor:
        """Normalised tiles [T,3,t,t] to [T,tokens,4C]: vision tower, pixel shuffle."""
        model = self.internvl.model
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            states = model.vision_tower(pixel_values=tiles).last_hidden_state[:, 1:]
        side = self.shape.vision.tile // self.shape.vision.patch
        folded: Tensor = model.pixel_shuffle(states.reshape(states.shape[0], side, side, -1), scale_factor=0.5)
        return folded.flatten(1, 2)

    def visual_tokens(self, tiles: Tensor) -> Tensor:
        """Normalised tiles [T,3,t,t] to [T,tokens,C]: what is seen, through the projector."""
        return self.project(self.see(tiles))

    def project(self, seen: Tensor) -> Tensor:
        """What `see` gives [T,tokens,4C], through the projector."""
        features: Tensor = self.internvl.model.multi_modal_projector(seen)
        return features

    def embed_tokens(self, ids: Tensor) -> Tensor:
        """Embeddings [B,L,C] of tokens [B,L]."""
        embedded: Tensor = self.internvl.model.language_model.embed_tokens(ids)
        return self.new_embedding(ids, embedded) if self.new_embedding is not None else embedded

    def embed(self, tiles: Tensor, ids: Tensor) -> Tensor:
        """The same with the features of normalised tiles [T,3,t,t] in place of the image tokens, in their order."""
        return self._place(self.visual_tokens(tiles), ids)

    def _place(self, tokens: Tensor, ids: Tensor) -> Tensor:
        embedded = self.embed_tokens(ids)
        features = tokens.to(embedded.dtype)
        return embedded.masked_scatter((ids == self.shape.tokens.image)[..., None], features)

    def language_states(self, tiles: Tensor, ids: Tensor, attention: Tensor) -> Tensor:
        """Last hidden states [B,L,C], after the final norm, of tokens [B,L] and the tiles among them."""
        return self._read(self.visual_tokens(tiles), ids, attention)

    def _read(self, tokens: Tensor, ids: Tensor, attention: Tensor) -> Tensor:
        language = self.internvl.model.language_model
        output = language(inputs_embeds=self._place(tokens, ids), attention_mask=attention, use_cache=False)
        states: Tensor = output.last_hidden_state
        return states

    def token_logits(self, states: Tensor) -> Tensor:
        """Logits [M,vocabulary] of states [M,C]."""
        logits: Tensor = self.internvl.lm_head(states)
        return self.new_head(states, logits) if self.new_head is not None else logits

    def prompt_masks(self, images: Tensor, states: Tensor, seg: Tensor) -> tuple[Tensor, Tensor]:
        """Candidates [N,K,h,w] and their predicted IoU [N,K] of N objects; K is 3, or 1 with ``masks: single``.

        images: normalised [B,3,S,S]; states [B,L,C]; seg [N,3]: image, place in the text, and number of the object
        within its image. Objects run along the decoder's own axis: an image is encoded once whatever their number.
        """
        return self._draw(encode(self.sam, images, self.frozen), states, seg)

    def _draw(self, maps: list[Tensor], states: Tensor, seg: Tensor) -> tuple[Tensor, Tensor]:
        image, place, slot = seg.unbind(1)
        prompts, single = self.text_hidden_fcs(states[image, place]), self.settings.masks == "single"
        maps, images, slots = refine(self.sam, maps, self.frozen), len(maps[0]), int(slot.max()) + 1
        if slots == 1 and torch.equal(image, torch.arange(images, device=image.device)):  # nothing to sort
            logits, iou = decode_masks(self.sam, maps, prompts[:, None], single)
            return logits[:, 0], iou[:, 0]
        table = prompts.new_zeros(images, slots, prompts.shape[1]).index_put((image, slot), prompts)
        logits, iou = decode_masks(self.sam, maps, table, single)
        return logits[image, slot], iou[image, slot]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """``loss``; detached, its weighted parts (mask, dice, iou, llm) and llm at [SEG] and elsewhere (nat/token).

        With `features` in the inputs, which `features` has made of the same images, the frozen networks are not run.
        """
        inputs = batch.inputs
        text = inputs["text"]
        seen, maps = self._images(inputs)
        states = self._read(self.project(seen), text["ids"], text["attention"])
        logits, iou = self._draw(maps, states, text["seg"])
        content = inputs["placed"][text["seg"][:, 0]].flip(1).float() / self.shape.sam.image
        seeds, images = inputs["seeds"], text["seg"][:, 0]
        targets = Targets(inputs["masks"], inputs["present"], content, images, seeds)
        if self.settings.loss_target == "official":
            shrunk = shrink_masks(inputs["masks"], content, self.shape.sam.grid)
            targets = Targets(shrunk, inputs["present"], content, images, seeds, OFFICIAL_EPS)
        labels = text["labels"][:, 1:]
        rows, places = (labels != IGNORED).nonzero(as_tuple=True)
        parts = mask_losses(logits, iou, targets, self.settings.loss)
        answers = self.token_logits(states[rows, places]), labels[rows, places], rows
        parts |= answer_losses(*answers, len(labels), self.shape.tokens.seg)
        parts["loss_llm"] = self.settings.loss.llm * parts["loss_llm"]
        total = torch.stack([value for name, value in parts.items() if name.startswith("loss_")]).sum()
        return {"loss": total} | {name: value.detach() for name, value in parts.items()}

    def _images(self, inputs: dict[str, Any]) -> tuple[Tensor, list[Tensor]]:
        """What `see` makes of the tiles and `encode` of the images: computed, or as it was kept."""
        kept = inputs.get("features")
        if kept is None:
            return self.see(normalise(inputs["tiles"])), encode(self.sam, normalise(inputs["images"]), self.frozen)
        maps = [torch.stack([one[f"map{level}"] for one in kept]) for level in range(len(kept[0]) - 1)]
        return torch.cat([one["tokens"] for one in kept]), maps

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Tensor] | list[Answered]:
        """Probability [H,W] per sample; with ``answer: generated`` also the answer's text and status.

        The prompt is the state of [SEG] in the answer, which is forced by the collator or written by the model.
        """
        inputs, text = batch.inputs, batch.inputs["text"]
        if "windows" in inputs:
            return self._views(inputs, batch.sizes)
        tiles, images = normalise(inputs["tiles"]), normalise(inputs["images"])
        if self.tokenizer is None:
            states = self.language_states(tiles, text["ids"], text["attention"])
            return self._probabilities(images, states, text["seg"], inputs["placed"], batch.sizes)
        end = self.tokenizer.encode(TEMPLATES[self.shape.template].end, add_special_tokens=False).ids
        written = write_answers(self, tiles, text, self.settings.answer_tokens, end[0])
        rows = torch.arange(len(batch.ids), device=images.device)
        seg = torch.stack([rows, written.seg, torch.zeros_like(rows)], 1)
        maps = self._probabilities(images, written.states, seg, inputs["placed"], batch.sizes)
        answers = []
        for row, (count, length) in enumerate(zip(written.count.tolist(), written.length.tolist(), strict=True)):
            answer = self.tokenizer.decode(written.tokens[row, :length].tolist(), skip_special_tokens=False)
            answers.append(Answered(maps[row] * bool(count), answer, status_of(count)))
        return answers

    def _views(self, inputs: dict[str, Any], sizes: list[tuple[int, int]]) -> list[Tensor]:
        """Probabilities of images of these sizes from all their views and windows."""
        views = self.settings.views
        seen = [size_of(size, view) for size in sizes for view in range(views)]
        together = TOGETHER if self.settings.window is not None else len(sizes)
        return average_views(predict_windows(inputs, seen, self._maps, together), views)

    def _maps(self, inputs: dict[str, Any], sizes: list[tuple[int, int]]) -> list[Tensor]:
        """Probabilities, by forced answers, of images of these sizes."""
        text = inputs["text"]
        states = self.language_states(normalise(inputs["tiles"]), text["ids"], text["attention"])
        return self._probabilities(normalise(inputs["images"]), states, text["seg"], inputs["placed"], sizes)

    def _probabilities(
        self, images: Tensor, states: Tensor, seg: Tensor, placed: Tensor, sizes: list[tuple[int, int]]
    ) -> list[Tensor]:
        logits, iou = self.prompt_masks(images, states, seg)
        chosen = best_mask(logits.float(), iou.float())
        full = to_image_sizes(chosen, self.shape.sam.image, placed.tolist(), sizes)
        return [part.sigmoid() for part in full]
