"""6 · Rank heads: linear classifiers on the frozen backbone's states that tell how clearly a draft carries a style.

As in Madotto et al. 2020 (section 3.4), after Plug-and-Play Conversational Models (Madotto et al. 2020, arXiv
2010.04344): the states of the last layer are averaged over the draft's tokens, and one linear map per attribute gives
the logits of its labels. Of several drafts the one with the lowest cross-entropy for the wanted label wins.
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
from adapterbot.manager.encoder import WEIGHTS
from adapterbot.network.backbone import Backbone
from adapterbot.reply.rerank import Style

HEADS = "heads.safetensors"
# Times the log-probability of the wanted label: it decides, what else ranks a draft only among drafts alike in style.
STRENGTH = 120.0


@dataclass(frozen=True, slots=True)
class StyleHeads:
    """`weights[attribute]` [labels, d + 1], the bias last. `mean` and `scale` [d] bring the states to unit variance."""

    backbone: Backbone
    mean: Tensor
    scale: Tensor
    weights: Mapping[str, Tensor]

    @torch.inference_mode()
    def log_probs(self, attribute: str, texts: Sequence[str]) -> Tensor:
        """Log-probability of each label of `attribute`, in the order of ATTRIBUTES: [N, labels]."""
        states = (self.backbone.pooled(texts) - self.mean) / self.scale  # [N, d]
        weight = self.weights[attribute]
        return F.log_softmax(states @ weight[:, :-1].T + weight[:, -1], dim=-1)

    def style(self, wanted: str) -> Style:
        """What the wanted `attribute:label` gains a draft, in nats."""
        attribute, _, label = wanted.partition(":")
        column = ATTRIBUTES[attribute].index(label)
        return lambda texts: (STRENGTH * self.log_probs(attribute, texts)[:, column]).tolist()


def load_heads(backbone: Backbone, home: Home) -> StyleHeads | None:
    """The heads that the user trained, else those that ship, if they are of this backbone; None when there are none.

    Raises:
        WeightsError: the file is damaged, misshapen or not finite.
    """
    for path in (home.manager / HEADS, WEIGHTS / HEADS):
        if path.is_file() and _about(path).get("backbone") == backbone.fingerprint:
            return _read(path, backbone)
    return None


def _about(path: Path) -> Mapping[str, str]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from None


def _read(path: Path, backbone: Backbone) -> StyleHeads:
    if _about(path).get("labels") != json.dumps(ATTRIBUTES):
        raise WeightsError(f"{path} has heads for other labels; train them again: adapterbot train-heads")
    tensors = load_file(path)
    shapes: dict[str, tuple[int, ...]] = {"mean": (backbone.width,), "scale": (backbone.width,)}
    shapes |= {name: (len(labels), backbone.width + 1) for name, labels in ATTRIBUTES.items()}
    if {name: tuple(t.shape) for name, t in tensors.items()} != shapes:
        raise WeightsError(f"{path} does not fit: expected {shapes}")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise WeightsError(f"{path} holds NaN or infinite values")
    return StyleHeads(backbone, tensors["mean"], tensors["scale"], {name: tensors[name] for name in ATTRIBUTES})
