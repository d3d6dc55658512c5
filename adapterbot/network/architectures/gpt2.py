"""5 · GPT-2's forward pass in the open (Radford et al. 2019), with adapters and the KV cache as arguments.

B rows, T new tokens, S tokens in all (cached and new), d width, H heads, L layers, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapterbot.errors import BackboneError, shorten
from adapterbot.network.architectures import Adapters, Architecture, Projection, residual_std
from adapterbot.network.architectures.attention import attend, linear
from adapterbot.network.architectures.cache import Layout
from adapterbot.network.architectures.embeddings import Embeddings
from adapterbot.network.architectures.shape import Shape

ACTIVATIONS = {"gelu_new": "tanh", "gelu_pytorch_tanh": "tanh", "gelu": "none"}  # name -> F.gelu's approximation


class Block(nn.Module):
    """x + attention(LN(x)), then x + mlp(LN(x))."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d = shape.width
        self.heads = shape.heads
        self.approximate = ACTIVATIONS[shape.activation]
        self.ln_1 = nn.LayerNorm(d, shape.epsilon)
        self.ln_2 = nn.LayerNorm(d, shape.epsilon)
        self.c_attn = nn.Linear(d, 3 * d)
        self.c_proj = nn.Linear(d, d)
        self.c_fc = nn.Linear(d, shape.inner)
        self.mlp_proj = nn.Linear(shape.inner, d)

    def forward(self, x: Tensor, layer: int, layout: Layout, adapters: Adapters | None = None) -> Tensor:
        """x [B, T, d] -> [B, T, d]."""
        sites = adapters.sites if adapters is not None else frozenset()
        before = x
        y = self._attention(self.ln_1(x), layer, layout, adapters)
        if adapters is not None and "after_attention" in sites:
            y = adapters.after_attention(layer, y)
        x = x + y
        normal = self.ln_2(x)
        y = F.gelu(linear(self.c_fc, "c_fc", normal, layer, adapters), approximate=self.approximate)
        y = linear(self.mlp_proj, "mlp_proj", y, layer, adapters)
        if adapters is not None and "beside_mlp" in sites:
            y = y + adapters.beside_mlp(layer, normal)
        if adapters is not None and "after_mlp" in sites:
            y = adapters.after_mlp(layer, y)
        x = x + y
        if adapters is not None and "after_block" in sites:
            x = adapters.after_block(layer, x)
        if adapters is not None and "around_block" in sites:
            x = adapters.around_block(layer, before, x, layout)
        return x

    def _attention(self, x: Tensor, layer: int, layout: Layout, adapters: Adapters | None) -> Tensor:
        """Normalised states x [B, T, d] -> what attention adds to the states [B, T, d]."""
        batch, length, width = x.shape
        qkv = linear(self.c_attn, "c_attn", x, layer, adapters).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each [B, H, T, d/H]
        return linear(self.c_proj, "c_proj", attend(q, k, v, layer, layout, adapters), layer, adapters)


