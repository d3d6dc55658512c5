"""Adapters on disk: few of many are in memory, who is held stays the same, and a new version is another."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import pytest
import torch
from conftest import random_adapter

from adapterbot.errors import AdapterError, SettingError, UnknownNameError
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import OnDisk, list_adapter, save_adapter
from adapterbot.network.adapters.shelf import Shelf
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.backbone import Backbone
from adapterbot.spec.tables import AdapterTable

NAMES = "abcdef"


def listed(backbone: Backbone, root: Path, names: str = NAMES) -> dict[str, OnDisk]:
    """An adapter on disk for each name."""
    entries = {}
    for seed, name in enumerate(names):
        path = root / name / "adapter.safetensors"
        random_adapter(backbone, path, seed)
        entries[name] = list_adapter(path, backbone.shape, backbone.fingerprint)
    return entries


@pytest.fixture
def shelf(tiny: Backbone, tmp_path: Path) -> Shelf:
    """Six adapters on disk, of which three have room; `a` is pinned."""
    return Shelf(tiny, listed(tiny, tmp_path), most=3, pinned=["a"])


def in_memory(shelf: Shelf) -> set[str]:
    """Whose weights are anywhere in memory; what nobody refers to is collected first."""
    gc.collect()
    return set(shelf._held)


def test_nothing_is_read_before_it_is_asked_for(shelf: Shelf, tiny: Backbone, tmp_path: Path) -> None:
    assert (shelf.loaded, shelf.nbytes, shelf.loads) == (0, 0, 0)
    bank = AdapterBank(tiny, shelf)
    whole = AdapterBank(tiny, {n: e.load(tiny.shape, tiny.fingerprint) for n, e in listed(tiny, tmp_path).items()})
    assert bank.parameters("a") == whole.parameters("a") > 0
    assert bank.on_prompts(["a", "b"]) == whole.on_prompts(["a", "b"])
    assert shelf.loaded == 0, "what a file says of itself is told without its weights"
    ids = torch.tensor([[3, 5, 7], [17, 19, 23]])
    with torch.inference_mode():
        ours, wanted = (tiny.decoder(ids, each.select(["b", "e"])) for each in (bank, whole))
    assert torch.equal(ours, wanted)
    assert shelf.loaded == 2


def test_who_was_not_asked_for_longest_leaves_and_pinned_ones_never(shelf: Shelf) -> None:
    for name in "abc":
        shelf.get(name)
    assert in_memory(shelf) == {"a", "b", "c"}
    shelf.get("b")
    shelf.get("d")
    assert in_memory(shelf) == {"a", "b", "d"}
    for name in "cdefbc":
        shelf.get(name)
    assert in_memory(shelf) == {"a", "b", "c"}
    assert shelf.loaded == 3


def test_who_is_held_is_not_read_again(shelf: Shelf) -> None:
    held = shelf.get("b")
    for name in "cdef":
        shelf.get(name)
    assert in_memory(shelf) == {"b", "d", "e", "f"}, "and three that nobody holds"
    loads = shelf.loads
    assert shelf.get("b") is held
    assert shelf.loads == loads
    del held
    for name in "cde":
        shelf.get(name)
    assert in_memory(shelf) == {"c", "d", "e"}


def test_a_file_that_was_replaced_is_another_version_once_nobody_holds_the_old(tiny: Backbone, tmp_path: Path) -> None:
    bank = AdapterBank(tiny, Shelf(tiny, listed(tiny, tmp_path), most=2))
    ids = torch.tensor([[3, 5, 7]])
    held = bank.hold("a")
    before, first = bank.version("a"), tiny.decoder(ids, bank.select(["a"]))
    random_adapter(tiny, tmp_path / "a" / "adapter.safetensors", seed=99)
    for name in "bcd":
        bank.file(name)
    assert bank.version("a") == before, "whoever began with it goes on with it"
    assert torch.equal(tiny.decoder(ids, bank.select(["a"])), first)
    del held
    for name in "bcd":
        bank.file(name)
    gc.collect()
    assert bank.version("a") != before
    assert not torch.allclose(tiny.decoder(ids, bank.select(["a"])), first, atol=1e-3)


def test_the_same_file_read_again_is_the_same_version(tiny: Backbone, tmp_path: Path) -> None:
    bank = AdapterBank(tiny, Shelf(tiny, listed(tiny, tmp_path), most=1))
    before = bank.version("a")
    bank.file("b")
    gc.collect()
    loads = bank.shelf.loads
    assert bank.version("a") == before
    assert bank.shelf.loads == loads + 1
    assert bank.version("b") != before


def test_another_bank_shares_what_is_in_memory(tiny: Backbone, tmp_path: Path) -> None:
    bank = AdapterBank(tiny, Shelf(tiny, listed(tiny, tmp_path), most=3, pinned=["a"]))
    a, b = bank.file("a"), bank.file("b")
    random_adapter(tiny, tmp_path / "b" / "adapter.safetensors", seed=99)
    path = tmp_path / "b" / "adapter.safetensors"
    other = bank.with_adapter("b", list_adapter(path, tiny.shape, tiny.fingerprint))
    assert other.file("a") is a
    assert other.file("b") is not b
    assert bank.file("b") is b, "the former bank stays as it is"
    assert other.version("b") != bank.version("b")
    assert other.version("a") == bank.version("a")
    assert (other.shelf.most, other.shelf.pinned) == (3, frozenset({"a"}))


def test_a_file_that_became_another_kind_is_not_mistaken_for_the_former(shelf: Shelf, tiny: Backbone) -> None:
    path = shelf._listed["b"].path
    lora = Adapter(tiny.shape, AdapterTable(type="lora"))
    save_adapter(path, lora.tensors(), {"type": "lora", "backbone": tiny.fingerprint, "on": lora.on})
    with pytest.raises(AdapterError, match="load skill 'b' anew"):
        shelf.get("b")
    random_adapter(tiny, path, seed=1, bottleneck=4)
    assert shelf.get("b").stored["down.weight"].shape[-1] == 4, "a wider or narrower one of its kind is read"


@pytest.mark.parametrize("fault", ["cut", "gone", "not finite"])
def test_a_file_with_a_fault_costs_its_own_readers_alone(
    shelf: Shelf, tiny: Backbone, fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "b" / "adapter.safetensors"
    content = path.read_bytes()
    path.unlink()
    if fault == "cut":
        path.write_bytes(content[:-9])
    elif fault == "not finite":
        random_adapter(tiny, path, seed=1, scale=float("nan"))
    for _ in range(2):
        with pytest.raises(AdapterError) as caught:
            shelf.get("b")
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert shelf.get("c")
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    assert shelf.get("b"), "once it is whole again it is read"


def test_many_threads_read_a_file_once(shelf: Shelf) -> None:
    gate = threading.Barrier(8)
    found = []

    def ask() -> None:
        gate.wait(timeout=60)
        found.append(shelf.get("b"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(found) == 8
    assert len({id(file) for file in found}) == 1
    assert shelf.loads == 1


def test_what_cannot_be_is_told(tiny: Backbone, tmp_path: Path, shelf: Shelf) -> None:
    with pytest.raises(UnknownNameError, match="'a'"):
        shelf.get("aa")
    with pytest.raises(SettingError, match="2 adapters in memory are too few"):
        Shelf(tiny, listed(tiny, tmp_path), most=2, pinned=["a", "b"])
