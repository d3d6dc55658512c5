"""AdapterHub's folders, as its library writes them; what it computed is computed the same here.

ADAPTERBOT_ADAPTERHUB names a folder that was made in an environment of its own with `adapters`, since that library
wants an older transformers: in it, for a model of each family, `base` (the model) and a folder for each adapter with
`logits.st`, what the library computed for the tokens 5 to 11.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterbot.errors import AdapterError
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.backbone import Backbone, read_backbone
from adapterbot.network.exchange.folders import export_folder, import_folder
from adapterbot.spec.tables import AdapterTable

MADE = os.environ.get("ADAPTERBOT_ADAPTERHUB", "")
TYPES = {"houlsby": {"bottleneck": 4, "norm": True, "first_layer": 1}, "pfeiffer": {}, "residual": {"bottleneck": 3}}


def noisy(backbone: Backbone, type: str) -> AdapterFile:
    draw = torch.Generator().manual_seed(3)
    tensors = Adapter(backbone.shape, AdapterTable(type=type, **TYPES[type])).tensors()
    made = {name: tensor + 0.2 * torch.randn(tensor.shape, generator=draw) for name, tensor in tensors.items()}
    return AdapterFile(made, {"type": type, "backbone": backbone.fingerprint, "on": "all"})


@pytest.mark.parametrize("type", TYPES)
def test_out_and_in_again_is_the_same_bit_for_bit(tiny: Backbone, chatml: Backbone, type: str, tmp_path: Path) -> None:
    for backbone, block in ((tiny, "transformer.h"), (chatml, "model.layers")):
        file = noisy(backbone, type)
        folder = tmp_path / block
        export_folder(file, "a", "adapterhub", folder, backbone.shape)
        names = load_file(folder / "adapter.safetensors").keys()
        assert f"{block}.1.output_adapters.adapters.a.adapter_up.weight" in names
        assert any("attention_adapters" in name for name in names) == (type == "houlsby")
        again = import_folder(folder, backbone.shape, backbone.fingerprint)
        assert again.type == type
        assert again.tensors.keys() == file.tensors.keys()
        assert all(torch.equal(again.tensors[name], tensor) for name, tensor in file.tensors.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"is_parallel": True}, "sets is_parallel = True, which is not computed here"),
        ({"use_gating": True}, "sets use_gating = True"),
        ({"scaling": "learned"}, "scaling = 'learned': only a number is read"),
        ({"non_linearity": "gelu_fast"}, "non_linearity 'gelu_fast': did you mean 'gelu"),
        ({"original_ln_before": False}, "sets original_ln_before = False"),
    ],
)
def test_what_is_computed_otherwise_is_refused(
    tiny: Backbone, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    export_folder(noisy(tiny, "pfeiffer"), "a", "adapterhub", tmp_path, tiny.shape)
    config = tmp_path / "adapter_config.json"
    plain = json.loads(config.read_text())
    config.write_text(json.dumps({**plain, "config": {**plain["config"], **change}}))
    with pytest.raises(AdapterError, match=message):
        import_folder(tmp_path, tiny.shape, tiny.fingerprint)


def test_a_tensor_that_lacks_or_is_more_is_told(tiny: Backbone, tmp_path: Path) -> None:
    export_folder(noisy(tiny, "pfeiffer"), "a", "adapterhub", tmp_path, tiny.shape)
    file = tmp_path / "adapter.safetensors"
    tensors = load_file(file)
    save_file({n: t for n, t in tensors.items() if not n.endswith("up.bias")}, file)
    with pytest.raises(AdapterError, match=r"lacks tensors such as output_adapters.adapters.a.adapter_up.bias"):
        import_folder(tmp_path, tiny.shape, tiny.fingerprint)
    save_file({**tensors, "transformer.h.0.output_adapters.adapters.a.gate.weight": torch.ones(1)}, file)
    with pytest.raises(AdapterError, match=r"gate\.weight has no place in this backbone"):
        import_folder(tmp_path, tiny.shape, tiny.fingerprint)


def test_forms_that_the_others_do_not_have_are_refused(tiny: Backbone, tmp_path: Path) -> None:
    file = noisy(tiny, "residual")
    with pytest.raises(AdapterError, match="PEFT has no adapter of type 'residual'; it has: lora, prefix"):
        export_folder(file, "a", "peft", tmp_path, tiny.shape)
    on_reply = AdapterFile(file.stored, {**file.metadata, "on": "reply"})
    with pytest.raises(AdapterError, match="acts on replies alone"):
        export_folder(on_reply, "a", "adapterhub", tmp_path, tiny.shape)
    lora = AdapterFile(Adapter(tiny.shape, AdapterTable(type="lora")).tensors(), {**file.metadata, "type": "lora"})
    with pytest.raises(AdapterError, match="bottlenecks are: houlsby, pfeiffer, residual; 'lora' is none"):
        export_folder(lora, "a", "adapterhub", tmp_path, tiny.shape)


@pytest.mark.skipif(not MADE, reason="ADAPTERBOT_ADAPTERHUB is not set")
@pytest.mark.parametrize("family", ["llama", "gpt2"])
@torch.inference_mode()
def test_the_library_of_adapterhub_computes_the_same(family: str) -> None:
    root = Path(MADE) / f"ah_{family}"
    backbone = read_backbone_of(root / "base")
    for name, type in (("seq", "pfeiffer"), ("twice", "houlsby"), ("seqln", "residual")):
        file = import_folder(root / name, backbone.shape, backbone.fingerprint)
        assert file.type == type
        bank = AdapterBank(backbone, {"a": file})
        logits = backbone.decoder.logits(backbone.decoder(torch.arange(5, 12)[None], bank.select(["a"])))
        wanted = load_file(root / name / "logits.st")["logits"]
        torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


def read_backbone_of(folder: Path) -> Backbone:
    import shutil

    from conftest import VOCABULARY

    shutil.copy(VOCABULARY / "tokenizer.json", folder)
    return read_backbone(folder)
