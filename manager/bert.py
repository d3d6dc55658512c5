"""2 · The BERT encoder's forward pass (Devlin et al. 2019, arXiv 1810.04805), written out: text -> unit vector.

Reads any `model_type: bert` folder in the hub's layout (config.json, tokenizer.json, model.safetensors). Pooling is the
mean over the real tokens, then L2 normalisation (Reimers & Gurevych 2019, arXiv 1908.10084, section 3).
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from adapterbot.errors import WeightsError
from adapterbot.manager.low_rank import WORDS, load_update

MAX_TOKENS = 256
MAX_CHARACTERS = 4_000  # far more than 256 word pieces; keeps a 100 kB message from costing tokeniser time
BATCH = 64
PADDING = -1
SEGMENTS = "embeddings.token_type_embeddings.weight"
ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}


@dataclass(frozen=True, slots=True)
class BertShape:
    """The numbers of config.json that the forward pass needs."""

    width: int
    layers: int
    heads: int
    epsilon: float
    positions: int
    gelu: str


class BertEncoder:
    """Texts to unit vectors. `fingerprint` is the start of the weight file's SHA-256.

    Raises:
        WeightsError: a file is missing or damaged, the model is not a BERT, or the digest is not `sha256`.
    """

    def __init__(self, folder: Path, name: str, sha256: str | None = None) -> None:
        self.name = name
        self.plain = self  # without an update
        self.shape = _read_config(folder / "config.json")
        self.width = self.shape.width
        weights = folder / "model.safetensors"
        digest = _digest(weights)
        if sha256 is not None and digest != sha256:
            raise WeightsError(f"{weights} is not the file it should be: its SHA-256 is {digest}, expected {sha256}")
        self.fingerprint = digest[:16]
        self.weights = _read_weights(weights, self.shape)
        self._tokenizer = _read_tokenizer(folder / "tokenizer.json", min(MAX_TOKENS, self.shape.positions))

    def updated(self, path: Path, name: str) -> BertEncoder:
        """The encoder with a low-rank update of its weights, under another name; this one, `plain`, stays as it is.

        Raises:
            WeightsError: the file is damaged or an update of another encoder.
        """
        other = copy.copy(self)
        other.name = name
        other.weights, other.fingerprint = load_update(path, self.weights, self.fingerprint)
        return other

    def to(self, device: str, /) -> None:
        """Move the weights, in place."""
        self.weights = {name: tensor.to(device) for name, tensor in self.weights.items()}

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Unit rows [N, width], float32, in the order of `texts`; they do not depend on what else is in the batch."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # similar lengths together: less padding
        rows = torch.empty(len(texts), self.width)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            rows[chosen] = self.pooled(self.tokens([texts[i] for i in chosen]), self.weights).cpu()
        return rows

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Ids [N, T], padded with PADDING."""
        encoded = self._tokenizer.encode_batch([_clean(text) for text in texts])
        return torch.tensor(
            [[i if m else PADDING for i, m in zip(e.ids, e.attention_mask, strict=True)] for e in encoded]
        )

    def ids(self, text: str) -> list[int]:
        """Ids of one text between the marks of its beginning and its end."""
        encoded = self._tokenizer.encode(_clean(text))
        return [i for i, real in zip(encoded.ids, encoded.attention_mask, strict=True) if real]

    def pieces(self, text: str) -> list[tuple[int, int, int]]:
        """The word pieces of a text without its marks of beginning and end: id, and the characters from and to."""
        encoded = self._tokenizer.encode(_clean(text), add_special_tokens=False)
        return [
            (i, *span)
            for i, span, real in zip(encoded.ids, encoded.offsets, encoded.attention_mask, strict=True)
            if real
        ]

    def pooled(self, ids: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Unit rows [N, width] of ids [N, T] by these weights, on their device; a gradient reaches the weights."""
        ids = ids.to(weights[WORDS].device)
        mask = ids != PADDING
        hidden = self._hidden(ids.clamp(min=0), mask, weights)
        real = mask.unsqueeze(-1).float()  # [N, T, 1]
        return F.normalize((hidden * real).sum(1) / real.sum(1).clamp(min=1.0), dim=-1)

    def _hidden(self, ids: Tensor, mask: Tensor, w: Mapping[str, Tensor]) -> Tensor:
        """ids, mask [B, T] -> last hidden states [B, T, width]."""
        # one segment only
        x = self.embedded(ids, w, w[SEGMENTS][0])
        return self.blocks(x, mask, w, self.shape.layers)

    def embedded(self, ids: Tensor, w: Mapping[str, Tensor], segments: Tensor) -> Tensor:
        """ids [B, T] and what their segments add [..., width] -> the input of the first block [B, T, width]."""
        places = w["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = F.embedding(ids, w[WORDS]).to(segments.dtype) + places + segments
        return self._norm(x, w, "embeddings.LayerNorm")

    def blocks(self, x: Tensor, mask: Tensor, w: Mapping[str, Tensor], layers: int) -> Tensor:
        """Hidden states [B, T, width] after the first `layers` blocks; mask [B, T], True = real token."""
        for layer in range(layers):
            x = self._block(x, mask[:, None, None, :], w, f"encoder.layer.{layer}.")
        return x

    def _block(self, x: Tensor, mask: Tensor, w: Mapping[str, Tensor], at: str) -> Tensor:
        """One post-norm transformer block, [B, T, C] -> [B, T, C]; mask [B, 1, 1, T], True = real token."""
        batch, length, width = x.shape
        heads = (batch, length, self.shape.heads, width // self.shape.heads)
        q, k, v = (
            _linear(x, w, f"{at}attention.self.{part}").view(heads).transpose(1, 2)  # [B, H, T, C/H]
            for part in ("query", "key", "value")
        )
        # written out: on a processor torch's fused attention takes several times as long backwards
        scores = (q @ k.transpose(-1, -2)) * heads[-1] ** -0.5  # [B, H, T, T]
        seen = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
        mixed = (seen @ v).transpose(1, 2).reshape(x.shape)
        x = self._norm(x + _linear(mixed, w, f"{at}attention.output.dense"), w, f"{at}attention.output.LayerNorm")
        inner = F.gelu(_linear(x, w, f"{at}intermediate.dense"), approximate=self.shape.gelu)  # [B, T, 4C]
        return self._norm(x + _linear(inner, w, f"{at}output.dense"), w, f"{at}output.LayerNorm")

    def _norm(self, x: Tensor, w: Mapping[str, Tensor], at: str) -> Tensor:
        return F.layer_norm(x, (self.width,), w[f"{at}.weight"], w[f"{at}.bias"], self.shape.epsilon)


def _linear(x: Tensor, w: Mapping[str, Tensor], at: str) -> Tensor:
    return F.linear(x, w[f"{at}.weight"], w[f"{at}.bias"])


def _clean(text: str) -> str:
    """`text` as valid Unicode (an unpaired surrogate becomes '?'), cut to `MAX_CHARACTERS`."""
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(
            f"{path} cannot be read: {error.strerror}; an encoder folder has model.safetensors"
        ) from None


def _read_config(path: Path) -> BertShape:
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from None
    kind = config.get("model_type")
    if kind != "bert":
        raise WeightsError(f"{path}: model_type is {kind!r}; only BERT encoders (model_type 'bert') are read")
    activation = config.get("hidden_act", "gelu")
    if activation not in ACTIVATIONS or config.get("position_embedding_type", "absolute") != "absolute":
        raise WeightsError(f"{path}: needs absolute positions and one of the activations {', '.join(ACTIVATIONS)}")
    try:
        return BertShape(
            width=int(config["hidden_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=int(config["num_attention_heads"]),
            epsilon=float(config.get("layer_norm_eps", 1e-12)),
            positions=int(config["max_position_embeddings"]),
            gelu=ACTIVATIONS[activation],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: bad or missing number: {error}") from None


def _read_weights(path: Path, shape: BertShape) -> dict[str, Tensor]:
    """The tensors by their name without a leading `bert.`, as float32."""
    try:
        raw = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged: {error}") from None
    tensors = {k.removeprefix("bert."): v.float() for k, v in raw.items() if v.is_floating_point()}
    needed = [WORDS, "embeddings.position_embeddings.weight"]
    needed += [SEGMENTS, "embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias"]
    inside = [f"attention.self.{p}" for p in ("query", "key", "value")] + ["attention.output.dense", "output.dense"]
    inside += ["attention.output.LayerNorm", "intermediate.dense", "output.LayerNorm"]
    for layer in range(shape.layers):
        needed += [f"encoder.layer.{layer}.{part}.{kind}" for part in inside for kind in ("weight", "bias")]
    missing = [name for name in needed if name not in tensors]
    if missing:
        raise WeightsError(f"{path} lacks {len(missing)} tensor(s), first {missing[0]!r}")
    return {name: tensors[name] for name in needed}


def _read_tokenizer(path: Path, tokens: int) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception for every fault
        raise WeightsError(f"{path} cannot be read: {error}") from None
    tokenizer.enable_truncation(tokens)
    tokenizer.enable_padding()
    return tokenizer
