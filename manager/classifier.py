"""2 · The head over the encoder: vectors of a message and of what was said before it -> one score per skill.

As in the paper (Madotto et al. 2020, section 3.3) a classifier over the dialogue history; here the encoder stays
frozen and a small transformer attends over one vector per utterance, so that training takes minutes on two cores and
the file that ships is small.
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

HISTORY = 6  # utterances before a message that are looked at, the user's and the bot's
EARLIER = 2  # messages before the newest one that are judged as well
SPAN = HISTORY + 2 * EARLIER  # utterances before the newest message that this takes
# Chance that a message is of any skill, whatever the one before was of: more keeps changes of topic, less keeps small
# talk where it was. Chosen by the validation dialogues and the changes of topic among the hand-written messages.
CHANGE = 0.85
WIDTH = 192
LAYERS = 2
ATTENTIONS = 4
ALONE = 0.3  # how much the message counts by itself, so that a change of topic is seen after a long talk
METADATA = "manager_classifier_v2"
CLASSIFIER = "classifier.safetensors"
# Half the size of fp32, and smaller than fp16 in a wheel. On the 444 hand-written messages no choice changes by it and
# no probability by more than 0.0023.
STORED = torch.bfloat16


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
    """[N, (1 + HISTORY) * width] -> logits [N, classes]: attention over the utterances, read off at the message."""

    def __init__(self, width: int, classes: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.width = width
        self.project = nn.Linear(width, WIDTH)
        self.drop = nn.Dropout(dropout)
        self.place = nn.Parameter(torch.randn(1 + HISTORY, WIDTH) * 0.02)
        layer = nn.TransformerEncoderLayer(
            WIDTH, ATTENTIONS, 2 * WIDTH, dropout, "gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(WIDTH)
        self.out = nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, one per class."""
        vectors = x.view(len(x), 1 + HISTORY, self.width)
        silent = (vectors == 0).all(-1)  # [N, 1 + HISTORY] where nothing was said
        silent[:, 0] = False
        scaled = vectors * self.width**0.5  # unit vectors to entries of about 1
        hidden = self.blocks(self.project(self.drop(scaled)) + self.place, src_key_padding_mask=silent)
        return self.out(self.drop(self.norm(hidden[:, 0])))  # type: ignore[no-any-return]


class HeadEnsemble(nn.ModuleList):
    """Heads that differ by their seed; the mean of their logits, in part as if nothing had been said before."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits, one per class."""
        alone = x.view(len(x), 1 + HISTORY, -1).clone()
        alone[:, 1:] = 0
        after, by_itself = (torch.stack([head(rows) for head in self]).mean(0) for rows in (x, alone.flatten(1)))
        return (1 - ALONE) * after + ALONE * by_itself


class Classifier:
    """A trained head and its settings."""

    def __init__(self, head: HeadEnsemble, settings: Settings) -> None:
        self.head = head.eval().requires_grad_(False)
        self.settings = settings

    @torch.inference_mode()
    def probabilities(self, features: Tensor) -> Tensor:
        """Features [N, (1 + SPAN) * width] -> calibrated probabilities [N, classes] (Guo et al. 2017)."""
        return filtered(*self.logits(features), self.settings.temperature)

    @torch.inference_mode()
    def logits(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features [N, (1 + SPAN) * width] -> logits [N, 1 + EARLIER, classes] of the messages in them, newest last,
        and which of them [N, 1 + EARLIER] were said at all."""
        vectors = features.view(len(features), 1 + SPAN, -1)
        ends = range(SPAN - 2 * EARLIER, SPAN, 2)  # places of the earlier messages, less 1
        messages = [*(vectors[:, 1 + end] for end in ends), vectors[:, 0]]
        before = [vectors[:, 1 + end - HISTORY : 1 + end] for end in (*ends, SPAN)]
        rows = [torch.cat([m.unsqueeze(1), b], 1).flatten(1) for m, b in zip(messages, before, strict=True)]
        logits = self.head(torch.cat(rows)).view(len(rows), len(features), -1).transpose(0, 1)
        return logits, torch.stack([m.any(-1) for m in messages], 1)

    def save(self, path: Path) -> None:
        """Write weights (as STORED) and settings by rename."""
        tensors = {name: t.to(STORED).contiguous() for name, t in self.head.state_dict().items()}
        # One key only: safetensors writes several in any order, and equal trainings are to give equal files.
        metadata = {METADATA: json.dumps(asdict(self.settings), sort_keys=True)}
        with written_by_rename(path) as temporary:
            save_file(tensors, temporary, metadata)


def filtered(logits: Tensor, said: Tensor, temperature: float) -> Tensor:
    """Probabilities [N, K] of the newest message's skill, given logits [N, M, K] of M messages and which were `said`.

    Who talks of weather goes on talking of it, unless the next message speaks against it: the forward algorithm of a
    hidden Markov model (Rabiner 1989, section III.A) whose state changes with the chance CHANGE.
    """
    likely = torch.log_softmax(logits / temperature, dim=-1)
    belief = torch.full_like(likely[:, 0], 1 / likely.shape[-1])
    for i in range(likely.shape[1]):
        prior = (1 - CHANGE) * belief + CHANGE / likely.shape[-1]
        belief = torch.where(said[:, i, None], torch.softmax(likely[:, i] + prior.log(), dim=-1), belief)
    return belief


def features(encoder: Encoder, message: str, before: Sequence[str], span: int = HISTORY) -> Tensor:
    """[1, (1 + span) * width]: vectors of the message and of the last utterances, oldest first, else zeros."""
    recent = list(before)[-span:]
    vectors = encoder.encode([message, *recent])  # [1 + len(recent), width]
    row = torch.zeros(1 + span, encoder.width)
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
            if "manager_classifier_v1" in metadata:
                raise WeightsError(f"{path} is from an earlier version; train again: adapterbot train-manager")
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
    count = max(1, len({name.split(".")[0] for name in tensors}))  # a file without any lacks those of one
    head = HeadEnsemble(Head(settings.width, len(settings.classes)) for _ in range(count))
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
