"""What the tests of sources share: conversations, specs, files of passages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapterbot.history import History
from adapterbot.spec.tables import KnowledgeTable, SkillSpec
from adapterbot.turn import Fact

THREE = [("Tea", "Tea is a hot drink. It is brewed."), ("Bread", "Bread is baked."), ("Snow", "Snow is cold rain.")]


class Letters:
    """A small real encoder: a text is the counts of its letters, as a unit vector. Counts its calls."""

    def __init__(self, fingerprint: str = "letters") -> None:
        self.fingerprint, self.encoded = fingerprint, list[str]()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.encoded += texts
        rows = np.array([[t.lower().count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for t in texts], dtype=np.float32)
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), dtype=np.float32)


def talk(*turns: str) -> History:
    """A conversation whose last turn is the user's."""
    history = History()
    for i, text in enumerate(turns):
        history = history.add_user(text) if (len(turns) - i) % 2 else history.add_bot(text)
    return history


def skill(folder: Path, **table: Any) -> SkillSpec:
    knowledge = KnowledgeTable(**table)
    return SkillSpec(name="mine", folder=folder, summary="s", group="knowledge", knowledge=knowledge)


def write(path: Path, passages: Sequence[tuple[str, str]] = THREE) -> Path:
    path.write_text("".join(json.dumps({"title": t, "text": x}) + "\n" for t, x in passages), encoding="utf-8")
    return path


def titles(facts: Sequence[Fact]) -> list[str]:
    return [fact.heading for fact in facts]
