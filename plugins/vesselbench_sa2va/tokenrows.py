"""What the new tokens learn, beside frozen tables of embedding and head (the "lean" way).

Whole trained copies of both tables (the official way) cost 2 x vocabulary x C parameters to learn one new token.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NewRows(nn.Module):
    """`weight` [k,C]: what is added to the table's own rows of k new tokens; 0 before training."""

    ids: Tensor

    def __init__(self, ids: tuple[int, ...], hidden: int) -> None:
        super().__init__()
        self.tokens = ids
        self.weight = nn.Parameter(torch.zeros(len(ids), hidden))
        self.register_buffer("ids", torch.tensor(ids), persistent=False)


class NewEmbedding(NewRows):
    """Completes what the frozen embedding returned."""

    def forward(self, tokens: Tensor, embedded: Tensor) -> Tensor:
        """tokens [B,L], embedded [B,L,C] -> [B,L,C]."""
        return embedded + (tokens[..., None] == self.ids).to(embedded.dtype) @ self.weight


class NewHead(NewRows):
    """Completes what the frozen head returned."""

    def forward(self, hidden: Tensor, logits: Tensor) -> Tensor:
        """hidden [M,C], logits [M,vocabulary] -> [M,vocabulary]."""
        return logits.index_add(-1, self.ids, hidden @ self.weight.t())
