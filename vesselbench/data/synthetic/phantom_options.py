"""What the drawn data set is to look like."""

from __future__ import annotations

from pydantic import Field, model_validator

from vesselbench.config import Settings


class PhantomOptions(Settings):
    """Options of the format ``phantom``."""

    seed: int = Field(0, ge=0)
    """Every pixel follows from it."""
    images: int = Field(120, ge=3, le=100_000)
    """Number of images."""
    per_group: int = Field(4, ge=1)
    """Images per patient; they share background, contrast and number of trees."""
    size: int = Field(128, ge=32, le=4096)
    """Side of the square images in pixels."""
    min_width: float = Field(2.5, ge=1)
    """No branch starts thinner than this, in pixels."""
    max_width: float = Field(8.0, le=64)
    """Widest trunk in pixels."""
    trees: tuple[int, int] = (1, 3)
    """Fewest and most vessel trees per image; trees may cross."""
    contrast: tuple[float, float] = (0.3, 0.45)
    """Least and most light that the widest vessel takes away."""
    noise: float = Field(0.02, ge=0, le=1)
    """Standard deviation of the noise, as a share of the grey range."""
    clutter: int = Field(3, ge=0, le=100)
    """Dark blobs per image that are no vessels."""

    @model_validator(mode="after")
    def _ranges_rise(self) -> PhantomOptions:
        if self.min_width >= 0.6 * self.max_width:
            raise ValueError("min_width must be less than 0.6 times max_width")
        if not 1 <= self.trees[0] <= self.trees[1] <= 20:
            raise ValueError("trees must be two rising numbers from 1 to 20")
        if not 0 < self.contrast[0] <= self.contrast[1] < 1:
            raise ValueError("contrast must be two rising shares between 0 and 1")
        return self
