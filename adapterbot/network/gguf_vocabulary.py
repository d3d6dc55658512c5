"""The vocabulary in a GGUF header as a tokenizer: byte-level BPE, split as its `tokenizer.ggml.pre` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from adapterbot.errors import BackboneError, reason, shorten

CONTROL, USER_DEFINED = 3, 4  # of tokenizer.ggml.token_type

_LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# How text is cut before it is merged, and whether a piece that is a token is taken whole.
PATTERNS = {"qwen2": rf"{_LETTERS}\p{{N}}{_REST}", "llama-bpe": rf"{_LETTERS}\p{{N}}{{1,3}}{_REST}"}
KNOWN = ("smollm", "gpt-2", *PATTERNS)


def vocabulary_of(header: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that a header describes.

    Raises:
        BackboneError: another model than BPE over bytes, cut in an unknown way, or a list is missing or garbled.
    """
    model = header.get("tokenizer.ggml.model")
    if model != "gpt2":
        raise BackboneError(f"a vocabulary of the kind {shorten(repr(model))} is not supported, only 'gpt2'")
    cut = header.get("tokenizer.ggml.pre")
    if cut not in KNOWN:
        raise BackboneError(f"tokenizer.ggml.pre {shorten(repr(cut))} is not supported; there are: {', '.join(KNOWN)}")
    tokens, merges = (_strings(header, f"tokenizer.ggml.{name}") for name in ("tokens", "merges"))
    vocabulary = {token: i for i, token in enumerate(tokens)}
    pairs: Any = [tuple(merge.split(" ")) for merge in merges]
    try:
        fast = Tokenizer(BPE(vocabulary, pairs, ignore_merges=cut == "llama-bpe"))
    except Exception as error:  # the Rust library raises bare Exceptions
        raise BackboneError(f"the vocabulary cannot be read: {reason(error)}") from None
    if cut == "qwen2":
        fast.normalizer = normalizers.NFC()
    fast.pre_tokenizer = _cutter(cut)
    fast.decoder = decoders.ByteLevel()
    kinds = header.get("tokenizer.ggml.token_type") or ()
    for token, kind in zip(tokens, kinds, strict=False):
        if kind in (CONTROL, USER_DEFINED):
            special = kind == CONTROL
            add = fast.add_special_tokens if special else fast.add_tokens
            add([AddedToken(token, special=special, normalized=False)])
    return fast


def _cutter(name: str) -> Any:
    """What cuts text into words."""
    if name in PATTERNS:
        cut = pre_tokenizers.Split(Regex(PATTERNS[name]), "isolated")
        return pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if name == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), words])
    return words


def _strings(header: Mapping[str, Any], name: str) -> Sequence[str]:
    """A list of strings, which has to be there."""
    value = header.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise BackboneError(f"the header lacks {name}")
    return value
