"""Adapters change what they should and nothing else; a file that does not fit is refused before it is used."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from conftest import fresh_adapter, make_tiny, random_adapter
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapterbot.errors import AdapterError, SpecError, UnknownNameError
from adapterbot.home import Home
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile, load_adapter, packed, save_adapter, unpacked
from adapterbot.network.adapters.residual import TENSORS, Residual
from adapterbot.network.backbone import Backbone
from adapterbot.roster import Roster
from adapterbot.spec.folders import SkillFolders

IDS = torch.tensor([[3, 5, 7, 11, 13], [17, 19, 23, 29, 31], [37, 41, 43, 47, 53], [2, 4, 8, 16, 32]])


def loaded(
    backbone: Backbone, folder: Path, seed: int, bottleneck: int = 8, first_layer: int = 0, scale: float = 0.3
) -> AdapterFile:
    """A random adapter, written and read back."""
    path = folder / f"{seed}-{bottleneck}-{first_layer}" / "adapter.safetensors"
    if first_layer == 0:
        random_adapter(backbone, path, seed, bottleneck, scale)
    else:
        draw = torch.Generator().manual_seed(seed)
        tensors = fresh_adapter(backbone, bottleneck, first_layer, seed).tensors()
        path.parent.mkdir(parents=True)
        noisy = {n: t + scale * torch.randn(t.shape, generator=draw) for n, t in tensors.items()}
        save_file(noisy, path, {"type": "residual", "backbone": backbone.fingerprint})
    return load_adapter(path, backbone.shape, backbone.fingerprint)


@pytest.fixture
def bank(tiny: Backbone, tmp_path: Path) -> AdapterBank:
    """Three adapters of different bottlenecks and first layers."""
    return AdapterBank(
        tiny,
        {"a": loaded(tiny, tmp_path, 1, 8), "b": loaded(tiny, tmp_path, 2, 3), "c": loaded(tiny, tmp_path, 3, 5, 1)},
    )


@torch.inference_mode()
def hidden(backbone: Backbone, bank: AdapterBank, skills: Sequence[str | None], ids: Tensor = IDS) -> Tensor:
    made: Tensor = backbone.decoder(ids[: len(skills)], bank.select(skills))
    return made


def test_an_untrained_adapter_changes_nothing_bit_for_bit(tiny: Backbone) -> None:
    for first_layer in (0, 1):
        adapter = fresh_adapter(tiny, 8, first_layer)
        with torch.inference_mode():
            assert torch.equal(tiny.decoder(IDS, adapter.adapters()), tiny.decoder(IDS))


def test_a_trained_adapter_changes_every_row(tiny: Backbone, bank: AdapterBank) -> None:
    with torch.inference_mode():
        bare = tiny.decoder(IDS)
    for skill in bank.rows:
        assert ((hidden(tiny, bank, [skill] * 4) - bare).abs().amax((1, 2)) > 1e-3).all()


@torch.inference_mode()
def test_strength_multiplies_what_an_adapter_adds(tiny: Backbone, tmp_path: Path) -> None:
    adapter = loaded(tiny, tmp_path, 1, 8)
    x = torch.randn(1, 5, tiny.width, generator=torch.Generator().manual_seed(0))

    def added(by: AdapterFile) -> Tensor:
        residual = AdapterBank(tiny, {"a": by}).select(["a"])
        assert residual is not None
        return residual.after_block(1, x) - x

    assert torch.allclose(added(adapter.scaled(1.5)), 1.5 * added(adapter), atol=1e-5)
    assert torch.equal(added(adapter.scaled(1.0)), added(adapter))


def test_a_skill_answers_with_the_strength_of_its_spec(tiny: Backbone, home: Home) -> None:
    for name, line in (("mild", ""), ("keen", "strength = 1.5\n")):
        random_adapter(tiny, home.skills / name / "adapter.safetensors", seed=1)
        text = f'summary = "x."\ngroup = "style"\n{line}'
        (home.skills / name / "skill.toml").write_text(text, encoding="utf-8")
    bank = Roster.load(tiny, home).bank
    for tensor, factor in (("up.weight", 1.5), ("up.bias", 1.5), ("down.weight", 1.0)):
        mild, keen = (weights(bank, name)[tensor] for name in ("mild", "keen"))
        assert torch.allclose(keen, factor * mild)
        assert mild.any()


def weights(bank: AdapterBank, name: str) -> dict[str, Tensor]:
    """The tensors that a row with this adapter is computed with, all layers together."""
    selected = bank.select([name])
    assert selected is not None
    kind, _ = selected.parts[0]
    assert isinstance(kind, Residual)
    return dict(zip(TENSORS, map(torch.stack, zip(*kind.layers, strict=True)), strict=True))


def test_a_mixed_batch_equals_one_by_one(tiny: Backbone, bank: AdapterBank) -> None:
    skills = ["a", None, "c", "b"]
    mixed = hidden(tiny, bank, skills)
    for row, skill in enumerate(skills):
        alone = hidden(tiny, bank, [skill], IDS[row : row + 1])
        torch.testing.assert_close(mixed[row : row + 1], alone, rtol=1e-5, atol=1e-5)


def test_a_row_without_adapter_is_the_bare_backbone_bit_for_bit(tiny: Backbone, bank: AdapterBank) -> None:
    with torch.inference_mode():
        bare = tiny.decoder(IDS)
    mixed = hidden(tiny, bank, ["a", None, "b", None])
    assert torch.equal(mixed[1], bare[1])
    assert torch.equal(mixed[3], bare[3])


def test_the_bank_computes_what_the_adapter_does(tiny: Backbone) -> None:
    """The formula of the paper, written out: x + Up(ReLU(Down(LN(x))))."""
    x = torch.randn(2, 3, tiny.width, generator=torch.Generator().manual_seed(0))
    adapter = fresh_adapter(tiny, 4, seed=1)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.1)
        t = adapter.tensors()
        norm = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-5)
        norm = norm * t["norm.weight"][1] + t["norm.bias"][1]
        wanted = x + torch.relu(norm @ t["down.weight"][1] + t["down.bias"][1]) @ t["up.weight"][1] + t["up.bias"][1]
        torch.testing.assert_close(adapter.adapters().after_block(1, x), wanted)


def test_layers_below_first_layer_are_untouched(tiny: Backbone, bank: AdapterBank) -> None:
    x = torch.randn(1, 3, tiny.width, generator=torch.Generator().manual_seed(0))
    residual = bank.select(["c"])
    assert residual is not None
    assert torch.equal(residual.after_block(0, x), x)
    assert not torch.equal(residual.after_block(1, x), x)
    adapter = fresh_adapter(tiny, 4, first_layer=1)
    assert adapter.adapters().after_block(0, x) is x


@pytest.mark.parametrize("bottleneck", [1, 8, 64])
def test_adding_a_skill_leaves_all_others_bit_identical(tiny: Backbone, tmp_path: Path, bottleneck: int) -> None:
    old = {"a": loaded(tiny, tmp_path, 1, 8), "b": loaded(tiny, tmp_path, 2, 3)}
    small = AdapterBank(tiny, old)
    large = AdapterBank(tiny, {"new": loaded(tiny, tmp_path, 9, bottleneck), **old})
    for skills in (["a"], ["b"], ["a", "b"], ["a", None, "b", "a"]):
        assert torch.equal(hidden(tiny, small, skills), hidden(tiny, large, skills)), skills


def test_an_unknown_adapter_is_never_silently_none(bank: AdapterBank) -> None:
    with pytest.raises(UnknownNameError, match="'wheather'"):
        bank.select(["a", "wheather"])
    assert bank.select([None, None]) is None


def test_a_first_layer_beyond_the_backbone_is_refused(tiny: Backbone) -> None:
    with pytest.raises(AdapterError, match="first_layer=2"):
        fresh_adapter(tiny, 8, first_layer=2)


def test_what_is_saved_is_what_is_loaded(tiny: Backbone, tmp_path: Path) -> None:
    file = loaded(tiny, tmp_path, 4)
    assert set(file.tensors) == set(TENSORS)
    assert file.metadata["backbone"] == tiny.fingerprint
    assert file.notes == ()
    assert not list(tmp_path.rglob(".*")), "no temporary file may stay"


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.fixture
def good(tiny: Backbone, tmp_path: Path) -> Path:
    path = tmp_path / "skill" / "adapter.safetensors"
    random_adapter(tiny, path, 0)
    return path


def rewritten(path: Path, change: Callable[[dict[str, Tensor]], object], **metadata: str) -> None:
    """The file with its tensors, as floats, or its metadata changed."""
    tensors = unpacked(load_file(path))
    header = json.loads(path.read_bytes()[8 : 8 + struct.unpack("<Q", path.read_bytes()[:8])[0]])
    change(tensors)
    save_file({n: t.contiguous() for n, t in tensors.items()}, path, header["__metadata__"] | metadata)


def fill(value: float) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: tensors["up.weight"][1, 0, 0].fill_(value)


def rename(tensors: dict[str, Tensor]) -> None:
    tensors["transformer.up.weight"] = tensors.pop("up.weight")


def narrow(tensors: dict[str, Tensor]) -> None:
    for name in ("down.weight", "down.bias"):
        tensors[name] = tensors[name][..., :0]
    tensors["up.weight"] = tensors["up.weight"][:, :0]


BROKEN: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "NaN": (fill(float("nan")), "up.weight holds NaN"),
    "infinite": (fill(float("inf")), "up.weight holds NaN or infinite"),
    "integers": (lambda t: t.update({n: t[n].to(torch.int32) for n in t}), "not a float"),
    "missing": (lambda t: t.pop("norm.bias"), r"missing: \['norm.bias'\]"),
    "extra": (lambda t: t.update(more=torch.zeros(2)), r"not known: \['more'\]"),
    "renamed": (rename, r"missing: \['up.weight'\], not known: \['transformer.up.weight'\]"),
    "width": (lambda t: t.update({"norm.weight": torch.ones(2, 31)}), r"norm.weight has shape \[2, 31\], not"),
    "layers": (lambda t: t.update({n: torch.cat([t[n], t[n]]) for n in t}), "the backbone has 2 layers"),
    "one tensor with fewer layers": (lambda t: t.update({"up.bias": t["up.bias"][:1]}), r"up.bias has shape \[1, 32\]"),
    "flat": (lambda t: t.update({"down.weight": t["down.weight"].flatten()}), "down.weight has shape"),
    "no bottleneck": (narrow, r"down.weight has shape \[2, 32, 0\]"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_tensors_that_do_not_fit_are_refused(tiny: Backbone, good: Path, case: str) -> None:
    change, message = BROKEN[case]
    rewritten(good, change)
    with pytest.raises(AdapterError, match=message) as caught:
        load_adapter(good, tiny.shape, tiny.fingerprint)
    assert str(good) in str(caught.value)


def test_matrices_are_stored_as_int8_within_half_a_step_of_each_row(tiny: Backbone, good: Path) -> None:
    tensors = {n: t.float() for n, t in fresh_adapter(tiny, 8, 0, 5).tensors().items()}
    tensors["up.weight"] = torch.randn(tensors["up.weight"].shape, generator=torch.Generator().manual_seed(2))
    tensors["up.weight"][0, 3] = 0.0
    save_adapter(good, tensors, {"type": "residual", "backbone": tiny.fingerprint})
    assert {n for n, t in load_file(good).items() if t.dtype is torch.int8} == {"down.weight", "up.weight"}
    read = load_adapter(good, tiny.shape, tiny.fingerprint).tensors
    for name in ("down.weight", "up.weight"):
        step = tensors[name].abs().amax(-1, keepdim=True) / 127
        assert bool(((read[name].float() - tensors[name]).abs() <= 0.51 * step + 1e-3 * tensors[name].abs()).all()), (
            name
        )
    again = packed(read)
    assert all(torch.equal(t, again[n]) for n, t in load_file(good).items()), "stored anew it stays what it is"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.update({"up.weight.scale": t["up.weight.scale"][:, :4]}),
            r"up.weight.scale has shape \[2, 4, 1\]",
        ),
        (lambda t: t.pop("up.weight.scale"), r"up.weight has type torch.int8, not a float"),
        (lambda t: t["up.weight.scale"].fill_(float("nan")), r"up.weight.scale holds NaN"),
        (lambda t: t.update({"other.scale": torch.ones(2, 1)}), r"other.scale has shape"),
    ],
)
def test_scales_that_do_not_fit_are_refused(
    tiny: Backbone, good: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    header = json.loads(good.read_bytes()[8 : 8 + struct.unpack("<Q", good.read_bytes()[:8])[0]])
    stored = load_file(good)
    change(stored)
    save_file({n: t.contiguous() for n, t in stored.items()}, good, header["__metadata__"])
    with pytest.raises(AdapterError, match=message):
        load_adapter(good, tiny.shape, tiny.fingerprint)


def test_another_backbones_adapter_is_refused(tiny: Backbone, good: Path) -> None:
    other = make_tiny(seed=1)
    with pytest.raises(AdapterError, match=r"another backbone.*adapterbot train-skill skill"):
        load_adapter(good, other.shape, other.fingerprint)
    for width, layers in ((16, 2), (32, 1)):  # even if the fingerprint were the same
        with pytest.raises(AdapterError, match="shape"):
            load_adapter(good, make_tiny(width=width, layers=layers).shape, tiny.fingerprint)


def test_another_type_of_adapter_is_refused(tiny: Backbone, good: Path) -> None:
    rewritten(good, lambda _: None, type="residul")
    with pytest.raises(AdapterError, match="'residul' is not known; did you mean 'residual'"):
        load_adapter(good, tiny.shape, tiny.fingerprint)


def truncated(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def overlapping(raw: bytes) -> bytes:
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + size])
    names = [n for n in header if n != "__metadata__"]
    header[names[1]]["data_offsets"][0] = header[names[0]]["data_offsets"][0]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + raw[8 + size :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "truncated": truncated,
    "header of 2^63 bytes": lambda raw: struct.pack("<Q", 2**63) + raw[8:],
    "overlapping offsets": overlapping,
    "empty": lambda _: b"",
    "text": lambda _: b"not an adapter at all",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused(tiny: Backbone, good: Path, damage: str) -> None:
    good.write_bytes(DAMAGE[damage](good.read_bytes()))
    with pytest.raises(AdapterError, match="cannot be read") as caught:
        load_adapter(good, tiny.shape, tiny.fingerprint)
    assert "\n" not in str(caught.value)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.marker), "w")


@pytest.mark.parametrize("name", ["adapter.bin", "adapter.pt", "adapter.safetensors"])
def test_a_pickle_is_refused_and_never_run(tiny: Backbone, home: Home, tmp_path: Path, name: str) -> None:
    marker = tmp_path / "marker"
    path = home.skills / "empathetic" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(Payload(marker)))
    with pytest.raises(AdapterError):
        load_adapter(path, tiny.shape, tiny.fingerprint)
    if path.suffix != ".safetensors":
        with pytest.raises(SpecError, match="pickles can run code"):
            SkillFolders(home).adapter_file("empathetic")
    assert not marker.exists()


def test_an_adapter_without_effect_loads_with_a_note(tiny: Backbone, good: Path) -> None:
    rewritten(good, lambda t: (t["up.weight"].zero_(), t["up.bias"].zero_()))
    file = load_adapter(good, tiny.shape, tiny.fingerprint)
    assert file.notes == (f"{good} has no effect: replies are the bare backbone's",)
