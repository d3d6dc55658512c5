"""All types of adapter on both families: exact before training, the same alone and in a mixed batch, trained as they
answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_chatml, make_tiny
from drafts import forked
from torch import Tensor

from adapterbot.errors import AdapterError, SpecError
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile, load_adapter, save_adapter
from adapterbot.network.adapters.kinds import _kinds, kind_of
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.architectures.cache import Cache, Layout
from adapterbot.network.backbone import Backbone, load_backbone
from adapterbot.network.likelihood import reply_nats, tree_nats
from adapterbot.network.tokenizer import IGNORE
from adapterbot.network.tree import merge
from adapterbot.spec.adapters import ADAPTERS
from adapterbot.spec.tables import AdapterTable
from adapterbot.turn import Prompt

SMALL: dict[str, dict[str, Any]] = {
    "houlsby": {"bottleneck": 6, "norm": True},
    "lora": {"rank": 3},
    "prefix": {"length": 5, "bottleneck": 6},
    "mam": {"length": 3, "bottleneck": 6},
    "pals": {"bottleneck": 20, "heads": 4},
    "k_adapter": {"bottleneck": 12, "heads": 2, "depth": 1},
    "full": {},
}
SEEN_BEFORE = {"prefix", "mam"}  # the papers' own start is no identity
ON_REPLIES = [name for name in ADAPTERS if "on" in ADAPTERS[name]]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return make_tiny(layers=3) if request.param == "gpt2" else make_chatml()


def table(type: str, **settings: Any) -> AdapterTable:
    return AdapterTable(type=type, **{**SMALL.get(type, {"bottleneck": 6}), **settings})


def noisy(backbone: Backbone, type: str, seed: int = 0, scale: float = 0.2, **settings: Any) -> AdapterFile:
    """An adapter of random weights, in the form in which it is stored."""
    adapter = Adapter(backbone.shape, table(type, **settings), seed)
    draw = torch.Generator().manual_seed(seed)
    fixed = kind_of(type).fixed
    made = {
        n: t if n in fixed else t + scale * torch.randn(t.shape, generator=draw) for n, t in adapter.tensors().items()
    }
    return AdapterFile(made, {"type": type, "on": adapter.on})


def ids_of(rows: int, length: int = 7) -> Tensor:
    return torch.randint(2, 8000, (rows, length), generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def whole(backbone: Backbone, bank: AdapterBank, skills: Sequence[str | None], ids: Tensor) -> Tensor:
    made: Tensor = backbone.decoder(ids, bank.select(skills))
    return made


@torch.inference_mode()
def stepwise(backbone: Backbone, bank: AdapterBank, skills: Sequence[str | None], ids: Tensor) -> Tensor:
    """In three passes over a cache that is forked after the first, as decoding does."""
    cache = Cache(backbone.shape, len(ids), 3, layers=bank.layers(skills))
    first = backbone.decoder(ids[:, :3], bank.select(skills), cache)
    cache = forked(cache, range(len(ids)), ids.shape[1])
    adapters = bank.select(skills)
    return torch.cat([first, *(backbone.decoder(part, adapters, cache) for part in ids[:, 3:].split([1, 3], 1))], 1)


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-4)


def test_the_types_of_skill_toml_are_those_that_there_are() -> None:
    assert set(ADAPTERS) == set(_kinds())


@pytest.mark.parametrize("type", sorted(set(ADAPTERS) - SEEN_BEFORE))
def test_an_untrained_adapter_changes_nothing(backbone: Backbone, type: str) -> None:
    adapter = Adapter(backbone.shape, table(type), seed=1)
    ids = ids_of(2)
    with torch.inference_mode():
        assert torch.equal(backbone.decoder(ids, adapter.adapters()), backbone.decoder(ids))
    assert any("no effect" in note for note in kind_of(type).check(adapter.tensors(), backbone.shape))


def test_all_types_share_a_batch_with_the_results_that_each_has_alone(backbone: Backbone) -> None:
    files = {type: noisy(backbone, type, seed) for seed, type in enumerate(ADAPTERS)}
    files |= {f"{type} too": noisy(backbone, type, 40 + seed) for seed, type in enumerate(ADAPTERS)}
    files["other sizes"] = noisy(backbone, "lora", 3, targets=("q", "o"), rank=2, first_layer=1)
    bank = AdapterBank(backbone, files)
    skills: list[str | None] = [*files, None, "pals", "prefix"]
    ids = ids_of(len(skills))
    together = whole(backbone, bank, skills, ids)
    in_steps = stepwise(backbone, bank, skills, ids)
    bare = whole(backbone, bank, [None] * len(skills), ids)
    for row, skill in enumerate(skills):
        alone = whole(backbone, bank, [skill], ids[row : row + 1])[0]
        close(together[row], alone)
        close(in_steps[row], alone)
        close(stepwise(backbone, bank, [skill], ids[row : row + 1])[0], alone)
        assert (skill is None) == torch.allclose(together[row], bare[row], atol=1e-3), skill


@pytest.mark.parametrize("type", ADAPTERS)
def test_layers_below_the_first_are_the_backbones(backbone: Backbone, type: str) -> None:
    """What lies below is computed once for all skills: every kind says truly where it begins."""
    settings = {"blocks": (1, 2)} if type == "k_adapter" else {"first_layer": 1}
    adapters = AdapterBank(backbone, {"a": noisy(backbone, type, **settings)}).select(["a"])
    assert adapters is not None
    assert adapters.first_layer == 1
    ids = ids_of(1)
    with torch.inference_mode():
        layout = Layout.of(ids)
        x = backbone.decoder.embed(ids, layout)
        assert torch.equal(
            backbone.decoder.blocks(x, range(1), layout, adapters), backbone.decoder.blocks(x, range(1), layout)
        )


@pytest.mark.parametrize("type", ADAPTERS)
def test_it_is_stored_read_and_trained_as_it_answers(backbone: Backbone, type: str, tmp_path: Path) -> None:
    """The loss of a tree, with its gradients, is that of the whole conversation; and so it is after a file."""
    adapter = Adapter(backbone.shape, table(type), seed=2)
    with torch.no_grad():
        draw = torch.Generator().manual_seed(3)
        for parameter in adapter.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    rows = [prompt(11, 4), prompt(9, 6)]
    loss = tree_nats(backbone, adapter.adapters(), [merge(rows, True)]).mean()
    loss.backward()
    for name, parameter in adapter.named_parameters():
        assert (parameter.grad is not None and bool(parameter.grad.any())) == parameter.requires_grad, name
    path = tmp_path / "a" / "adapter.safetensors"
    save_adapter(path, adapter.tensors(), {"type": type, "backbone": backbone.fingerprint})
    file = load_adapter(path, backbone.shape, backbone.fingerprint)
    assert file.parameters >= adapter.parameter_count
    if type in ("full", "lora", "houlsby"):
        assert path.stat().st_size < 2 * adapter.parameter_count + 9000, "a byte a weight"
    bank = AdapterBank(backbone, {"a": file})
    for row in rows:
        ids, labels = torch.tensor([row.ids]), torch.tensor(row.labels)
        with torch.inference_mode():
            logits = backbone.decoder.logits(backbone.decoder(ids, bank.select(["a"])))[0]
            nats = torch.nn.functional.cross_entropy(logits[:-1], labels[1:], ignore_index=IGNORE, reduction="none")
            close(reply_nats(backbone, bank.select(["a"]), [row]), nats[labels[1:] != IGNORE])
    again = Adapter(backbone.shape, table(type), seed=5)
    again.take(file.tensors)
    stored = file.tensors
    assert all(torch.equal(tensor, stored[name].float()) for name, tensor in again.tensors().items())


def prompt(length: int, reply: int) -> Prompt:
    ids = [5, *torch.randint(2, 8000, (length - 1,), generator=torch.Generator().manual_seed(length)).tolist()]
    return Prompt(tuple(ids), tuple([IGNORE] * reply + ids[reply:]), reply=reply)


@pytest.mark.parametrize("type", ON_REPLIES)
def test_on_replies_the_prompt_is_computed_without_it(backbone: Backbone, type: str) -> None:
    """Trained on trees whose prompts lie in a trunk, and decoded over a cache that no adapter touched: the same."""
    file = noisy(backbone, type, 4, on="reply")
    bank = AdapterBank(backbone, {"a": file})
    assert bank.on_prompts(["a"]) == [None]
    row = prompt(12, 5)
    ids = torch.tensor([row.ids])
    with torch.inference_mode():
        cache = Cache(backbone.shape, 1, 12)
        backbone.decoder(ids[:, :5], None, cache)
        hidden = torch.cat(
            [backbone.decoder(part, bank.select(["a"]), cache) for part in ids[:, 5:].split([1, 6], 1)], 1
        )
        logits = backbone.decoder.logits(hidden)[0, :-1].log_softmax(-1)
        wanted = -logits.gather(1, ids[0, 6:, None])[:, 0]
        ours = reply_nats(backbone, bank.select(["a"]), [replace(row, labels=(IGNORE,) * 6 + row.ids[6:])])
    close(ours, wanted)


@pytest.mark.parametrize("type", sorted(set(ADAPTERS) - set(ON_REPLIES)))
def test_a_type_that_reads_the_prompt_is_refused_on_replies(type: str) -> None:
    with pytest.raises(ValueError, match=f"'{type}' reads no `on`; it reads: bottleneck, heads"):
        table(type, on="reply")


def test_all_decode_over_an_int8_backbone(tiny: Backbone, tiny_folder: Path) -> None:
    rounded = load_backbone(tiny_folder, dtype=torch.int8)
    assert rounded.rounded
    files = {type: noisy(tiny, type, seed, scale=0.05) for seed, type in enumerate(ADAPTERS)}
    ids = ids_of(len(files))
    ours = stepwise(rounded, AdapterBank(rounded, files), list(files), ids)
    wanted = whole(tiny, AdapterBank(tiny, files), list(files), ids)
    for row, skill in enumerate(files):
        assert (ours[row] - wanted[row]).norm() < 0.1 * wanted[row].norm(), skill


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "lora", "targets": ("q", "gates")}, "no projection 'gates' for a LoRA; did you mean 'gate'"),
        ({"type": "lora", "targets": ()}, "names no projection; there are: "),
        ({"type": "prefix", "length": 300}, "300 tokens is longer than the 256 positions of the backbone"),
        ({"type": "mam", "length": 300}, "length may be 1 to 256"),
        ({"type": "pals", "bottleneck": 10}, "10 cannot be split into 4 heads; the nearest is 8"),
        ({"type": "k_adapter", "blocks": (0, 7)}, "blocks names 7, but the backbone has blocks 0 to 2"),
        ({"type": "houlsby", "first_layer": 3}, "first_layer=3, but the backbone has layers 0 to 2"),
    ],
)
def test_what_the_backbone_cannot_take_is_refused(chatml: Backbone, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        Adapter(chatml.shape, AdapterTable(**settings))


def test_a_setting_of_another_type_is_refused_and_a_misspelt_type_is_told() -> None:
    with pytest.raises(ValueError, match="'lora' reads no `length`; it reads: rank, scale, targets"):
        AdapterTable(type="lora", length=4)
    with pytest.raises(ValueError, match="did you mean 'houlsby'"):
        AdapterTable(type="houlsbi")
    with pytest.raises(SpecError, match="did you mean 'parallel'"):
        AdapterTable().retyped("paralel")
    kept = AdapterTable(bottleneck=8, first_layer=0.5, on="reply").retyped("houlsby")
    assert (kept.bottleneck, kept.first_layer, kept.on) == (8, 0.5, "reply")


@pytest.mark.parametrize("type", ADAPTERS)
def test_a_file_with_other_tensors_is_refused(backbone: Backbone, type: str, tmp_path: Path) -> None:
    tensors = dict(noisy(backbone, type).stored)
    path = tmp_path / "a" / "adapter.safetensors"
    known = {"type": type, "backbone": backbone.fingerprint}
    renamed = next(name for name in tensors if name not in kind_of(type).fixed)
    for broken in (
        {**tensors, "more": torch.ones(2)},
        {(f"x{n}" if n == renamed else n): t for n, t in tensors.items()},
    ):
        save_adapter(path, broken, known)
        with pytest.raises(AdapterError, match=str(path)):
            load_adapter(path, backbone.shape, backbone.fingerprint)
