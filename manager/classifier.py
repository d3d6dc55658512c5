"""2 · The head over the encoder: vectors of a message and of what was said before it -> one score per skill.

As in the paper (Madotto et al. 2020, section 3.3) a classifier over the dialogue history; here the encoder stays
frozen, so that training takes minutes on two cores and the file that ships is small.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from adapterbot.errors import WeightsError
from adapterbot.home import written_by_rename
from adapterbot.manager.encoder import Encoder

HISTORY = 2  # utterances before the message that are looked at: the user's, then the bot's
HIDDEN = 192
METADATA = "manager_classifier_v1"
CLASSIFIER = "classifier.safetensors"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the file says beside the weights. `threshold` and `margin`: see `router.Manager`."""

    classes: tuple[str, ...]
    encoder: str
    fingerprint: str
    width: int
    temperature: float = 1.0
    threshold: float = 0.0
    margin: float = 0.0
    metrics: Mapping[str, Any] = field(default_factory=dict)


class Head(nn.Module):
    """[N, (1 + HISTORY) * width] -> logits [N, classes]."""

    def __init__(self, width: int, classes: int, hidden: int = HIDDEN, dropout: float = 0.5) -> None:
        super().__init__()
        self.hidden = nn.Linear((1 + HISTORY) * width, hidden)
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, one per class."""
        return self.out(self.drop(nn.functional.gelu(self.hidden(self.drop(x)))))  # type: ignore[no-any-return]


def merge(heads: Sequence[Head]) -> Head:
    """One head whose logits are the mean of those of `heads`: their hidden units side by side."""
    first = heads[0]
    width, classes = first.hidden.in_features // (1 + HISTORY), first.out.out_features
    merged = Head(width, classes, sum(head.hidden.out_features for head in heads))
    merged.load_state_dict(
        {
            "hidden.weight": torch.cat([head.hidden.weight for head in heads]),
            "hidden.bias": torch.cat([head.hidden.bias for head in heads]),
            "out.weight": torch.cat([head.out.weight for head in heads], dim=1) / len(heads),
            "out.bias": torch.stack([head.out.bias for head in heads]).mean(0),
        }
    )
    return merged.eval()


class Classifier:
    """A trained head and its settings."""

    def __init__(self, head: Head, settings: Settings) -> None:
        self.head, self.settings = head.eval().requires_grad_(False), settings

    @torch.inference_mode()
    def probabilities(self, features: Tensor) -> Tensor:
        """Features [N, 3 * width] -> calibrated probabilities [N, classes] (temperature: Guo et al. 2017)."""
        return torch.softmax(self.head(features) / self.settings.temperature, dim=-1)

    def save(self, path: Path) -> None:
        """Write weights and settings by rename."""
        tensors = {name: t.contiguous() for name, t in self.head.state_dict().items()}
        # One key only: safetensors writes several in any order, and equal trainings are to give equal files.
        metadata = {METADATA: json.dumps(asdict(self.settings), sort_keys=True)}
        with written_by_rename(path) as temporary:
            save_file(tensors, temporary, metadata)


def features(encoder: Encoder, message: str, before: Sequence[str]) -> Tensor:
    """[1, 3 * width]: vectors of the message and of the last two utterances, oldest first; zeros where none is."""
    recent = list(before)[-HISTORY:]
    vectors = encoder.encode([message, *recent])  # [1 + len(recent), width]
    row = torch.zeros(1 + HISTORY, encoder.width)
    row[0] = vectors[0]
    if recent:
        row[-len(recent) :] = vectors[1:]
    return row.flatten().unsqueeze(0)


def decide(scores: Tensor, threshold: float, margin: float, fallback: int) -> Tensor:
    """Chosen classes [N] of scores [N, K]: the best one if it is high and clear enough, else the fallback."""
    best, chosen = scores.topk(2, dim=-1)
    sure = (best[:, 0] >= threshold) & (best[:, 0] - best[:, 1] >= margin)
    return torch.where(sure, chosen[:, 0], torch.full_like(chosen[:, 0], fallback))


def read_settings(path: Path) -> Settings:
    """The settings of a classifier file, without its tensors.

    Raises:
        WeightsError: the file is damaged or no classifier.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        if METADATA not in metadata:
            raise WeightsError(f"{path} is not a manager's classifier (no {METADATA!r} in its metadata)")
        raw = json.loads(metadata[METADATA])
        return _checked(path, Settings(**{**raw, "classes": tuple(raw["classes"])}))
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{path}: its settings are not valid: {error}") from None


def load_classifier(path: Path, encoder: Encoder) -> Classifier:
    """A classifier that fits `encoder`.

    Raises:
        WeightsError: damaged, trained on another encoder, tensors missing, of another shape, or not finite.
    """
    settings = read_settings(path)
    if settings.fingerprint != encoder.fingerprint:
        raise WeightsError(
            f"{path} was trained on the encoder {settings.encoder} ({settings.fingerprint[:16]}), "
            f"not on {encoder.name} ({encoder.fingerprint[:16]}); train again: adapterbot train-manager"
        )
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a mapping)
    bad = next((name for name, t in tensors.items() if not torch.isfinite(t).all()), None)
    if bad:
        raise WeightsError(f"{path}: {bad!r} holds NaN or infinity")
    width = tensors["hidden.weight"].shape[0] if tensors.get("hidden.weight", torch.empty(0)).dim() == 2 else HIDDEN
    head = Head(settings.width, len(settings.classes), width)
    try:
        head.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{path}: {' '.join(str(error).split())}") from None
    return Classifier(head, settings)


def _checked(path: Path, settings: Settings) -> Settings:
    numbers = (settings.temperature, settings.threshold, settings.margin)
    if not all(isinstance(n, float) and 0 <= n < 100 for n in numbers) or settings.temperature <= 0:
        raise WeightsError(f"{path}: temperature, threshold or margin is out of range")
    if len(set(settings.classes)) < 2 or not all(isinstance(c, str) for c in settings.classes):
        raise WeightsError(f"{path}: a classifier chooses among two skills or more")
    return settings
