"""The bank of adapters holds what their files hold, and gives a batch no more than its rows need."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from conftest import PLACES, Place, fresh_adapter, placed, random_adapter
from torch import Tensor

from adapterbot.errors import AdapterError
from adapterbot.home import Home
from adapterbot.network import adapters
from adapterbot.network.adapters import kinds
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile, load_adapter, save_adapter
from adapterbot.network.adapters.residual import Residual
from adapterbot.network.backbone import Backbone, load_backbone
from adapterbot.spec.folders import PACKAGE_SKILLS


def test_the_shipped_adapters_take_the_memory_of_their_files(ready: Home) -> None:
    backbone = load_backbone()
    paths = sorted(PACKAGE_SKILLS.glob("*/adapter.safetensors"))
    files = {p.parent.name: load_adapter(p, backbone.shape, backbone.fingerprint).scaled(1.5) for p in paths}
    bank = AdapterBank(backbone, files)
    on_disk = sum(path.stat().st_size for path in paths)
    assert len(files) > 20
    assert 0.9 * on_disk < bank.nbytes <= 1.1 * on_disk
    held = {t.data_ptr(): t.nbytes for value in held_by(bank) for t in tensors_of(value)}
    assert sum(held.values()) <= 1.1 * on_disk, "and nothing beside what it counts"


def held_by(bank: AdapterBank) -> list[object]:
    return [value for room in (bank, bank.shelf) for name, value in vars(room).items() if name != "_backbone"]


def tensors_of(value: object) -> list[Tensor]:
    """All tensors in a value of mappings, sequences and adapter files."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, AdapterFile):
        return tensors_of(dict(value.stored))
    if isinstance(value, dict):
        return [t for part in value.values() for t in tensors_of(part)]
    return [t for part in value for t in tensors_of(part)] if isinstance(value, list | tuple) else []


def test_a_wide_adapter_costs_its_own_size_alone(tiny: Backbone, tmp_path: Path) -> None:
    sizes = {"wide": 4096, "a": 2, "b": 2, "c": 2}
    files = {}
    for seed, (name, bottleneck) in enumerate(sizes.items()):
        path = tmp_path / name / "adapter.safetensors"
        random_adapter(tiny, path, seed, bottleneck)
        files[name] = load_adapter(path, tiny.shape, tiny.fingerprint)
    bank = AdapterBank(tiny, files)
    assert bank.nbytes <= 1.1 * sum(t.nbytes for file in files.values() for t in file.tensors.values())
    selected = bank.select(["a", "b", None])
    assert selected is not None
    kind, _ = selected.parts[0]
    assert isinstance(kind, Residual)
    assert {down.shape[-1] for _, _, down, *_ in kind.layers} == {2}, "padded to the widest of these rows"


def test_an_adapter_wider_than_skill_toml_allows_is_refused(tiny: Backbone, tmp_path: Path) -> None:
    path = tmp_path / "adapter.safetensors"
    adapter = fresh_adapter(tiny, 2)
    layers, width, bottleneck = tiny.shape.layers, tiny.width, 4097
    big = adapter.tensors() | {
        "down.weight": torch.zeros(layers, width, bottleneck),
        "down.bias": torch.zeros(layers, bottleneck),
        "up.weight": torch.zeros(layers, bottleneck, width),
    }
    save_adapter(path, big, {"type": adapter.kind, "backbone": tiny.fingerprint})
    with pytest.raises(AdapterError, match="at most 4,096 wide") as caught:
        load_adapter(path, tiny.shape, tiny.fingerprint)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_rows_are_computed_where_and_in_the_type_that_the_backbone_is(
    tiny: Backbone, tmp_path: Path, place: Place
) -> None:
    backbone = placed(tiny, place)
    files = {}
    for seed, name in enumerate("ab"):
        path = tmp_path / name / "adapter.safetensors"
        random_adapter(tiny, path, seed, bottleneck=4 + seed)
        files[name] = load_adapter(path, tiny.shape, tiny.fingerprint)
    ids = torch.tensor([[3, 5, 7], [17, 19, 23], [37, 41, 43]], device=backbone.device)
    skills = ["a", None, "b"]
    with torch.inference_mode():
        ours = backbone.decoder(ids, AdapterBank(backbone, files).select(skills))
        wanted = tiny.decoder(ids.cpu(), AdapterBank(tiny, files).select(skills))
        bare = backbone.decoder(ids)
    assert ours.dtype == backbone.dtype
    assert torch.equal(ours[1], bare[1])
    error = (ours.float().cpu() - wanted).abs()
    assert float(error.mean()) < (1e-5 if place.dtype == torch.float32 else 0.03 * float(wanted.std()))


