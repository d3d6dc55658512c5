"""GGUF files: the weights, the numbers and the vocabulary that transformers reads from them, or one line of error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf_files import CONTROLS, MERGES, SHAPE, TEMPLATE, TOKENS, write
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers

from adapterbot.errors import BackboneError
from adapterbot.home import Home
from adapterbot.network.architectures.shape import Rope
from adapterbot.network.backbone import load_backbone, read_backbone
from adapterbot.network.gguf import GGUFFile
from adapterbot.network.names import PINNED


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
