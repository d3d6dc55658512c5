"""The tensors of a checkpoint of Llama's family: their names, their shapes, and how they lie in the decoder's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from adapterbot.errors import BackboneError
from adapterbot.network.architectures.shape import Shape

# The decoder's name of each part of a block -> those of `transformers`, whose tensors lie in it one below the other.
PARTS = {
    "input_norm": ("input_layernorm",),
    "qkv_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "q_norm": ("self_attn.q_norm",),
    "k_norm": ("self_attn.k_norm",),
    "o_proj": ("self_attn.o_proj",),
    "mlp_norm": ("post_attention_layernorm",),
    "gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
    "down_proj": ("mlp.down_proj",),
}


def checked(tensors: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """The tensors under their whole names: all that are computed with, each in its shape, and no others in the blocks.

    Raises:
        BackboneError: one is missing, has another shape, or is not computed.
    """
    sizes = sizes_of(shape)
    whole = {_whole_name(name): tensor for name, tensor in tensors.items()}
    if missing := sorted(sizes.keys() - whole.keys()):
        raise BackboneError(f"the checkpoint lacks {len(missing)} tensors, such as {missing[0]}")
    for name, size in sizes.items():
        if tuple(whole[name].shape) != size:
            raise BackboneError(f"{name} has shape {list(whole[name].shape)}, by the config it has {list(size)}")
    others = sorted(n for n in whole.keys() - sizes.keys() if n.startswith("model.layers."))
    if others:
        raise BackboneError(f"the checkpoint has {len(others)} tensors that are not computed, such as {others[0]}")
    return whole


def names_of(shape: Shape) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The decoder's name of every tensor, and those of the checkpoint's tensors that it is made of."""
    sizes = sizes_of(shape)
    yield "embed_tokens.weight", ("model.embed_tokens.weight",)
    yield "final_norm.weight", ("model.norm.weight",)
    if not shape.tied:
        yield "lm_head.weight", ("lm_head.weight",)
    for i in range(shape.layers):
        for ours, theirs in PARTS.items():
            for kind in ("weight", "bias"):
                names = tuple(f"model.layers.{i}.{part}.{kind}" for part in theirs)
                if names[0] in sizes:
                    yield f"layers.{i}.{ours}.{kind}", names


def sizes_of(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a checkpoint, by the names of `transformers`."""
    d, q, kv = shape.width, shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    matrices = {
        "self_attn.q_proj": (q, d),
        "self_attn.k_proj": (kv, d),
        "self_attn.v_proj": (kv, d),
        "self_attn.o_proj": (d, q),
        "mlp.gate_proj": (shape.inner, d),
        "mlp.up_proj": (shape.inner, d),
        "mlp.down_proj": (d, shape.inner),
    }
    block: dict[str, tuple[int, ...]] = {f"{name}.weight": size for name, size in matrices.items()}
    block |= {f"{name}.weight": (d,) for name in ("input_layernorm", "post_attention_layernorm")}
    if shape.qkv_bias:
        block |= {f"self_attn.{n}_proj.bias": (size,) for n, size in (("q", q), ("k", kv), ("v", kv))}
    if shape.qk_norm:
        block |= {f"self_attn.{n}_norm.weight": (shape.head_width,) for n in "qk"}
    sizes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (shape.vocab, d), "model.norm.weight": (d,)}
    if not shape.tied:
        sizes["lm_head.weight"] = (shape.vocab, d)
    return sizes | {f"model.layers.{i}.{n}": size for i in range(shape.layers) for n, size in block.items()}


def _whole_name(name: str) -> str:
    """A checkpoint of the decoder without its head leaves out the first part of all names."""
    return name if name.startswith(("model.", "lm_head.")) else f"model.{name}"
