"""Train the rank heads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from adapterbot.data.attributes import ATTRIBUTES, balanced, labelled
from adapterbot.home import written_by_rename
from adapterbot.manager.encoder import Encoder
from adapterbot.network.device import on_fastest
from adapterbot.reply.style_heads import HEADS, seen
from adapterbot.training.logistic import fit_linear

TEXTS = 12_000  # that a head is trained on
HELD = 1_500  # that it is scored on


def train_heads(
    encoder: Encoder, corpora: Path, out: Path, *, seed: int = 0, announce: Callable[[str], None] = lambda _: None
) -> dict[str, float]:
    """Train one head per attribute and write heads.safetensors into `out`; the accuracy on held-out texts by attribute.

    Raises:
        DataError: a corpus of labelled texts is missing.
    """
    sets = {name: balanced(labelled(name, corpora), TEXTS + HELD, f"{seed} {name}") for name in ATTRIBUTES}
    tensors, accuracy = {}, {}
    with on_fastest(encoder):
        for name, pairs in sets.items():
            rows = seen(encoder, [text for text, _ in pairs]).clone()  # out of inference mode
            wanted = torch.tensor([ATTRIBUTES[name].index(label) for _, label in pairs])
            held = min(HELD, len(pairs) // 5)
            weight = fit_linear(rows[held:], wanted[held:], len(ATTRIBUTES[name]), seed)
            guessed = (rows[:held] @ weight[:, :-1].T + weight[:, -1]).argmax(-1)
            accuracy[name] = float((guessed == wanted[:held]).float().mean())
            tensors[name] = weight.contiguous()
            announce(f"rank head {name}: right on {accuracy[name]:.1%} of {held:,} held-out texts")
    with written_by_rename(out / HEADS) as temporary:
        about = {"encoder": encoder.fingerprint, "labels": json.dumps(ATTRIBUTES)}
        save_file(tensors, temporary, about)
    return accuracy
