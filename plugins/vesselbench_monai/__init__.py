"""MONAI networks as vesselbench models."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vesselbench import hookimpl

if TYPE_CHECKING:
    from vesselbench_monai.models import UNet


@hookimpl
def register_models(register: Callable[[UNet], None]) -> None:
    from vesselbench_monai.models import UNet

    register(UNet())
