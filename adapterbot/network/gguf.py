"""Models in one GGUF file, as llama.cpp keeps them: numbers, vocabulary, template and quantised weights. Read only."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

from adapterbot.errors import BackboneError, reason, shorten
from adapterbot.network.architectures.rotary import frequencies
from adapterbot.network.architectures.shape import Rope
from adapterbot.network.gguf_vocabulary import vocabulary_of
from adapterbot.network.tokenizer import Tokenizer

ARCHITECTURES = ("llama", "qwen2", "qwen3")  # which are also the `model_type` of config.json
QUANTISATIONS = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K")
NUMBERS = {  # in config.json -> in the header, after the architecture's name
    "max_position_embeddings": "context_length",
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "intermediate_size": "feed_forward_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
}
NAMES = {  # here -> in a checkpoint of `transformers`
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
EMBEDDING = "token_embd.weight"
FACTORS = "rope_freqs.weight"  # by what a Llama 3.1's frequencies are divided: its scaling in figures
LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}  # what made them


class _Reader(gguf.GGUFReader):
    """The package's reader, for which a file that ends too early is an error at once."""

    def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
        found = super()._get(offset, dtype, count, override_order)
        if len(found) < count:
            raise ValueError(f"it ends at byte {len(self.data):,}, within what its header tells of")
        return found


class GGUFFile:
    """An open file; its weights stay on the disk until they are asked for.

    Raises:
        BackboneError: cut short, no GGUF, or of an architecture or a quantisation that is not computed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            reader = _Reader(path)
            self.header = {name: field.contents() for name, field in reader.fields.items()}
        except Exception as error:  # whatever a damaged file makes the reader stumble over
            raise BackboneError(f"{path} cannot be read as GGUF, fetch it anew: {reason(error)}") from None
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.kind = self.header.get("general.architecture")
        if self.kind not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise BackboneError(f"{path}: architecture {_shown(self.kind)} is not supported; there are: {known}")
        for name, tensor in self.tensors.items():
            if tensor.tensor_type.name not in QUANTISATIONS:
                raise BackboneError(
                    f"{path}: {name} is quantised as {tensor.tensor_type.name}, which is not supported; "
                    f"there are: {', '.join(QUANTISATIONS)}"
                )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, types, shapes and bytes of all weights as they lie in the file, by name."""
        digest = hashlib.sha256()
        for name in sorted(self.tensors):
            tensor = self.tensors[name]
            digest.update(f"{name} {tensor.tensor_type.name} {tensor.shape.tolist()}\n".encode())
            digest.update(np.ascontiguousarray(tensor.data).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()

    def config(self) -> dict[str, Any]:
        """What config.json of the same model says.

        Raises:
            BackboneError: the header lacks a number.
        """
        config = {ours: self._number(theirs) for ours, theirs in NUMBERS.items()}
        heads = config["num_attention_heads"]
        head_width = self._number("attention.key_length", config["hidden_size"] // max(int(heads), 1))
        if self._number("rope.dimension_count", head_width) != head_width:
            raise BackboneError(f"{self.path}: heads that are rotated in part are not computed")
        return config | {
            "model_type": self.kind,
            "vocab_size": self._embeddings(),
            "num_key_value_heads": self._number("attention.head_count_kv", heads),
            "head_dim": head_width,
            "sliding_window": self._number("attention.sliding_window", 0) or None,
            "use_sliding_window": True,
            "rope_parameters": self._rope(head_width),
            "tie_word_embeddings": "output.weight" not in self.tensors,
        }

    def weights(self) -> dict[str, Tensor]:
        """All weights, float32, by the names of `transformers`."""
        weights = {}
        for name, tensor in self.tensors.items():
            if name == FACTORS:
                continue
            plain = gguf.dequantize(tensor.data, tensor.tensor_type)
            if self.kind == "llama" and name.endswith(("attn_q.weight", "attn_k.weight")):
                heads = self._number("attention.head_count")
                plain = _unpermuted(
                    plain, heads if "attn_q" in name else self._number("attention.head_count_kv", heads)
                )
            weights[_their_name(name)] = torch.from_numpy(np.array(plain, np.float32))
        return weights

    def tokenizer(self) -> Tokenizer:
        """The vocabulary and, where it has one, the chat template.

        Raises:
            BackboneError: of a kind that is not read, incomplete, or of another size than the embeddings.
        """
        try:
            tokenizer = Tokenizer(vocabulary_of(self.header), self.header.get("tokenizer.chat_template"))
        except BackboneError as error:
            raise BackboneError(f"{self.path}: {error}") from None
        if tokenizer.size != self._embeddings():
            raise BackboneError(
                f"{self.path}: the vocabulary has {tokenizer.size} tokens, the embeddings {self._embeddings()}"
            )
        return tokenizer

    def _number(self, name: str, otherwise: float | None = None) -> Any:
        """A number of the architecture's; without `otherwise` it has to be there."""
        value = self.header.get(f"{self.kind}.{name}", otherwise)
        if isinstance(value, bool) or not isinstance(value, int | float):
            lacks = "lacks" if value is None else f"has {_shown(value)} as"
            raise BackboneError(f"{self.path}: the header {lacks} {self.kind}.{name}")
        return float(str(np.float32(value))) if isinstance(value, float) else value  # 1e-05, not 9.999999747378752e-06

    def _embeddings(self) -> int:
        """How many tokens have an embedding."""
        if EMBEDDING not in self.tensors:
            raise BackboneError(f"{self.path} lacks the tensor {EMBEDDING}")
        return int(self.tensors[EMBEDDING].shape[-1])

    def _rope(self, width: int) -> dict[str, Any]:
        """`rope_parameters` of config.json."""
        rope: dict[str, Any] = {"rope_theta": self._number("rope.freq_base", 10_000.0), "rope_type": "default"}
        kind = self.header.get(f"{self.kind}.rope.scaling.type", "none")
        if kind != "none":
            return rope | {"rope_type": kind, "factor": self._number("rope.scaling.factor")}
        if FACTORS not in self.tensors:
            return rope
        factors = torch.from_numpy(np.array(self.tensors[FACTORS].data, np.float32)).flatten()
        found = Rope(rope["rope_theta"], "llama3", round(float(factors.max()), 3), original=8192)
        wanted = frequencies(Rope(found.theta), width) / frequencies(found, width)
        if factors.shape != wanted.shape or not torch.allclose(factors, wanted, rtol=1e-3):
            raise BackboneError(f"{self.path}: {FACTORS} scales rotary embeddings in a way that is not computed")
        return rope | {"rope_type": "llama3", "factor": found.factor, **LLAMA3}


def _their_name(name: str) -> str:
    """blk.0.attn_q.weight -> model.layers.0.self_attn.q_proj.weight."""
    stem, _, kind = name.rpartition(".")
    if stem == "output":
        return f"lm_head.{kind}"
    block, _, part = stem.rpartition(".")
    place = f"layers.{block.removeprefix('blk.')}." if block else ""
    return f"model.{place}{NAMES.get(part, part)}.{kind}"


def _unpermuted(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows [heads * w, ...] whose partners in rotation are neighbours -> those where they stand half a head apart."""
    pairs = rows.reshape(heads, -1, 2, *rows.shape[1:])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def _shown(value: Any) -> str:
    return shorten(repr(value), 60)
