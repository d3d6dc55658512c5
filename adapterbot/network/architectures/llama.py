"""5 · The forward pass of Llama's family in the open (Touvron et al. 2023): Llama, SmolLM2, Mistral, Qwen2 and Qwen3.

B rows, T new tokens, d width, H heads, K heads of keys and values, w width of a head, L layers, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from adapterbot.errors import BackboneError
from adapterbot.network.architectures import Adapters, Architecture, Projection, residual_std
from adapterbot.network.architectures.attention import attend, linear
from adapterbot.network.architectures.cache import Layout
from adapterbot.network.architectures.embeddings import Embeddings
from adapterbot.network.architectures.llama_tensors import checked, names_of, sizes_of
from adapterbot.network.architectures.rotary import Turn, turn_at
from adapterbot.network.architectures.shape import Rope, Shape

NUMBERS = {  # of Shape -> in config.json
    "vocab": "vocab_size",
    "positions": "max_position_embeddings",
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "inner": "intermediate_size",
}
SCALINGS = {"default": "none", "linear": "linear", "llama3": "llama3"}
THETA = 10_000.0  # where config.json does not say; likewise the next two
MISTRAL_WINDOW = 4096
QWEN3_HEAD = 128


class Block(nn.Module):
    """x + attention(RMSNorm(x)), then x + mlp(RMSNorm(x))."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d, w = shape.width, shape.head_width
        self.heads = shape.heads
        self.kv_heads = shape.kv_heads
        self.input_norm = nn.RMSNorm(d, shape.epsilon)
        self.qkv_proj = nn.Linear(d, (shape.heads + 2 * shape.kv_heads) * w, bias=shape.qkv_bias)
        self.q_norm = nn.RMSNorm(w, shape.epsilon) if shape.qk_norm else None
        self.k_norm = nn.RMSNorm(w, shape.epsilon) if shape.qk_norm else None
        self.o_proj = nn.Linear(shape.heads * w, d, bias=False)
        self.mlp_norm = nn.RMSNorm(d, shape.epsilon)
        self.gate_up_proj = nn.Linear(d, 2 * shape.inner, bias=False)
        self.down_proj = nn.Linear(shape.inner, d, bias=False)

    def forward(self, x: Tensor, turn: Turn, layer: int, layout: Layout, adapters: Adapters | None = None) -> Tensor:
        """x [B, T, d] -> [B, T, d]."""
        sites = adapters.sites if adapters is not None else frozenset()
        before = x
        y = self._attention(self.input_norm(x), turn, layer, layout, adapters)
        if adapters is not None and "after_attention" in sites:
            y = adapters.after_attention(layer, y)
        x = x + y
        normal = self.mlp_norm(x)
        y = self._mlp(normal, layer, adapters)
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

    def _attention(self, x: Tensor, turn: Turn, layer: int, layout: Layout, adapters: Adapters | None) -> Tensor:
        """Normalised states x [B, T, d] -> what attention adds to the states [B, T, d]."""
        qkv = linear(self.qkv_proj, "qkv_proj", x, layer, adapters)
        qkv = qkv.unflatten(-1, (self.heads + 2 * self.kv_heads, -1))  # [B, T, H + 2 K, w]
        qk, v = qkv.split([self.heads + self.kv_heads, self.kv_heads], 2)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = qk.split([self.heads, self.kv_heads], 2)
            qk = torch.cat([self.q_norm(q), self.k_norm(k)], 2)
        q, k = turn.of(qk).transpose(1, 2).split([self.heads, self.kv_heads], 1)  # [B, H, T, w] and [B, K, T, w]
        y = attend(q, k, v.transpose(1, 2), layer, layout, adapters)
        return linear(self.o_proj, "o_proj", y, layer, adapters)

    def _mlp(self, x: Tensor, layer: int, adapters: Adapters | None) -> Tensor:
        """SwiGLU (Shazeer 2020): normalised states x [B, T, d] -> what the MLP adds to the states [B, T, d]."""
        gate, up = linear(self.gate_up_proj, "gate_up_proj", x, layer, adapters).chunk(2, -1)
        return linear(self.down_proj, "down_proj", F.silu(gate) * up, layer, adapters)


