"""A small skill of one's own that tests train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from adapterbot.home import Home
from adapterbot.network.backbone import Backbone
from adapterbot.spec.folders import SkillFolders
from adapterbot.spec.tables import SkillSpec
from adapterbot.training.skill import TrainingResult, train_skill

SPEC = """summary = "Answers in verse."
group = "style"
data = {{ path = "talk.jsonl" }}
adapter = {{ bottleneck = 4, first_layer = {first_layer} }}
train = {{ epochs = 3, batch = 4, lr = {lr}, patience = 5 }}
routing = {{ examples = ["Snow?", "Rain?"] }}
decode = {{ max_tokens = 5 }}
"""


def write_skill(home: Home, lr: float = 0.01, first_layer: int = 0, lines: int = 24) -> SkillSpec:
    """A user's own skill with a corpus written by hand."""
    folder = home.skills / "haiku"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "skill.toml").write_text(SPEC.format(lr=lr, first_layer=first_layer))
    things = ["snow", "rain", "wind", "frost", "moon", "river", "autumn", "spring"]
    dialogues = [
        {
            "id": f"h{i}",
            "turns": [
                {"speaker": "user", "text": f"Tell me of {things[i % 8]} number {i}"},
                {"speaker": "system", "text": f"{things[i % 8]} falls on the old pond"},
            ],
        }
        for i in range(lines)
    ]
    (folder / "talk.jsonl").write_text("\n".join(map(json.dumps, dialogues)))
    return SkillFolders(home).load("haiku")


def train(spec: SkillSpec, backbone: Backbone, home: Home, **options: Any) -> TrainingResult:
    """A training that says nothing and saves after every update."""
    return train_skill(spec, backbone, home=home, quiet=True, checkpoint_seconds=-1.0, **options)


def same_file(one: Path, other: Path) -> None:
    """Both folders hold the same adapter, bit for bit."""
    ours, theirs = load_file(one / "adapter.safetensors"), load_file(other / "adapter.safetensors")
    assert all(torch.equal(ours[n], theirs[n]) for n in ours)
