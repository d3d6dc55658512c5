"""6 · How well a reply goes with what was said: two small towers over the encoder's vectors.

The context tower attends over the newest message and the utterances before it, the reply tower reads a reply; their
cosine, scaled, is a logit. Trained to find the true reply among those of other dialogues and what was said before
(InfoNCE, van den Oord et al. 2018; dual encoders for replies, Henderson et al. 2017). N contexts, M replies, w encoder
width.
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
from adapterbot.manager.classifier import Head, features
from adapterbot.manager.encoder import Encoder

RANKER = "ranker.safetensors"
HIDDEN = 384


class Towers(nn.Module):
    """The trained part: 1.1 M weights on MiniLM. Both towers add to a vector of the encoder: untrained, they compare
    the reply with the newest message."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.context = Head(width, width, dropout=0.1)
        last = nn.Linear(HIDDEN, width)
        self.reply = nn.Sequential(nn.Linear(width, HIDDEN), nn.GELU(), last)
        self.scale = nn.Parameter(torch.tensor(3.0))  # log of the factor on the cosine
        for linear in (self.context.out, last):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def contexts(self, rows: Tensor) -> Tensor:
        """[N, (1 + HISTORY) * w] as `classifier.features` makes them -> unit rows [N, w]."""
        message = rows[:, : self.context.width]
        return F.normalize(message + self.context(rows) / self.context.width**0.5, dim=-1)

    def replies(self, vectors: Tensor) -> Tensor:
        """[M, w] -> unit rows [M, w]."""
        root = self.context.width**0.5  # unit vectors to entries of about 1, and back
        return F.normalize(vectors + self.reply(vectors * root) / root, dim=-1)

    def forward(self, contexts: Tensor, replies: Tensor) -> Tensor:
        """Contexts [N, (1 + HISTORY) * w], replies [M, w] -> logits [N, M]."""
        return self.scale.exp() * self.contexts(contexts) @ self.replies(replies).T


class Ranker:
    """Scores drafts against the conversation. Read-only, safe to call from several threads."""

    def __init__(self, towers: Towers, encoder: Encoder) -> None:
        self.towers = towers.eval().requires_grad_(False)
        self._encoder = encoder

    @torch.inference_mode()
    def relevance(self, utterances: Sequence[str], replies: Sequence[str]) -> list[float]:
        """Log-probability of each of `replies` being the one, among them, that follows `utterances` (newest last)."""
        *before, message = utterances
        context = features(self._encoder, message, before)
        vectors = self._encoder.encode(replies)
        return torch.log_softmax(self.towers(context, vectors)[0], -1).tolist()


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
        why = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} does not fit ({why}); train it again: adapterbot train-ranker") from None
    return Ranker(towers, encoder)