class Llama(Architecture):
    """Llama, SmolLM2, Mistral without a window, Qwen2 and Qwen3."""

    model_types = ("llama", "mistral", "qwen2", "qwen3")
    linears = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
    embeddings = "embed_tokens"
    published = (
        "model.layers",
        {n: f"self_attn.{n}_proj" for n in ("q", "k", "v", "o")} | {n: f"mlp.{n}_proj" for n in ("gate", "up", "down")},
    )

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        if shape.rope is None:
            raise BackboneError("a Llama without rotary embeddings is not computed")
        self.rope = shape.rope
        self.embed_tokens = Embeddings(shape.vocab, shape.width)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.final_norm = nn.RMSNorm(shape.width, shape.epsilon)
        self.lm_head = None if shape.tied else nn.Linear(shape.width, shape.vocab, bias=False)

    @classmethod
    def projections(cls, shape: Shape) -> dict[str, Projection]:
        """Queries, keys and values are one map, and so are gate and up."""
        d, inner, w = shape.width, shape.inner, shape.head_width
        q, kv = shape.heads * w, shape.kv_heads * w
        return {
            "q": Projection("qkv_proj", d, 0, q),
            "k": Projection("qkv_proj", d, q, kv),
            "v": Projection("qkv_proj", d, q + kv, kv),
            "qkv": Projection("qkv_proj", d, 0, q + 2 * kv),
            "o": Projection("o_proj", q, 0, d),
            "gate": Projection("gate_up_proj", d, 0, inner),
            "up": Projection("gate_up_proj", d, inner, inner),
            "gate_up": Projection("gate_up_proj", d, 0, 2 * inner),
            "down": Projection("down_proj", inner, 0, d),
        }

    @classmethod
    def read_config(cls, config: Mapping[str, Any]) -> Shape:
        """The shape that a config.json of one of the four types tells."""
        kind = config.get("model_type")
        for name, usual in (("hidden_act", "silu"), ("attention_bias", False), ("mlp_bias", False)):
            if (value := config.get(name, usual)) != usual:
                raise BackboneError(f"config.json sets {name} = {value!r}, which this decoder does not compute")
        try:
            numbers = {ours: int(config[theirs]) for ours, theirs in NUMBERS.items()}
            _refuse_window(config, numbers["positions"], numbers["layers"])
            shared = config.get("num_key_value_heads") if kind == "llama" else config["num_key_value_heads"]
            head_width = config.get("head_dim") or (QWEN3_HEAD if kind == "qwen3" else 0)
            return Shape(
                **numbers,
                epsilon=float(config["rms_norm_eps"]),
                activation="silu",
                tied=bool(config.get("tie_word_embeddings", False)),
                kv_heads=int(shared or numbers["heads"]),
                head_width=int(head_width),
                rope=_read_rope(config),
                qkv_bias=kind == "qwen2",
                qk_norm=kind == "qwen3",
            )
        except BackboneError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BackboneError(f"config.json lacks or garbles {error}") from None

    def config(self) -> dict[str, Any]:
        """A config.json of the type that computes the same."""
        shape = self.shape
        kind = "qwen3" if shape.qk_norm else "qwen2" if shape.qkv_bias else "llama"
        return {
            "model_type": kind,
            "architectures": [f"{kind.capitalize()}ForCausalLM"],
            **{theirs: getattr(shape, ours) for ours, theirs in NUMBERS.items()},
            "num_key_value_heads": shape.kv_heads,
            "head_dim": shape.head_width,
            "rms_norm_eps": shape.epsilon,
            "hidden_act": "silu",
            "rope_parameters": _rope_parameters(self.rope),
            "tie_word_embeddings": shape.tied,
            "attention_dropout": 0.0,
        }

    @classmethod
    def from_pretrained(cls, tensors: Mapping[str, Tensor], shape: Shape) -> Self:
        """A decoder on the tensors of a checkpoint; queries, keys and values lie in one matrix, as do gate and up."""
        plain = checked(tensors, shape)
        with torch.device("meta"):
            decoder = cls(shape)
        merged = {ours: [plain[t] for t in theirs] for ours, theirs in names_of(shape)}
        weights = {n: torch.cat(parts) if len(parts) > 1 else parts[0].contiguous() for n, parts in merged.items()}
        decoder.load_state_dict(weights, assign=True)
        return decoder

    def pretrained(self) -> dict[str, Tensor]:
        """The weights by the names of a Llama checkpoint."""
        weights = self.state_dict()
        sizes = sizes_of(self.shape)
        return {
            theirs: part
            for ours, names in names_of(self.shape)
            for theirs, part in zip(names, weights[ours].split([sizes[n][0] for n in names]), strict=True)
        }

    def draw(self, generator: torch.Generator) -> None:
        """Normal weights of 0.02, the projections into the residual stream scaled by depth; biases of zero."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                std = residual_std(self.shape.layers) if residual else 0.02
                nn.init.normal_(parameter, std=std, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def embed(self, ids: Tensor, layout: Layout) -> Tensor:
        """ids [B, T] -> embeddings of the tokens [B, T, d]; positions are told within attention."""
        x: Tensor = self.embed_tokens(ids)
        return x

    def blocks(self, x: Tensor, layers: range, layout: Layout, adapters: Adapters | None = None) -> Tensor:
        """Hidden states [B, T, d] through some of the blocks."""
        turn = turn_at(layout.positions, self.rope, self.shape.head_width, x.dtype)
        for layer in layers:
            x = self.layers[layer](x, turn, layer, layout, adapters)
        return x

    def norm(self, x: Tensor) -> Tensor:
        """The last RMSNorm: [B, T, d] -> [B, T, d]."""
        hidden: Tensor = self.final_norm(x)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., d] -> [..., V]."""
        scores: Tensor = self.embed_tokens.scores(hidden) if self.lm_head is None else self.lm_head(hidden)
        return scores


