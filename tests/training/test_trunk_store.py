"""The store of trunks gives what is computed, computes it once, and keeps to its bound."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import make_chatml, make_tiny

from adapterbot.network.backbone import Backbone
from adapterbot.network.tree import Tree, TreeBatch, merge
from adapterbot.network.trunk import Trunk, trunk_of
from adapterbot.reply.prompt import encode
from adapterbot.training import trunk_store
from adapterbot.training.trunk_store import NUMBERS, TrunkStore


@pytest.fixture(scope="module", params=["chatml", "gpt2"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    """One of each family."""
    return make_chatml() if request.param == "chatml" else make_tiny(layers=3)


def trees(backbone: Backbone, whole: bool) -> list[Tree]:
    """Six dialogues of one to six words a turn."""
    talks = [["word " * (i + 1), "reply " * (7 - i), "again", "yes " * i + "no"] for i in range(6)]
    return [
        merge([encode(backbone.tokenizer, ["fact"], t[:n], positions=128, learn=[n - 1]) for n in (2, 4)], whole)
        for t in talks
    ]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many trees each computation of trunks was of."""
    counts: list[int] = []

    def counted(backbone: Backbone, batch: TreeBatch, first: int) -> Trunk:
        counts.append(len(batch.trees))
        return trunk_of(backbone, batch, first)

    monkeypatch.setattr(trunk_store, "trunk_of", counted)
    return counts


def alike(backbone: Backbone, ours: Trunk, batch: TreeBatch, first: int) -> None:
    wanted = trunk_of(backbone, batch, first)
    assert torch.allclose(ours.states, wanted.states, atol=1e-5)
    for b, tree in enumerate(batch.trees):
        own = (slice(None), slice(None), b, slice(None), slice(0, tree.prompts))
        assert torch.allclose(ours.kv[own], wanted.kv[own], atol=1e-5)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("first", [0, 1, 2])
def test_what_was_computed_is_read(
    backbone: Backbone, tmp_path: Path, computed: list[int], first: int, whole: bool
) -> None:
    every = trees(backbone, whole)
    store = TrunkStore(tmp_path, backbone, every, first)

    def ask(*places: int) -> None:
        batch = TreeBatch([every[i] for i in places], backbone.device, backbone.dtype)
        alike(backbone, store(batch), batch, first)

    ask(0, 1)
    ask(1, 0)
    if store.kept:
        assert computed == [2]
        ask(1, 4, 0, 3)
        assert computed == [2, 2]
        again = TrunkStore(tmp_path, backbone, every, first)
        store = again
        ask(3, 4)
        ask(5)
        assert computed == [2, 2, 1]
    else:
        assert (whole, first) == (True, 0)  # there is nothing to be kept


def test_what_has_no_room_is_computed_each_time(chatml: Backbone, tmp_path: Path, computed: list[int]) -> None:
    every = trees(chatml, whole=False)
    whole = TrunkStore(tmp_path / "whole", chatml, every, 1)
    size = (tmp_path / "whole" / NUMBERS).stat().st_size
    store = TrunkStore(tmp_path / "part", chatml, every, 1, largest=size // 2)
    assert 0 < store.kept < whole.kept == 6
    assert (tmp_path / "part" / NUMBERS).stat().st_size <= size // 2
    for _ in range(2):
        for batch in (every[:1], every[5:], [every[0], every[5]]):
            laid = TreeBatch(batch, chatml.device, chatml.dtype)
            alike(chatml, store(laid), laid, 1)
    assert computed == [1, 1, 2, 1, 2]


def test_without_a_disk_all_is_computed(chatml: Backbone, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    every = trees(chatml, whole=False)
    store = TrunkStore(tmp_path / "file", chatml, every, 1)
    batch = TreeBatch(every, chatml.device, chatml.dtype)
    alike(chatml, store(batch), batch, 1)
    assert store.kept == 0


def test_other_trees_are_computed(chatml: Backbone, tmp_path: Path, computed: list[int]) -> None:
    every = trees(chatml, whole=False)
    store = TrunkStore(tmp_path, chatml, every[:2], 1)
    for _ in range(2):
        for batch in (every[:2], every[2:4], every[1:3]):
            laid = TreeBatch(batch, chatml.device, chatml.dtype)
            alike(chatml, store(laid), laid, 1)
    assert computed == [2, 2, 2, 2, 2]
