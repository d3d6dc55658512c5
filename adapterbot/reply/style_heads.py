"""6 · Rank heads: linear classifiers on the sentence encoder's vectors that tell how clearly a draft carries a style.

As in Madotto et al. 2020 (section 3.4), after Plug-and-Play Conversational Models (Madotto et al. 2020, arXiv
2010.04344), but over MiniLM's vectors, so that they are of no backbone: one linear map per attribute gives the logits
of its labels. Of several drafts the one with the lowest cross-entropy for the wanted label wins. N texts, w encoder
width.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from adapterbot.data.attributes import ATTRIBUTES
from adapterbot.errors import WeightsError
from adapterbot.home import Home
from adapterbot.manager.encoder import WEIGHTS, Encoder, minilm
from adapterbot.reply.features import Style

HEADS = "heads.safetensors"
MARKS = "?!"  # that carry a style and hardly move a vector


@dataclass(frozen=True, slots=True)
class StyleHeads:
    """`weights[attribute]` [labels, w + 3] over what is `seen` of a text, the bias last."""

    encoder: Encoder
    weights: Mapping[str, Tensor]

    @torch.inference_mode()
    def log_probs(self, attribute: str, texts: Sequence[str]) -> Tensor:
        """Log-probability of each label of `attribute`, in the order of ATTRIBUTES: [N, labels]."""
        weight = self.weights[attribute]
        return F.log_softmax(seen(self.encoder, texts) @ weight[:, :-1].T + weight[:, -1], dim=-1)

    def style(self, wanted: str) -> Style:
        """The log-probability that texts have the wanted `attribute:label`."""
        attribute, _, label = wanted.partition(":")
        column = ATTRIBUTES[attribute].index(label)
        return lambda texts: self.log_probs(attribute, texts)[:, column].tolist()


def seen(encoder: Encoder, texts: Sequence[str]) -> Tensor:
    """The texts' vectors, and whether each has each of MARKS: [N, w + 2]."""
    marks = [[float(mark in text) for mark in MARKS] for text in texts]
    return torch.cat([encoder.encode(texts), torch.tensor(marks).view(len(texts), len(MARKS))], -1)


def load_heads(home: Home) -> StyleHeads | None:
    """The heads that the user trained, else those that ship; None when there are none.

    Raises:
        WeightsError: the file is damaged, of another encoder, misshapen or not finite.
    """
    paths = (home.manager / HEADS, WEIGHTS / HEADS)
    return next((_read(path, minilm()) for path in paths if path.is_file()), None)


def _read(path: Path, encoder: Encoder) -> StyleHeads:
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from None
    if about.get("encoder") != encoder.fingerprint or about.get("labels") != json.dumps(ATTRIBUTES):
        raise WeightsError(f"{path} has heads of another encoder or labels; train them again: adapterbot train-heads")
    shapes = {name: (len(labels), encoder.width + len(MARKS) + 1) for name, labels in ATTRIBUTES.items()}
    if {name: tuple(t.shape) for name, t in tensors.items()} != shapes:
        raise WeightsError(f"{path} does not fit: expected {shapes}")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise WeightsError(f"{path} holds NaN or infinite values")
    return StyleHeads(encoder, {name: tensors[name] for name in ATTRIBUTES})