class GPT2(Architecture):
    """GPT-2 and DialoGPT."""

    model_types = ("gpt2",)
    linears = ("c_attn", "c_proj", "c_fc", "mlp_proj")
    embeddings = "wte"
    published = (
        "transformer.h",
        {"qkv": "attn.c_attn", "o": "attn.c_proj", "up": "mlp.c_fc", "down": "mlp.c_proj"},
    )

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.wte = Embeddings(shape.vocab, shape.width)
        self.wpe = Embeddings(shape.positions, shape.width)
        self.h = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.ln_f = nn.LayerNorm(shape.width, shape.epsilon)
        self.lm_head = None if shape.tied else nn.Linear(shape.width, shape.vocab, bias=False)

    @classmethod
    def projections(cls, shape: Shape) -> dict[str, Projection]:
        """Queries, keys and values are one map, `qkv`."""
        d = shape.width
        parts = {name: Projection("c_attn", d, i * d, d) for i, name in enumerate("qkv")}
        return parts | {
            "qkv": Projection("c_attn", d, 0, 3 * d),
            "o": Projection("c_proj", d, 0, d),
            "up": Projection("c_fc", d, 0, shape.inner),
            "down": Projection("mlp_proj", shape.inner, 0, d),
        }

    @classmethod
    def read_config(cls, config: Mapping[str, Any]) -> Shape:
        """The shape that GPT-2's config.json tells."""
        for name, usual in (
            ("scale_attn_weights", True),
            ("scale_attn_by_inverse_layer_idx", False),
            ("add_cross_attention", False),
        ):
            if config.get(name, usual) != usual:
                raise BackboneError(f"config.json sets {name} = {config[name]}, which this decoder does not compute")
        activation = config.get("activation_function", "gelu_new")
        if activation not in ACTIVATIONS:
            raise BackboneError(
                f"activation_function {activation!r} is not supported; there are: {', '.join(ACTIVATIONS)}"
            )
        try:
            width = int(config["n_embd"])
            inner = config.get("n_inner")
            return Shape(
                vocab=int(config["vocab_size"]),
                positions=int(config["n_positions"]),
                width=width,
                layers=int(config["n_layer"]),
                heads=int(config["n_head"]),
                inner=int(inner or 4 * width),
                epsilon=float(config.get("layer_norm_epsilon", 1e-5)),
                activation=activation,
                tied=bool(config.get("tie_word_embeddings", True)),
            )
        except BackboneError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise BackboneError(f"config.json lacks or garbles {error}") from None

    def config(self) -> dict[str, Any]:
        """A config.json of GPT-2."""
        shape = self.shape
        return {
            "model_type": "gpt2",
            "architectures": ["GPT2LMHeadModel"],
            "vocab_size": shape.vocab,
            "n_positions": shape.positions,
            "n_embd": shape.width,
            "n_layer": shape.layers,
            "n_head": shape.heads,
            "n_inner": shape.inner,
            "layer_norm_epsilon": shape.epsilon,
            "activation_function": shape.activation,
            "tie_word_embeddings": shape.tied,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
            "resid_pdrop": 0.0,
        }

    @classmethod
    def from_pretrained(cls, tensors: Mapping[str, Tensor], shape: Shape) -> Self:
        """A decoder on the tensors of a checkpoint, whose Conv1D keeps [in, out]."""
        plain = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
        names = _hugging_face_names(shape)
        missing = sorted(theirs for theirs in names.values() if theirs not in plain)
        if missing:
            raise BackboneError(f"the checkpoint lacks {len(missing)} tensors, such as {missing[0]}")
        with torch.device("meta"):
            decoder = cls(shape)
        weights = {n: (plain[t].t() if _is_conv1d(n) else plain[t]).contiguous() for n, t in names.items()}
        try:
            decoder.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            raise BackboneError(shorten(" ".join(str(error).split()), 300)) from None
        return decoder

    def pretrained(self) -> dict[str, Tensor]:
        """The weights by the names and in the orientation of a GPT-2 checkpoint."""
        weights = self.state_dict()
        return {
            ("" if t == "lm_head.weight" else "transformer.") + t: (weights[n].t() if _is_conv1d(n) else weights[n])
            for n, t in _hugging_face_names(self.shape).items()
        }

    def draw(self, generator: torch.Generator) -> None:
        """Normal weights of 0.02, the projections into the residual stream scaled by depth; biases of zero."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                std = residual_std(self.shape.layers) if name.endswith("proj.weight") else 0.02
                nn.init.normal_(parameter, std=std, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def embed(self, ids: Tensor, layout: Layout) -> Tensor:
        """ids [B, T] -> embeddings of tokens and positions [B, T, d]."""
        x: Tensor = self.wte(ids) + self.wpe(layout.positions)
        return x

    def blocks(self, x: Tensor, layers: range, layout: Layout, adapters: Adapters | None = None) -> Tensor:
        """Hidden states [B, T, d] through some of the blocks."""
        for layer in layers:
            x = self.h[layer](x, layer, layout, adapters)
        return x

    def norm(self, x: Tensor) -> Tensor:
        """The last LayerNorm: [B, T, d] -> [B, T, d]."""
        hidden: Tensor = self.ln_f(x)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., d] -> [..., V]."""
        scores: Tensor = self.wte.scores(hidden) if self.lm_head is None else self.lm_head(hidden)
        return scores


ARCHITECTURE = GPT2


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
