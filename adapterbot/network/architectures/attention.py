"""Attention over the tokens so far: what the families share of it.

B rows, T new tokens, S tokens in all (cached and new), H heads, K heads of keys and values, w width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapterbot.network import kernels
from adapterbot.network.architectures import Adapters, Prefix
from adapterbot.network.architectures.cache import BLOCK, Cache, Layout


def attend(q: Tensor, k: Tensor, v: Tensor, layer: int, layout: Layout, adapters: Adapters | None) -> Tensor:
    """Queries [B, H, T, w], new keys and values [B, K, T, w] -> what the heads read, side by side [B, T, H * w].

    New keys and values go to the cache; keys and values of adapters stand before all others.
    """
    if layout.packing is not None:
        q, k, v = (layout.packing.rows(x) for x in (q, k, v))
    prefix = adapters.prefix(layer) if adapters is not None and "prefix" in adapters.sites else None
    if layout.at is not None and isinstance(layout.cache, Cache) and not (q.requires_grad and torch.is_grad_enabled()):
        seen = prefix and (prefix.keys, prefix.values, _told(prefix.seen))
        read = kernels.attend(q, k, v, layout.cache.memory[layer], layout.at, seen)
        if read is not None:
            return read
    if layout.cache is not None:
        k, v = layout.cache.append(layer, k, v, layout)  # [B, K, S, w]
    mask = layout.mask
    past = None if q.shape[2] == 1 else layout.past
    if prefix is not None:
        mask = _seen_with(prefix, mask, q, k.shape[2])
        k, v = (torch.cat([p.expand(len(x), -1, -1, -1), x], 2) for p, x in ((prefix.keys, k), (prefix.values, v)))
        past = None
    if q.shape[2] == 1 and (mask is None or not _written_out(q, mask)):
        # It may look at everything; the heads that share keys are queries of one head (6 x in bf16).
        shared = q.reshape(q.shape[0], k.shape[1], -1, q.shape[3])  # [B, K, H / K, w]
        return F.scaled_dot_product_attention(shared, k, v, attn_mask=mask).reshape(q.shape[0], 1, -1)
    if mask is not None and _written_out(q, mask):
        y = attention(q, k, v, mask) if past is None else _in_blocks(q, k, v, mask, past)
        y = y.transpose(1, 2).flatten(2)
        return y if layout.packing is None else layout.packing.sequence(y)
    grouped = q.shape[1] != k.shape[1]
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=grouped)
    return y.transpose(1, 2).flatten(2)


def _written_out(q: Tensor, mask: Tensor) -> bool:
    """Whether attention is computed by products and a softmax of our own: where a row's result is then the same to the
    last bit whatever the other rows are, or where there is a gradient."""
    return mask.is_floating_point() and (q.dtype == torch.float32 or q.shape[2] > 1)


def _in_blocks(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, past: int) -> Tensor:
    """Attention of T new tokens [B, H, T, w] after `past` ones, BLOCK of them at a time.

    Each reads the keys up to its own block alone. Up to so many queries at a time a token's result is the same to the
    last bit wherever the prompt is cut.
    """
    grouped = q.shape[1] != k.shape[1]
    parts = []
    for start in range(0, q.shape[2], BLOCK):
        part = q[:, :, start : start + BLOCK]
        end = min(-(-(past + start + part.shape[2]) // BLOCK) * BLOCK, k.shape[2])
        keys, values, seen = k[:, :, :end], v[:, :, :end], mask[:, :, start : start + BLOCK, :end]
        parts.append(F.scaled_dot_product_attention(part, keys, values, attn_mask=seen, enable_gqa=grouped))
    return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


class _Attention(torch.autograd.Function):
    """softmax(q k' + mask) v written out: on a processor three times as fast as torch's own, backwards above all.

    Heads that share keys are queries of one head.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """q [B, H, T, w], k and v [B, K, S, w], mask [B, 1, T, S] -> [B, H, T, w]."""
        rows, _, length, width = q.shape
        shared = (q * width**-0.5).reshape(rows, k.shape[1], -1, width)  # [B, K, H / K * T, w]
        scores = shared @ k.transpose(-1, -2)
        scores.view(rows, k.shape[1], -1, length, k.shape[2]).add_(mask[:, :, None])
        seen = scores.softmax(-1)
        ctx.save_for_backward(shared, k, v, seen)
        read: Tensor = seen @ v
        return read.view(q.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Of q, k and v."""
        shared, k, v, seen = ctx.saved_tensors
        width = shared.shape[-1]
        g = gradients[0].reshape(shared.shape)
        of_seen = g @ v.transpose(-1, -2)
        of_scores = torch._softmax_backward_data(of_seen, seen, -1, seen.dtype)
        of_q = (of_scores @ k).mul_(width**-0.5)
        return of_q.view(gradients[0].shape), of_scores.transpose(-1, -2) @ shared, seen.transpose(-1, -2) @ g, None


attention: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = _Attention.apply


def linear(module: nn.Module, name: str, x: Tensor, layer: int, adapters: Adapters | None) -> Tensor:
    """A linear map of a block, and what the adapters add to it at the site "delta"."""
    y: Tensor = module(x)
    return y if adapters is None or "delta" not in adapters.sites else y + adapters.delta(name, layer, x)


def _seen_with(prefix: Prefix, mask: Tensor | None, q: Tensor, keys: int) -> Tensor:
    """Which of a prefix and of S keys the queries [B, H, T, w] see [B, 1, T, P + S]; no mask: what is causal."""
    rows, _, length, _ = q.shape
    if mask is None:
        mask = torch.ones(length, keys, dtype=torch.bool, device=q.device).tril(keys - length)[None, None]
    seen = prefix.seen[:, None, None].expand(rows, -1, length, -1)  # [B, 1, T, P]
    if seen.dtype != mask.dtype:
        seen, mask = _added(seen, q.dtype), _added(mask, q.dtype)
    return torch.cat([seen, mask.expand(rows, -1, -1, -1)], -1)


def _told(seen: Tensor) -> Tensor:
    """What is seen as truth values, given those or what is added to scores."""
    return seen if seen.dtype == torch.bool else seen == 0


def _added(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask as what is added to scores."""
    if seen.dtype != torch.bool:
        return seen.to(dtype)
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)


def attend_beside(q: Tensor, k: Tensor, v: Tensor, heads: int, place: int, layout: Layout) -> Tensor:
    """Attention of an adapter's own: queries, keys and values [B, T, s] in `heads` heads -> what they read [B, T, s].

    In the cache they are those of further layers, from `place` on (see `layers_beside`).
    """
    length, mask = q.shape[1], layout.mask
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))  # [B, heads, T, s / heads]
    if layout.packing is not None:
        q, k, v = (layout.packing.rows(x) for x in (q, k, v))
    if layout.cache is not None:
        k, v = layout.cache.append_beside(place, k, v, layout)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None and length > 1)
    y = y.transpose(1, 2).flatten(2)
    return y if layout.packing is None else layout.packing.sequence(y)
