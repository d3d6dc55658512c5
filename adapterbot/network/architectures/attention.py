"""Attention over the tokens so far: what the families share of it.

B rows, T new tokens, S tokens in all (cached and new), H heads, K heads of keys and values, w width of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapterbot.network.architectures import Adapters, Prefix
from adapterbot.network.architectures.cache import Layout


def attend(q: Tensor, k: Tensor, v: Tensor, layer: int, layout: Layout, adapters: Adapters | None) -> Tensor:
    """Queries [B, H, T, w], new keys and values [B, K, T, w] -> what the heads read, side by side [B, T, H * w].

    New keys and values go to the cache; keys and values of adapters stand before all others.
    """
    if layout.cache is not None:
        k, v = layout.cache.append(layer, k, v, layout)  # [B, K, S, w]
    mask = layout.mask
    if adapters is not None and "prefix" in adapters.sites and (prefix := adapters.prefix(layer)) is not None:
        mask = _seen_with(prefix, mask, q, k.shape[2])
        k = torch.cat([prefix.keys, k], 2)
        v = torch.cat([prefix.values, v], 2)
    if q.shape[2] == 1:  # it may look at everything; the heads that share keys are queries of one head (6 x in bf16)
        shared = q.reshape(q.shape[0], k.shape[1], -1, q.shape[3])  # [B, K, H / K, w]
        return F.scaled_dot_product_attention(shared, k, v, attn_mask=mask).reshape(q.shape[0], 1, -1)
    grouped = q.shape[1] != k.shape[1]
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=grouped)
    return y.transpose(1, 2).flatten(2)


def linear(module: nn.Module, name: str, x: Tensor, layer: int, adapters: Adapters | None) -> Tensor:
    """A linear map of a block, and what the adapters add to it at the site "delta"."""
    y: Tensor = module(x)
    return y if adapters is None or "delta" not in adapters.sites else y + adapters.delta(name, layer, x)


def _seen_with(prefix: Prefix, mask: Tensor | None, q: Tensor, keys: int) -> Tensor:
    """Which of a prefix and of S keys the queries [B, H, T, w] see [B, 1, T, P + S]; no mask: what is causal."""
    rows, _, length, _ = q.shape
    if mask is None:
        mask = torch.ones(length, keys, dtype=torch.bool, device=q.device).tril(keys - length)[None, None]
    seen = prefix.seen[:, None, None].expand(-1, -1, length, -1)  # [B, 1, T, P]
    return torch.cat([seen, mask.expand(rows, -1, -1, -1)], -1)
