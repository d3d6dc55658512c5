"""What tokens are embedded as, and in tied models the head as well."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Embeddings(nn.Embedding):
    """V vectors of width d."""

    def __init__(self, count: int, width: int) -> None:
        # Given weights, not drawn ones: drawing on the meta device, where a model is loaded, imports torch's compiler.
        super().__init__(count, width, _weight=torch.zeros(count, width))

    def scores(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., d] -> their products with all vectors [..., V]."""
        return F.linear(hidden, self.weight)