ARCHITECTURE = Llama


def _refuse_window(config: Mapping[str, Any], positions: int, layers: int) -> None:
    """Attention reaches back to the first token here: a model that was trained on a window would read what it never
    saw."""
    if config.get("model_type") == "mistral":
        window = config.get("sliding_window", MISTRAL_WINDOW)
    else:
        window = config.get("sliding_window") if config.get("use_sliding_window") else None
    sliding = any(kind != "full_attention" for kind in (config.get("layer_types") or ())[:layers])
    if sliding or (window is not None and int(window) < positions):
        raise BackboneError(
            f"attention over a sliding window (of {window} tokens, of {positions} in all) is not computed; "
            "choose a model without one, such as a later Mistral"
        )


def _read_rope(config: Mapping[str, Any]) -> Rope:
    """Rotary embeddings from `rope_parameters`, or as older files say it from `rope_theta` and `rope_scaling`."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = float(given.get("rope_theta") or config.get("rope_theta") or THETA)
    kind = given.get("rope_type") or given.get("type") or "default"
    if kind not in SCALINGS:
        raise BackboneError(f"rope_type {kind!r} is not supported; there are: {', '.join(SCALINGS)}")
    if float(given.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1) != 1:
        raise BackboneError("config.json sets partial_rotary_factor, which this decoder does not compute")
    if kind == "default":
        return Rope(theta)
    if kind == "linear":
        return Rope(theta, "linear", float(given["factor"]))
    return Rope(
        theta,
        "llama3",
        float(given["factor"]),
        float(given["low_freq_factor"]),
        float(given["high_freq_factor"]),
        int(given["original_max_position_embeddings"]),
    )


def _rope_parameters(rope: Rope) -> dict[str, Any]:
    """What `_read_rope` reads."""
    kind = next(theirs for theirs, ours in SCALINGS.items() if ours == rope.scaling)
    made: dict[str, Any] = {"rope_theta": rope.theta, "rope_type": kind}
    if kind != "default":
        made["factor"] = rope.factor
    if kind == "llama3":
        made |= {"low_freq_factor": rope.low, "high_freq_factor": rope.high}
        made["original_max_position_embeddings"] = rope.original
    return made
