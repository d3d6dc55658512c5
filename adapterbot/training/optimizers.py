"""How a backbone is trained from scratch: its first weights, its optimizers and their rates."""

from __future__ import annotations

import math

import torch
from torch import nn

from adapterbot.network.architectures.gpt2 import Decoder
from adapterbot.network.architectures.shape import Shape
from adapterbot.training.recipe import PretrainTable


def initialised(shape: Shape, seed: int) -> Decoder:
    """A fresh decoder: normal weights of 0.02, the projections into the residual stream scaled by depth (GPT-2)."""
    generator = torch.Generator().manual_seed(seed)
    decoder = Decoder(shape)
    for name, parameter in decoder.named_parameters():
        if parameter.dim() == 2:
            scale = math.sqrt(2 * shape.layers) if name.endswith("proj.weight") else 1.0
            nn.init.normal_(parameter, std=0.02 / scale, generator=generator)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
    return decoder


def optimizers(decoder: Decoder, table: PretrainTable) -> dict[str, torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for all else."""
    matrices = [p for n, p in decoder.named_parameters() if p.dim() == 2 and n.startswith("h.")]
    rest = [p for n, p in decoder.named_parameters() if not (p.dim() == 2 and n.startswith("h."))]
    return {
        "muon": torch.optim.Muon(matrices, lr=table.muon_lr, weight_decay=0.05, momentum=0.95),
        "adam": torch.optim.AdamW(rest, lr=table.adam_lr, betas=(0.9, 0.95), weight_decay=0.01, fused=True),
    }


def rate(step: int, steps: int, table: PretrainTable) -> float:
    """Factor on the learning rates: linear warm-up, constant, then linear to zero over the last share of the steps."""
    warmup = max(1, min(table.warmup, steps // 5))
    falling = max(1, round(table.decay * steps))
    return min((step + 1) / warmup, 1.0, (steps - step) / falling)
