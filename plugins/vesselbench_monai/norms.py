"""Instance norm where MONAI fixes batch norm: its statistics would differ between processes."""

from __future__ import annotations

import torch


def instance_norms(module: torch.nn.Module) -> torch.nn.Module:
    """`module` with every 2D batch norm in it replaced, in place, by an instance norm with weights of its own."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.BatchNorm2d):
                setattr(parent, name, torch.nn.InstanceNorm2d(child.num_features, eps=child.eps, affine=True))
    return module
