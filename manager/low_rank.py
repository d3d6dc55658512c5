"""2 · Low-rank updates of an encoder's weights (LoRA, Hu et al. 2021, arXiv 2106.09685): W + Up Down.

The encoder's own file stays as it is; what a training adds is a small file beside it, merged when it is loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from adapterbot.errors import WeightsError
from adapterbot.home import written_by_rename
from adapterbot.network.device import has_bf16

RANK = 32
WORDS = "embeddings.word_embeddings.weight"
BASE = "base"  # metadata: fingerprint of the encoder that the update is for


class LowRank(nn.Module):
    """One pair down [r, in], up [out, r] for every matrix of the blocks; up starts at zero, so it changes nothing."""

    def __init__(self, weights: Mapping[str, Tensor], rank: int = RANK) -> None:
        super().__init__()
        self.names = sorted(n for n, w in weights.items() if n.startswith("encoder.layer.") and w.dim() == 2)
        matrices = [weights[name] for name in self.names]
        self.down = nn.ParameterList(torch.randn(rank, w.shape[1]) / w.shape[1] ** 0.5 for w in matrices)
        self.up = nn.ParameterList(torch.zeros(w.shape[0], rank) for w in matrices)

    def merged(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All of `weights`, those of the blocks with their update added."""
        pairs = zip(self.names, self.up, self.down, strict=True)
        return {**weights, **{name: weights[name] + up @ down for name, up, down in pairs}}


def merged_to_read(update: LowRank, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The merged weights as a head reads by them: bf16 where that is in hardware, which takes 40 % of the time.

    Of the words' vectors few are ever read: they stay in their file.
    """
    kept = torch.bfloat16 if has_bf16() else torch.float32
    return {name: w if name == WORDS else w.detach().to(kept) for name, w in update.merged(weights).items()}


def save_update(path: Path, update: LowRank, base: str) -> None:
    """Write the update (fp16) by rename; `base` is the fingerprint of the encoder that it is for."""
    tensors = {
        f"{name}.{part}": tensor.detach().half().cpu().contiguous()
        for part, own in (("up", update.up), ("down", update.down))
        for name, tensor in zip(update.names, own, strict=True)
    }
    with written_by_rename(path) as temporary:
        save_file(tensors, temporary, {BASE: base})


def load_update(path: Path, weights: Mapping[str, Tensor], base: str) -> tuple[dict[str, Tensor], str]:
    """`weights` of the encoder with fingerprint `base` and the update of a file added, and their fingerprint.

    Raises:
        WeightsError: damaged, for another encoder, tensors missing or misshapen, or not finite.
    """
    try:
        with safe_open(path, framework="pt") as file:
            known = (file.metadata() or {}).get(BASE, "")
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a mapping)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from None
    if known != base:
        raise WeightsError(f"{path} is an update of another encoder ({known or 'it does not say which'}, not {base})")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        raise WeightsError(f"{path} holds NaN or infinite values")
    names = {name.rpartition(".")[0] for name in tensors}
    merged = dict(weights)
    for name in sorted(names):
        up = tensors.get(f"{name}.up")
        down = tensors.get(f"{name}.down")
        shape = weights[name].shape if name in weights else None
        if up is None or down is None or up.dim() != 2 or up.shape[1:] != down.shape[:1]:
            raise WeightsError(f"{path} does not fit: {name!r} lacks a part, or its parts do not go together")
        if shape != (up.shape[0], down.shape[1]):
            raise WeightsError(f"{path} does not fit: {name!r} is {tuple(shape) if shape else 'not in the encoder'}")
        merged[name] = weights[name] + up @ down
    return merged, digest
