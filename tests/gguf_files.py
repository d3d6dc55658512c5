"""Little GGUF files as llama.cpp's converter writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from tokenizers import pre_tokenizers

from adapterbot.network.architectures.llama import Llama
from adapterbot.network.architectures.shape import Rope, Shape

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "Ġw o", "1 2", "Ġ Ġ"]
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
TOKENS = [*CONTROLS, *LETTERS, *(merge.replace(" ", "") for merge in MERGES)]
SHAPE = Shape(
    vocab=len(TOKENS),
    positions=64,
    width=256,
    layers=2,
    heads=8,
    inner=256,
    activation="silu",
    kv_heads=2,
    rope=Rope(10_000.0),
)
THEIRS = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
PLAIN = {"F32": np.float32, "F16": np.float16}


def drawn(shape: Shape, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights by the names of transformers."""
    torch.manual_seed(seed)
    decoder = Llama(shape)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return {n: t.detach().clone() for n, t in decoder.pretrained().items()}


def our_name(theirs: str) -> str:
    stem, _, kind = theirs.rpartition(".")
    if stem.startswith("model.layers."):
        number, _, part = stem.removeprefix("model.layers.").partition(".")
        return f"blk.{number}.{THEIRS[part]}.{kind}"
    return f"{THEIRS[stem]}.{kind}"


def permuted(rows: np.ndarray, heads: int) -> np.ndarray:
    """As the converter of llama.cpp turns the queries and keys of a Llama."""
    return rows.reshape(heads, 2, -1, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


def blocks(rows: np.ndarray, kind: str, seed: int = 0) -> np.ndarray:
    """Rows in blocks of this quantisation; where the package cannot make them, random ones that are plausible."""
    if kind in PLAIN:
        return rows.astype(PLAIN[kind])
    quantisation = Kind[kind]
    try:
        return gguf.quantize(np.ascontiguousarray(rows), quantisation)
    except NotImplementedError:
        draw = np.random.default_rng(seed)
        size, width = gguf.GGML_QUANT_SIZES[quantisation]
        made = draw.integers(0, 256, (rows.shape[0], rows.shape[1] // size, width), dtype=np.uint8)
        scales = np.frombuffer(np.array([0.002, 0.001], np.float16).tobytes(), np.uint8)
        if kind == "Q6_K":
            made[..., -2:] = scales[:2]
        else:
            made[..., :4] = scales
        return made.reshape(rows.shape[0], -1)


def header_of(shape: Shape, architecture: str) -> dict[str, Any]:
    """What llama.cpp's converter writes about such a model with the little vocabulary."""
    return {
        f"{architecture}.context_length": shape.positions,
        f"{architecture}.embedding_length": shape.width,
        f"{architecture}.block_count": shape.layers,
        f"{architecture}.attention.head_count": shape.heads,
        f"{architecture}.attention.head_count_kv": shape.kv_heads,
        f"{architecture}.attention.key_length": shape.head_width,
        f"{architecture}.feed_forward_length": shape.inner,
        f"{architecture}.attention.layer_norm_rms_epsilon": shape.epsilon,
        f"{architecture}.rope.freq_base": shape.rope.theta if shape.rope else 0.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.ggml.token_type": [3] * len(CONTROLS) + [1] * (len(TOKENS) - len(CONTROLS)),
        "tokenizer.chat_template": TEMPLATE,
    }


def write(
    path: Path,
    shape: Shape = SHAPE,
    *,
    kind: str = "F32",
    architecture: str = "llama",
    change: Callable[[dict[str, Any]], object] = lambda header: None,
    factors: np.ndarray | None = None,
) -> dict[str, torch.Tensor]:
    """A GGUF file of random weights as llama.cpp's converter writes it; its weights as they were before."""
    writer = gguf.GGUFWriter(path, architecture)
    header = header_of(shape, architecture)
    change(header)
    for name, value in header.items():
        if isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, float):
            writer.add_float32(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        else:
            writer.add_array(name, value)
    weights = drawn(shape)
    for name, tensor in weights.items():
        rows = tensor.numpy()
        for part, heads in (("q_proj.weight", shape.heads), ("k_proj.weight", shape.kv_heads)):
            if architecture == "llama" and name.endswith(part):
                rows = permuted(rows, heads)
        quantised = kind if rows.ndim > 1 else "F32"
        writer.add_tensor(our_name(name), blocks(rows, quantised), raw_dtype=Kind[quantised])
    if factors is not None:
        writer.add_tensor("rope_freqs.weight", factors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights
