"""6 · How well a reply goes with what was said: two small towers over the encoder's vectors.

The context tower reads the newest message and the two utterances before it, the reply tower
a reply; their cosine, scaled, is a logit. Trained to find the true reply among those of other dialogues (InfoNCE, van
den Oord et al. 2018; dual encoders for replies, Henderson et al. 2017). N contexts, M replies, w encoder width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from adapterbot.errors import WeightsError
from adapterbot.home import written_by_rename
from adapterbot.manager.encoder import Encoder

RANKER = "ranker.safetensors"
HISTORY = 2  # utterances before the one replied to
HIDDEN, OUTPUT = 256, 128


class Towers(nn.Module):
    """The trained part: 0.5 M weights on MiniLM."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.context = nn.Sequential(nn.Linear((1 + HISTORY) * width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, OUTPUT))
        self.reply = nn.Sequential(nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, OUTPUT))
        self.scale = nn.Parameter(torch.tensor(2.5))  # log of the factor on the cosine

    def forward(self, contexts: Tensor, replies: Tensor) -> Tensor:
        """Contexts [N, (1 + HISTORY) * w], replies [M, w] -> logits [N, M]."""
        left, right = F.normalize(self.context(contexts), dim=-1), F.normalize(self.reply(replies), dim=-1)
        out: Tensor = self.scale.exp() * left @ right.T
        return out


class Ranker:
    """Scores drafts against the conversation. Read-only, safe to call from several threads."""

    def __init__(self, towers: Towers, encoder: Encoder) -> None:
        self._towers, self._encoder = towers.eval().requires_grad_(False), encoder

    @torch.inference_mode()
    def relevance(self, utterances: Sequence[str], replies: Sequence[str]) -> list[float]:
        """Log-probability of each of `replies` being the one, among them, that follows `utterances` (newest last)."""
        recent = list(utterances)[-(1 + HISTORY) :]
        vectors = self._encoder.encode([*recent, *replies])
        context = context_row(vectors[: len(recent)])
        return torch.log_softmax(self._towers(context[None], vectors[len(recent) :])[0], -1).tolist()


def context_row(vectors: Tensor) -> Tensor:
    """[(1 + HISTORY) * w] from the vectors [n, w] of the last utterances, newest last: the newest comes first."""
    row = torch.zeros(1 + HISTORY, vectors.shape[1])
    row[0] = vectors[-1]
    if len(vectors) > 1:
        row[-(len(vectors) - 1) :] = vectors[:-1]
    return row.flatten()


def save_ranker(path: Path, towers: Towers, encoder: Encoder) -> None:
    """Write ranker.safetensors (fp16) by rename."""
    with written_by_rename(path) as temporary:
        tensors = {name: tensor.half().contiguous() for name, tensor in towers.state_dict().items()}
        save_file(tensors, temporary, {"encoder": encoder.fingerprint})


def trained_on(path: Path) -> str:
    """Fingerprint of the encoder that a ranker file was trained on; empty when the file does not say."""
    try:
        with safe_open(path, framework="pt") as file:
            return str((file.metadata() or {}).get("encoder", ""))
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from None


def load_ranker(path: Path, encoder: Encoder) -> Ranker:
    """A ranker that fits `encoder`; one that remembers its vectors saves most of the work.

    Raises:
        WeightsError: damaged, of another encoder, tensors missing or misshapen, or not finite.
    """
    if trained_on(path) != encoder.fingerprint:
        raise WeightsError(f"{path} was trained on another encoder; train it again: adapterbot train-ranker")
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from None
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise WeightsError(f"{path} holds NaN or infinite values")
    towers = Towers(encoder.width)
    try:
        towers.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit: {str(error)[:200]}") from None
    return Ranker(towers, encoder)
