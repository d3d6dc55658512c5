"""GGUF files: the weights, the numbers and the vocabulary that transformers reads from them, or one line of error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers

from adapterbot.errors import BackboneError
from adapterbot.home import Home
from adapterbot.network.architectures.llama import Llama
from adapterbot.network.architectures.shape import Rope, Shape
from adapterbot.network.backbone import load_backbone, read_backbone
from adapterbot.network.gguf import GGUFFile
from adapterbot.network.names import PINNED

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
    header: dict[str, Any] = {
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


@torch.inference_mode()
def logits_of_transformers(path: Path, ids: torch.Tensor) -> torch.Tensor:
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    logits: torch.Tensor = model(ids).logits
    return logits


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"])
def test_every_quantisation_is_read_as_transformers_reads_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.gguf"
    write(path, kind=kind)
    backbone = read_backbone(path)
    ids = torch.randint(0, len(TOKENS), (2, 20), generator=torch.Generator().manual_seed(1))
    ours, theirs = backbone.decoder.logits(backbone.decoder(ids)), logits_of_transformers(path, ids)
    assert theirs.std() > 0.1
    assert (ours - theirs).abs().max() < 1e-4


@torch.inference_mode()
@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("llama", {}),
        ("llama", {"tied": False}),
        ("llama", {"head_width": 16}),
        ("qwen2", {"qkv_bias": True}),
        ("qwen3", {"qk_norm": True, "head_width": 64}),
        ("qwen3", {"qk_norm": True, "tied": False}),
    ],
    ids=str,
)
def test_weights_are_those_of_the_checkpoint_it_was_made_from(
    tmp_path: Path, architecture: str, changes: dict[str, Any]
) -> None:
    """Queries and keys of a Llama are permuted in the file, those of a Qwen are not."""
    shape = replace(SHAPE, **changes)
    weights = write(tmp_path / "model.gguf", shape, architecture=architecture)
    backbone = read_backbone(tmp_path / "model.gguf")
    assert backbone.shape == shape
    found = backbone.decoder.pretrained()
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())


def test_the_scaling_of_a_llama_3_is_read_from_its_figures(tmp_path: Path) -> None:
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled = {"rope_type": "llama3", "rope_theta": 500_000.0, "factor": 32.0, "low_freq_factor": 1.0}
    scaled |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    config = LlamaConfig(hidden_size=256, num_attention_heads=4, rope_parameters=scaled, head_dim=64)
    slow, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    plain = 500_000.0 ** -(torch.arange(0, 64, 2) / 64)
    shape = replace(SHAPE, head_width=64, rope=Rope(500_000.0))
    write(tmp_path / "model.gguf", shape, factors=(plain / slow).numpy())
    assert read_backbone(tmp_path / "model.gguf").shape.rope == Rope(500_000.0, "llama3", 32.0, 1.0, 4.0, 8192)
    write(tmp_path / "other.gguf", shape, factors=np.linspace(1, 8, 32, dtype=np.float32))
    with pytest.raises(BackboneError, match="scales rotary embeddings in a way that is not computed"):
        read_backbone(tmp_path / "other.gguf")


def test_the_fingerprint_is_that_of_the_weights_alone(tmp_path: Path) -> None:
    write(tmp_path / "a.gguf")
    write(tmp_path / "b.gguf", change=lambda header: header.update({"general.description": "another day"}))
    write(tmp_path / "c.gguf", kind="F16")
    one, same, other = (read_backbone(tmp_path / f"{name}.gguf").fingerprint for name in "abc")
    assert one == same != other


def test_a_folder_that_holds_one_file_is_that_file(tmp_path: Path) -> None:
    write(tmp_path / "a.gguf")
    assert read_backbone(tmp_path).fingerprint == load_backbone(tmp_path / "a.gguf").fingerprint
    write(tmp_path / "b.gguf")
    with pytest.raises(BackboneError, match=r"holds 2 GGUF files; name one of them: a\.gguf"):
        read_backbone(tmp_path)


def reference(cut: str) -> FastTokenizer:
    """The tokenizer.json of SmolLM2, Qwen2.5 and Llama 3, written out, on the little vocabulary."""
    vocabulary = {token: i for i, token in enumerate(TOKENS)}
    pairs = [(left, right) for left, right in (merge.split() for merge in MERGES)]
    made = FastTokenizer(models.BPE(vocabulary, pairs, ignore_merges=cut == "llama-bpe"))
    if cut == "smollm":
        cutter: Any = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    else:
        digits = "{1,3}" if cut == "llama-bpe" else ""
        pattern = (
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
            + digits
            + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
        from tokenizers import Regex

        cutter = [pre_tokenizers.Split(Regex(pattern), "isolated")]
        cutter.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    if cut == "qwen2":
        made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(cutter)
    made.decoder = decoders.ByteLevel()
    return made


TEXTS = [
    "hello world",
    "  hello  1212 years, 12345 of them",
    "I'm HELLO'S wo\n\n\nwo  ",
    "Grüße e\u0301 😀 ½ ²",
    "",
    " a<b|c ",
]


@pytest.mark.parametrize("cut", ["smollm", "qwen2", "llama-bpe"])
def test_the_vocabulary_cuts_as_the_hubs_does(tmp_path: Path, cut: str) -> None:
    write(tmp_path / "model.gguf", change=lambda header: header.update({"tokenizer.ggml.pre": cut}))
    tokenizer = GGUFFile(tmp_path / "model.gguf").tokenizer()
    wanted = reference(cut)
    for text in TEXTS:
        assert tokenizer.encode(text) == wanted.encode(text).ids
        assert tokenizer.decode(tokenizer.encode(text)) == wanted.decode(wanted.encode(text).ids)


def test_control_tokens_in_a_text_are_text(tmp_path: Path) -> None:
    write(tmp_path / "model.gguf")
    tokenizer = GGUFFile(tmp_path / "model.gguf").tokenizer()
    assert (tokenizer.start, tokenizer.end, tokenizer.separator) == (1, 2, 2)
    assert tokenizer.template == TEMPLATE
    for text in CONTROLS:
        ids = tokenizer.encode(f"hello{text}hello")
        assert not set(ids) & {0, 1, 2}
        assert tokenizer.decode(ids) == f"hello{text}hello"
    assert tokenizer.decode([1, *tokenizer.encode("hello"), 2, 0]) == "hello"


Change = Callable[[dict[str, Any]], object]


def without(*names: str) -> Change:
    def change(header: dict[str, Any]) -> None:
        for name in names:
            del header[name]

    return change


def setting(name: str, value: Any) -> Change:
    return lambda header: header.update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("llama.block_count"), r"the header lacks llama\.block_count"),
        (without("llama.attention.layer_norm_rms_epsilon"), "lacks llama.attention.layer_norm_rms_epsilon"),
        (setting("llama.block_count", "two"), r"has 'two' as llama\.block_count"),
        (setting("llama.block_count", 3), r"lacks 9 tensors, such as model\.layers\.2"),
        (setting("llama.attention.head_count_kv", 8), r"k_proj\.weight has shape \[64, 256\]"),
        (setting("llama.attention.head_count", 0), "0 heads"),
        (setting("llama.rope.dimension_count", 16), "rotated in part"),
        (setting("llama.rope.scaling.type", "yarn"), "scaling.factor"),
        (without("tokenizer.ggml.model"), "vocabulary of the kind None is not supported"),
        (setting("tokenizer.ggml.model", "llama"), "vocabulary of the kind 'llama' is not supported, only 'gpt2'"),
        (setting("tokenizer.ggml.pre", "deepseek-llm"), "pre 'deepseek-llm' is not supported; there are: smollm"),
        (without("tokenizer.ggml.tokens"), r"lacks tokenizer\.ggml\.tokens"),
        (without("tokenizer.ggml.merges"), r"lacks tokenizer\.ggml\.merges"),
        (setting("tokenizer.ggml.merges", ["nope nope"]), "the vocabulary cannot be read"),
        (setting("tokenizer.ggml.merges", ["nope"]), "the vocabulary cannot be read"),
        (setting("tokenizer.ggml.tokens", TOKENS[:-1]), "the vocabulary cannot be read"),
        (setting("tokenizer.ggml.tokens", [*TOKENS, "more"]), "has 268 tokens, the embeddings 267"),
        (
            setting("tokenizer.ggml.tokens", [f"{t}!" if t in CONTROLS else t for t in TOKENS]),
            "no token that closes an utterance",
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_header_that_cannot_be_used_is_one_line(tmp_path: Path, change: Change, message: str) -> None:
    write(tmp_path / "model.gguf", change=change)
    with pytest.raises(BackboneError, match=message) as caught:
        read_backbone(tmp_path / "model.gguf")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_without_a_template_the_vocabulary_still_reads(tmp_path: Path) -> None:
    write(tmp_path / "model.gguf", change=without("tokenizer.chat_template"))
    tokenizer = read_backbone(tmp_path / "model.gguf").tokenizer
    assert tokenizer.template is None
    assert tokenizer.start is not None


def test_another_architecture_and_another_quantisation_are_named(tmp_path: Path) -> None:
    write(tmp_path / "model.gguf", architecture="mamba")
    with pytest.raises(BackboneError, match="architecture 'mamba' is not supported; there are: llama, qwen2, qwen3"):
        read_backbone(tmp_path / "model.gguf")
    write(tmp_path / "other.gguf", kind="TQ1_0")
    with pytest.raises(BackboneError, match="is quantised as TQ1_0, which is not supported; there are: F32"):
        read_backbone(tmp_path / "other.gguf")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.05, 0.3, 0.9, 0.9999])
def test_a_file_that_was_cut_short_is_one_line(tmp_path: Path, share: float) -> None:
    path = tmp_path / "model.gguf"
    write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BackboneError, match=r"model\.gguf cannot be read as GGUF, fetch it anew") as caught:
        read_backbone(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"GGUF" + b"\xff" * 40, b"PK\x03\x04" * 20, b"GGUF\x03\0\0\0" + b"\x10" * 64])
def test_another_file_under_that_name_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(BackboneError, match="cannot be read as GGUF") as caught:
        read_backbone(tmp_path / "model.gguf")
    assert "\n" not in str(caught.value)


def test_a_pinned_file_with_another_hash_is_refused(home: Home) -> None:
    pinned = PINNED["smollm2"]
    home.backbones.mkdir(parents=True)
    write(home.backbones / pinned.file)
    with pytest.raises(BackboneError, match=r"is not the file that was published.*adapterbot fetch smollm2"):
        load_backbone("SmolLM2")