def test_drafts_of_one_adapter_among_others_are_what_they_are_alone(tiny: Backbone, tmp_path: Path) -> None:
    """Rows in any order, several with the same adapter: their weights are read once and not mixed up."""
    files = {}
    for seed, name in enumerate("abc"):
        path = tmp_path / name / "adapter.safetensors"
        random_adapter(tiny, path, seed, bottleneck=3 + 2 * seed)
        files[name] = load_adapter(path, tiny.shape, tiny.fingerprint)
    bank = AdapterBank(tiny, files)
    draw = torch.Generator().manual_seed(0)
    for skills in (
        ["a", "b", "a", None, "c", "a"],
        ["c", "c", "a", "a"],
        ["b", None],
        [None, "c", "c"],
        ["a", "c", "b"],
    ):
        ids = torch.randint(2, 8192, (len(skills), 4), generator=draw)
        with torch.inference_mode():
            together = tiny.decoder(ids, bank.select(skills))
            for row, skill in enumerate(skills):
                alone = tiny.decoder(ids[row : row + 1], bank.select([skill]))[0]
                torch.testing.assert_close(together[row], alone, rtol=1e-4, atol=1e-4)


KIND = '''
import torch
from adapterbot.network.adapters import AdapterKind


class Shift(AdapterKind):
    """Adds a vector to the states after the last block."""

    name = "shift"
    sites = frozenset({"after_block"})

    def __init__(self, weights, shape):
        self.first_layer = shape.layers - 1
        self.vector = torch.stack([w["vector"] for w in weights])

    @classmethod
    def init(cls, shape, table, draw):
        return {"vector": torch.zeros(shape.width)}

    @classmethod
    def tensors(cls, given, shape):
        return {"vector": (shape.width,)}

    def after_block(self, layer, x, rows):
        return rows.scatter(x, rows.gather(x) + self.vector[:, None]) if layer >= self.first_layer else x


KIND = Shift
'''


def test_a_file_more_is_a_kind_more(tiny: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read, checked, kept in the bank and applied by row beside residual adapters, without another line changed."""
    place = tmp_path / "kinds"
    place.mkdir()
    (place / "shift.py").write_text(KIND)
    monkeypatch.setattr(adapters, "__path__", [*adapters.__path__, str(place)])
    monkeypatch.delitem(sys.modules, "adapterbot.network.adapters.shift", raising=False)
    kinds._kinds.cache_clear()
    try:
        path = tmp_path / "shifted" / "adapter.safetensors"
        known = {"type": "shift", "backbone": tiny.fingerprint}
        save_adapter(path, {"vector": torch.full((tiny.width - 1,), 0.5)}, known)
        with pytest.raises(AdapterError, match=r"vector has shape \[31\], not \[32\]"):
            load_adapter(path, tiny.shape, tiny.fingerprint)
        save_adapter(path, {"vector": torch.linspace(0, 1, tiny.width)}, known)
        random_adapter(tiny, tmp_path / "plain" / "adapter.safetensors", 1)
        files = {
            name: load_adapter(tmp_path / name / "adapter.safetensors", tiny.shape, tiny.fingerprint)
            for name in ("shifted", "plain")
        }
        bank = AdapterBank(tiny, files)
        ids = torch.tensor([[3, 5, 7], [17, 19, 23], [37, 41, 43]])
        with torch.inference_mode():
            mixed = tiny.decoder(ids, bank.select(["plain", "shifted", None]))
            bare = tiny.decoder(ids)
            alone = tiny.decoder(ids[1:2], bank.select(["shifted"]))
            plain = tiny.decoder(ids[:1], bank.select(["plain"]))
    finally:
        kinds._kinds.cache_clear()
        sys.modules.pop("adapterbot.network.adapters.shift", None)
    torch.testing.assert_close(mixed[1:2], alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(mixed[:1], plain, rtol=1e-4, atol=1e-4)
    assert torch.equal(mixed[2], bare[2])
    assert not torch.allclose(mixed[1], bare[1], atol=0.01)
