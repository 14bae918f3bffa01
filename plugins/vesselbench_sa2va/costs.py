"""What one training sample of a real size costs, by arithmetic: nothing of that size need be built."""

from __future__ import annotations

from collections.abc import Mapping

from vesselbench.types import Costs
from vesselbench_sa2va.config import Sa2VAConfig
from vesselbench_sa2va.sizes import Shape

TEXT = 64
"""Tokens of question and answer, rounded up."""
LEARNED = 16
"""Tokens of the answer that the language model's loss reads; only for these are logits computed."""


def costs_of(config: Sa2VAConfig, shape: Shape, parts: Mapping[str, tuple[int, int]]) -> Costs:
    """FLOPs: 2 per parameter and token, and 4 L^2 C per attention layer (Kaplan et al. 2020, table 1). A frozen matrix
    has in its backward pass the gradient of its input alone, as many FLOPs as forward; a trained one twice as many, but
    for those that read what a frozen network made: the gradient of their weights alone.

    At small sizes tests/unit/sa2va/test_costs.py holds both passes to the count of what torch computes.
    """
    tiles = config.max_tiles or shape.max_tiles
    tiles += tiles > 1
    tokens = tiles * shape.vision.tokens_per_tile + TEXT
    language, head = parts["language model"][0], shape.language.vocabulary * shape.language.hidden
    attention = 4 * tokens**2 * shape.language.hidden * shape.language.layers
    blocks, adapters = 2.0 * language * tokens + attention, 2.0 * parts["lora"][0] * tokens
    seen, logits = 2.0 * tiles * shape.vision.tokens_per_tile, 2.0 * head * LEARNED
    projector = parts["projector"][0] * seen
    decoder, unasked = _decoder(config, shape)
    encoders = _vision(shape) * tiles + _trunk(shape)
    forward = blocks + adapters + projector + logits + decoder + encoders
    frozen = config.frozen
    unasked += 4 * shape.vision.hidden * shape.language.hidden * seen  # the projector's first matrix
    unasked += 0 if config.lora.tokens == "official" else logits  # the head learns only as a copy
    learned = attention + 2 * (adapters + projector + logits + decoder) - unasked
    backward = blocks + learned if frozen else 2 * forward
    total = sum(count for count, _ in parts.values())
    copied = parts["embedding and head"][0] if frozen and config.lora.tokens == "official" else 0
    gathered = total - copied  # the originals of trained copies are never called
    towers = parts["vision tower"][0] + parts["sam encoder"][0] if frozen else 0
    kept, in_checkpoints = _kept(config, shape, tokens)
    many = "tile" if tiles == 1 else "tiles"
    return Costs(
        flops_forward=forward,
        flops_backward=backward,
        flops_again=blocks + adapters,
        activation_bytes=kept,
        checkpointed_bytes=in_checkpoints,
        logit_bytes=LEARNED * shape.language.vocabulary * 10,
        working_bytes=20 * shape.sam.grid**2 * shape.sam.embed,
        gathered_forward=gathered,
        gathered_backward=gathered - towers,
        basis=f"by arithmetic, {tokens} tokens of {tiles} {many} and SAM at {shape.sam.image} pixels per sample",
    )


