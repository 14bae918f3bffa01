"""The dimensions of every model size, as plain data.

Sources: the configurations of InternVL3 (InternViT-300M with Qwen2) and of SAM 2.0 Hiera-L; ``tiny`` is this
project's own, for tests and demonstrations without weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class VisionShape:
    """InternViT: pre-norm transformer with layer scale. Lengths in pixels or channels."""

    hidden: int = 1024
    layers: int = 24
    heads: int = 16
    mlp: int = 4096
    tile: int = 448
    patch: int = 14
    eps: float = 1e-6
    qkv_bias: bool = True

    @property
    def tokens_per_tile(self) -> int:
        """Visual tokens of one tile after the pixel shuffle has folded each 2x2 block into one."""
        return (self.tile // self.patch // 2) ** 2


@dataclass(frozen=True)
class LanguageShape:
    """Qwen2. `vocabulary` counts the rows of embedding and head, the new tokens included."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    mlp: int
    vocabulary: int = 151679
    positions: int = 32768
    rope_theta: float = 1e6
    eps: float = 1e-6


@dataclass(frozen=True)
class SamShape:
    """SAM 2: Hiera trunk, feature pyramid of width `width`, prompt encoder and mask decoder."""

    image: int = 1024
    embed: int = 144
    heads: int = 2
    stages: tuple[int, ...] = (2, 6, 36, 4)
    windows: tuple[int, ...] = (8, 4, 16, 8)
    global_blocks: tuple[int, ...] = (23, 33, 43)
    background: tuple[int, int] = (7, 7)
    width: int = 256
    decoder_mlp: int = 2048
    decoder_heads: int = 8
    decoder_downsample: int = 2
    iou_hidden: int = 256
    mask_channels: int = 16
    top_down: tuple[int, ...] = (2, 3)

    @property
    def grid(self) -> int:
        """Side of the mask logits: a quarter of the image's."""
        return self.image // 4

    @property
    def dims(self) -> list[int]:
        """Channels per stage: doubled at each."""
        return [self.embed * 2**stage for stage in range(len(self.stages))]


@dataclass(frozen=True)
class TokenIds:
    """Where the tokens that the model itself looks for stand in the vocabulary."""

    image: int = 151667
    seg: int = 151674
    new: tuple[int, ...] = (151674, 151675, 151676, 151677, 151678)
    """[SEG] <p> </p> <vp> </vp>: what Sa2VA adds to InternVL's vocabulary."""


@dataclass(frozen=True)
class Shape:
    """Everything that is needed to build the modules."""

    vision: VisionShape
    language: LanguageShape
    sam: SamShape
    tokens: TokenIds = field(default_factory=TokenIds)
    max_tiles: int = 12
    template: str = "qwen_chat"


def _real(hidden: int, layers: int, heads: int, kv_heads: int, mlp: int) -> Shape:
    return Shape(VisionShape(), LanguageShape(hidden, layers, heads, kv_heads, mlp), SamShape())


TINY = Shape(
    vision=VisionShape(hidden=48, layers=1, heads=4, mlp=96, tile=56),
    language=LanguageShape(hidden=64, layers=2, heads=4, kv_heads=2, mlp=128, vocabulary=273, positions=2048),
    sam=SamShape(
        image=256,
        embed=32,
        heads=1,
        stages=(1, 1, 2, 1),
        windows=(8, 4, 4, 4),
        global_blocks=(3,),
        width=64,
        decoder_mlp=128,
        iou_hidden=64,
        mask_channels=16,
    ),
    tokens=TokenIds(image=261, seg=268, new=(268, 269, 270, 271, 272)),
    max_tiles=1,
)

SIZES: dict[str, Shape] = {
    "tiny": TINY,
    "1b": _real(896, 24, 14, 2, 4864),
    "2b": _real(1536, 28, 12, 2, 8960),
    "8b": _real(3584, 28, 28, 4, 18944),
    "14b": _real(5120, 48, 40, 8, 13824),
}
