"""5 · GPT-2's forward pass in the open (Radford et al. 2019), with adapters and the KV cache as arguments.

B rows, T new tokens, S tokens in all (cached and new), d width, H heads, L layers, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapterbot.errors import BackboneError
from adapterbot.network.architectures.cache import Cache, _mask
from adapterbot.network.architectures.shape import ACTIVATIONS, Shape


class Adapters(Protocol):
    """What the decoder asks of adapters: new hidden states [B, T, d] after block `layer`."""

    def apply(self, layer: int, x: Tensor) -> Tensor: ...


class Block(nn.Module):
    """x + attention(LN(x)), then x + mlp(LN(x))."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d = shape.width
        self.heads, self.approximate = shape.heads, ACTIVATIONS[shape.activation]
        self.ln_1, self.ln_2 = nn.LayerNorm(d, shape.epsilon), nn.LayerNorm(d, shape.epsilon)
        self.c_attn, self.c_proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.c_fc, self.mlp_proj = nn.Linear(d, shape.inner), nn.Linear(shape.inner, d)

    def forward(self, x: Tensor, layer: int, cache: Cache | None, mask: Tensor | None) -> Tensor:
        """x [B, T, d] -> [B, T, d]."""
        batch, length, width = x.shape
        qkv = self.c_attn(self.ln_1(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, T, d/H]
        if cache is not None:
            k, v = cache.append(layer, k, v)  # [B, H, S, d/H]
        causal = mask is None and length > 1  # one new token may look at everything
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        x = x + self.c_proj(y.transpose(1, 2).reshape(batch, length, width))
        y = F.gelu(self.c_fc(self.ln_2(x)), approximate=self.approximate)
        out: Tensor = x + self.mlp_proj(y)
        return out


class Decoder(nn.Module):
    """Token ids to hidden states to logits."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        # Given weights, not drawn ones: drawing on the meta device, where a model is loaded, imports torch's compiler.
        self.wte = nn.Embedding(shape.vocab, shape.width, _weight=torch.zeros(shape.vocab, shape.width))
        self.wpe = nn.Embedding(shape.positions, shape.width, _weight=torch.zeros(shape.positions, shape.width))
        self.h = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.ln_f = nn.LayerNorm(shape.width, shape.epsilon)
        self.lm_head = None if shape.tied else nn.Linear(shape.width, shape.vocab, bias=False)

    @property
    def parameter_count(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.parameters())

    def forward(self, ids: Tensor, adapters: Adapters | None = None, cache: Cache | None = None) -> Tensor:
        """ids [B, T] -> final hidden states [B, T, d].

        Without a cache rows are padded at the right (a causal model never sees that padding); with a cache they are
        padded at the left, `cache.pad[b]` tokens, so that all rows' next tokens stand in one column.
        """
        x = self.trunk(ids, 0, adapters, cache)
        return self.finish(x, 0, adapters, cache)

    def trunk(self, ids: Tensor, layers: int, adapters: Adapters | None = None, cache: Cache | None = None) -> Tensor:
        """ids [B, T] -> hidden states [B, T, d] after the first `layers` blocks (0: the embeddings)."""
        start = 0 if cache is None else cache.length
        positions = torch.arange(start, start + ids.shape[1], device=ids.device).expand_as(ids)  # [B, T]
        if cache is not None and cache.pad is not None:
            # padding has no position; neither has what follows a reply that ended while other rows of the batch go on
            positions = (positions - cache.pad[:, None]).clamp(0, self.shape.positions - 1)
        return self._blocks(self.wte(ids) + self.wpe(positions), range(layers), adapters, cache)

    def finish(self, x: Tensor, layers: int, adapters: Adapters | None = None, cache: Cache | None = None) -> Tensor:
        """Hidden states [B, T, d] after the first `layers` blocks -> final hidden states [B, T, d]."""
        x = self._blocks(x, range(layers, self.shape.layers), adapters, cache)
        if cache is not None:
            cache.length += x.shape[1]
        out: Tensor = self.ln_f(x)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Final hidden states [..., d] -> logits [..., V]. Ask only for the positions that are needed."""
        return F.linear(hidden, self.wte.weight if self.lm_head is None else self.lm_head.weight)

    def _blocks(self, x: Tensor, layers: range, adapters: Adapters | None, cache: Cache | None) -> Tensor:
        mask = None if cache is None else _mask(cache, x.shape[1], x.device)
        for layer in layers:
            x = self.h[layer](x, layer, cache, mask)
            if adapters is not None:
                x = adapters.apply(layer, x)
        return x


def from_hugging_face(tensors: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Rename and transpose the tensors of a GPT-2 checkpoint (its Conv1D keeps [in, out]) to this module's names.

    Raises:
        BackboneError: a tensor is missing or has another shape.
    """
    plain = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    names = _hugging_face_names(shape)
    missing = sorted(theirs for theirs in names.values() if theirs not in plain)
    if missing:
        raise BackboneError(f"the checkpoint lacks {len(missing)} tensors, such as {missing[0]}")
    return {n: plain[t].t() if _is_conv1d(n) else plain[t] for n, t in names.items()}


def to_hugging_face(weights: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """A decoder's `state_dict` with the names and orientation of a GPT-2 checkpoint."""
    return {
        ("" if t == "lm_head.weight" else "transformer.") + t: (weights[n].t() if _is_conv1d(n) else weights[n])
        for n, t in _hugging_face_names(shape).items()
    }


def _is_conv1d(name: str) -> bool:
    return name.endswith("weight") and (".c_" in name or ".mlp_proj." in name)


def _hugging_face_names(shape: Shape) -> dict[str, str]:
    """This module's name of every tensor -> GPT-2's."""
    names = {name: name for name in ("wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias")}
    for i in range(shape.layers):
        for ours, theirs in (
            ("ln_1", "ln_1"),
            ("ln_2", "ln_2"),
            ("c_attn", "attn.c_attn"),
            ("c_proj", "attn.c_proj"),
            ("c_fc", "mlp.c_fc"),
            ("mlp_proj", "mlp.c_proj"),
        ):
            for part in ("weight", "bias"):
                names[f"h.{i}.{ours}.{part}"] = f"h.{i}.{theirs}.{part}"
    if not shape.tied:
        names["lm_head.weight"] = "lm_head.weight"
    return names