def _kept(config: Sa2VAConfig, shape: Shape, tokens: int) -> tuple[int, int]:
    """Bytes kept for backward, without and with checkpointing (then: the blocks' inputs, and one block in full).

    Per token of a Qwen2 block: 8 vectors of the hidden size and keys and values in 2 bytes, 2 vectors of the norms in
    4, 4 of the MLP's size in 2; LoRA keeps a dropped copy (2 bytes and a mask of 1) of each of its 7 inputs.
    """
    language = shape.language
    narrow = language.hidden * language.kv_heads // language.heads
    block = 2 * (8 * language.hidden + 2 * narrow + 4 * language.mlp) + 8 * language.hidden
    block += (3 if config.lora.dropout else 0) * (6 * language.hidden + language.mlp)
    decoder = 34 * 2 * (shape.sam.image // 16) ** 2 * shape.sam.width + 8 * shape.sam.grid**2 * shape.sam.width
    rest = decoder if config.frozen else decoder + _kept_by_encoders(config, shape)
    inputs = 2 * tokens * language.hidden * language.layers
    return tokens * block * language.layers + rest, inputs + tokens * block + rest


def _kept_by_encoders(config: Sa2VAConfig, shape: Shape) -> int:
    """34 bytes per channel, token and block (Korthikanti et al. 2022, equation 2, without the attention matrix)."""
    tiles = config.max_tiles or shape.max_tiles
    patches = (shape.vision.tile // shape.vision.patch) ** 2 + 1
    vision = 34 * (tiles + (tiles > 1)) * patches * shape.vision.hidden * shape.vision.layers
    stages = enumerate(zip(shape.sam.dims, shape.sam.stages, strict=True))
    trunk: int = sum(34 * (shape.sam.grid // 2**stage) ** 2 * width * blocks for stage, (width, blocks) in stages)
    return vision + trunk


def _vision(shape: Shape) -> float:
    """Of one tile."""
    vision = shape.vision
    patches = (vision.tile // vision.patch) ** 2 + 1
    matrices = 4 * vision.hidden**2 + 2 * vision.hidden * vision.mlp
    return vision.layers * (2.0 * matrices * patches + 4 * patches**2 * vision.hidden)


def _decoder(config: Sa2VAConfig, shape: Shape) -> tuple[float, float]:
    """Forward FLOPs of the mask decoder for one object, and what its backward pass leaves out of twice as many when the
    encoder is frozen: gradients of the maps that it reads. The heads of single tokens are left out: they are nothing.

    Of its two blocks and the attention at the end, keys and values (or queries and results) stand at every place of the
    image, the rest at the few tokens. `places` are those of the lowest map; the upper maps have 4 and 16 times as many.
    """
    sam, blocks, tokens = shape.sam, 2, 9  # object, IoU, 4 masks, two of no point, the prompt
    places, width = (sam.image // 16) ** 2, sam.width
    attention = width * (width // sam.decoder_downsample)  # one of the four matrices of a cross-attention
    upper = sam.dims[:2] if config.frozen else (width, width)  # frozen, the pyramid is multiplied into its readers
    readers = 16 * upper[0] * width // 8 + 4 * upper[1] * width // 4
    upscaling = width**2 + width**2 // 2
    masks = 16 * (1 if config.masks == "single" else 3) * width // 8
    matrices = attention * (4 * blocks + 2)
    products = 2 * tokens * (width // sam.decoder_downsample) * (2 * blocks + 1)
    each = blocks * (4 * width**2 + 4 * attention + 2 * width * sam.decoder_mlp) + 2 * attention
    total = 2.0 * places * (readers + upscaling + masks + matrices + products) + 2.0 * tokens * each
    return total, 2.0 * places * (readers + 3 * attention)


def _trunk(shape: Shape) -> float:
    """SAM's encoder: 12 C^2 parameters per block, and attention inside windows or, in the global blocks, everywhere."""
    total, number = 0.0, 0
    for stage, (width, blocks) in enumerate(zip(shape.sam.dims, shape.sam.stages, strict=True)):
        places = (shape.sam.grid // 2**stage) ** 2
        for _ in range(blocks):
            seen = places if number in shape.sam.global_blocks else shape.sam.windows[stage] ** 2
            attending = places if number in shape.sam.global_blocks else _whole_windows(shape, stage)
            total += (8.0 * attending + 16.0 * places) * width**2 + 4.0 * attending * seen * width
            number += 1
    return total


def _whole_windows(shape: Shape, stage: int) -> int:
    """Places of a stage, padded to whole windows."""
    side, window = shape.sam.grid // 2**stage, shape.sam.windows[stage]
    whole: int = -(-side // window) * window
    return whole * whole
