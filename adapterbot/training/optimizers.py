"""How a backbone is trained from scratch: its optimizers and their rates."""

from __future__ import annotations

import torch

from adapterbot.network.architectures import Architecture
from adapterbot.training.recipe import PretrainTable


def optimizers(decoder: Architecture, table: PretrainTable) -> dict[str, torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for all else."""
    matrices = decoder.block_matrices()
    known = {id(matrix) for matrix in matrices}
    rest = [parameter for parameter in decoder.parameters() if id(parameter) not in known]
    return {
        "muon": torch.optim.Muon(matrices, lr=table.muon_lr, weight_decay=0.05, momentum=0.95),
        "adam": torch.optim.AdamW(rest, lr=table.adam_lr, betas=(0.9, 0.95), weight_decay=0.01, fused=True),
    }


def rate(step: int, steps: int, table: PretrainTable) -> float:
    """Factor on the learning rates: linear warm-up, constant, then linear to zero over the last share of the steps."""
    warmup = max(1, min(table.warmup, steps // 5))
    falling = max(1, round(table.decay * steps))
    return min((step + 1) / warmup, 1.0, (steps - step) / falling)
