"""The random changes of training examples: the same keys, and by the same code, for every model."""

from __future__ import annotations

from pydantic import Field

from vesselbench.config.base import Settings


class AugmentConfig(Settings):
    """Random changes of training examples, the same for every model; seeded by (seed, epoch, sample)."""

    crop: int | None = Field(default=None, ge=1)
    """Side of a random square crop in pixels, around a pixel of the field of view where there is one; a side of the
    image that is shorter stays whole. None: no crop."""
    flip: bool = True
    """Mirror left-right and top-bottom, each with probability one half."""
    rotate: bool = True
    """Rotate by a random multiple of 90 degrees."""
    angle: float = Field(default=0.0, ge=0, le=45)
    """Largest further rotation in degrees, to either side. Beyond its borders the image goes on mirrored. Masks are
    resampled bilinearly and cut at one half: nearest pixels would break one vessel in twenty of 2 pixels' width."""
    scale: float = Field(default=0.0, ge=0, le=1)
    """Largest relative change of size: enlarged or shrunk by a factor up to 1 + scale."""
    brightness: float = Field(default=0.1, ge=0, le=1)
    """Largest shift of the grey values, as a share of the full range."""
    contrast: float = Field(default=0.2, ge=0, lt=1)
    """Largest relative change of contrast around the image's mean."""
    gamma: float = Field(default=0.0, ge=0, le=2)
    """Grey values in [0, 1] are raised to a power between 1 / (1 + gamma) and 1 + gamma."""
    blur: float = Field(default=0.0, ge=0, le=5)
    """Largest deviation in pixels of a Gaussian blur; vessels of one or two pixels do not survive much of it."""
    noise: float = Field(default=0.0, ge=0, le=0.5)
    """Largest deviation of Gaussian noise, as a share of the full range."""
