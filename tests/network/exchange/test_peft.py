"""PEFT's folders: what `peft` trained computes the same here, and it computes the same with what we wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from llama_folders import make_model
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapterbot.errors import AdapterError, OtherBackboneError
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile, load_adapter, save_adapter
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.backbone import Backbone, read_backbone
from adapterbot.network.exchange.folders import export_folder, import_folder
from adapterbot.spec.tables import AdapterTable

peft: Any = pytest.importorskip("peft")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # PEFT's own
IDS = torch.randint(2, 8000, (1, 9), generator=torch.Generator().manual_seed(1))
GPT2: dict[str, Any] = {"n_embd": 48, "n_layer": 3, "n_head": 6, "n_positions": 96}
FAMILIES = {"llama": {}, "qwen3": {"head_dim": 16}, "gpt2": GPT2}


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Backbone]:
    folder = tmp_path_factory.mktemp(request.param)
    make_model(request.param, folder, **FAMILIES[request.param])
    return request.param, folder, read_backbone(folder)


def theirs(folder: Path, config: Any) -> Any:
    """PEFT's model with an adapter of random weights."""
    from transformers import AutoModelForCausalLM

    made = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config).eval()
    draw = torch.Generator().manual_seed(4)
    for parameter in made.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3, generator=draw)
    return made


@torch.inference_mode()
def logits(backbone: Backbone, file: AdapterFile) -> Tensor:
    bank = AdapterBank(backbone, {"a": file})
    made: Tensor = backbone.decoder.logits(backbone.decoder(IDS, bank.select(["a"])))
    return made


@torch.inference_mode()
def logits_of(made: Any) -> Tensor:
    found: Tensor = made(input_ids=IDS).logits
    return found


def close(ours: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


LORAS: dict[str, dict[str, Any]] = {
    "all": {"r": 4, "lora_alpha": 16, "target_modules": "all-linear"},
    "some": {"r": 3, "lora_alpha": 5, "use_rslora": True, "layers_to_transform": [1]},
}


@pytest.mark.parametrize("which", LORAS)
def test_a_lora_of_peft_computes_the_same_and_goes_back_bit_for_bit(
    model: tuple[str, Path, Backbone], which: str, tmp_path: Path
) -> None:
    kind, folder, backbone = model
    settings = dict(LORAS[which])
    if which == "some":
        settings["target_modules"] = ["c_attn", "mlp.c_proj"] if kind == "gpt2" else ["k_proj", "down_proj"]
        settings["rank_pattern"] = {"c_attn" if kind == "gpt2" else "k_proj": 2}
    made = theirs(folder, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
    made.save_pretrained(tmp_path / "theirs")
    file = import_folder(tmp_path / "theirs", backbone.shape, backbone.fingerprint)
    close(logits(backbone, file), logits_of(made))
    path = tmp_path / "a" / "adapter.safetensors"
    save_adapter(path, file.tensors, file.metadata, rounded=False)
    export_folder(
        load_adapter(path, backbone.shape, backbone.fingerprint), "a", "peft", tmp_path / "ours", backbone.shape
    )
    before, after = (load_file(tmp_path / n / "adapter_model.safetensors") for n in ("theirs", "ours"))
    assert before.keys() == after.keys()
    same = [name for name in before if torch.equal(before[name], after[name])]
    assert len(same) == len(before) or which == "some", "a factor that is no power of two is folded in"
    from transformers import AutoModelForCausalLM

    again = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path / "ours")
    close(logits_of(again.eval()), logits_of(made))


@pytest.mark.parametrize("targets", [("q", "v", "mlp"), ("qkv", "o"), ("k",)])
def test_a_lora_of_ours_is_computed_by_peft(
    model: tuple[str, Path, Backbone], targets: tuple[str, ...], tmp_path: Path
) -> None:
    """Also where one library cuts what the other computes in one piece."""
    _, folder, backbone = model
    tensors = dict(Adapter(backbone.shape, AdapterTable(type="lora", rank=3, targets=targets, first_layer=1)).tensors())
    draw = torch.Generator().manual_seed(2)
    for name in tensors:
        tensors[name] = tensors[name] if name == "factor" else torch.randn(tensors[name].shape, generator=draw) * 0.3
    file = AdapterFile(tensors, {"type": "lora", "backbone": backbone.fingerprint})
    export_folder(file, "a", "peft", tmp_path, backbone.shape)
    from transformers import AutoModelForCausalLM

    made = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path).eval()
    close(logits_of(made), logits(backbone, file))
    with pytest.raises(OtherBackboneError, match="trained on another backbone"):
        import_folder(tmp_path, backbone.shape, "0" * 64)


def test_a_prefix_of_peft_computes_the_same_in_both_directions(
    model: tuple[str, Path, Backbone], tmp_path: Path
) -> None:
    kind, folder, backbone = model
    config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4, prefix_projection=kind == "llama")
    made = theirs(folder, config)
    made.save_pretrained(tmp_path / "theirs")
    if kind == "gpt2":
        with pytest.raises(AdapterError, match=r"as in GPT-2, they are not the same; lora can be exchanged"):
            import_folder(tmp_path / "theirs", backbone.shape, backbone.fingerprint)
        return
    file = import_folder(tmp_path / "theirs", backbone.shape, backbone.fingerprint)
    close(logits(backbone, file), logits_of(made))
    export_folder(file, "a", "peft", tmp_path / "ours", backbone.shape)
    before, after = (load_file(tmp_path / n / "adapter_model.safetensors") for n in ("theirs", "ours"))
    torch.testing.assert_close(before["prompt_embeddings"], after["prompt_embeddings"])
    from transformers import AutoModelForCausalLM

    again = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path / "ours").eval()
    close(logits_of(again), logits_of(made))


@pytest.fixture
def written(model: tuple[str, Path, Backbone], tmp_path: Path) -> Path:
    """A sound folder, to be spoilt."""
    backbone = model[2]
    tensors = Adapter(backbone.shape, AdapterTable(type="lora", targets=("o",))).tensors()
    file = AdapterFile(tensors, {"type": "lora", "backbone": backbone.fingerprint})
    export_folder(file, "a", "peft", tmp_path, backbone.shape)
    return tmp_path


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ((".2.", ".7."), r"of layer 7; the backbone has layers 0 to 2"),
        (("lora_B.weight", "lora_C.weight"), r"has no place in this backbone; did you mean '.*lora_"),
        (("_proj.lora_A", "_proj.lora_embedding_A"), r"has no place in this backbone"),
    ],
)
def test_renamed_tensors_are_refused(
    model: tuple[str, Path, Backbone], written: Path, rename: tuple[str, str], message: str
) -> None:
    file = written / "adapter_model.safetensors"
    spoilt = {name.replace(*rename): tensor for name, tensor in load_file(file).items()}
    save_file(spoilt, file)
    with pytest.raises(AdapterError, match=message):
        import_folder(written, model[2].shape, model[2].fingerprint)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, r"peft_type 'IA3' is not read; there are: LORA, PREFIX_TUNING"),
        ({"use_dora": True}, r"adapter_config.json sets use_dora = True, which is not computed here"),
        ({"bias": "all"}, r"sets bias = 'all'"),
        ({"r": 5}, r"has rank 8, its config says 5"),
        ({"peft_type": None}, r"is neither of PEFT"),
    ],
)
def test_a_config_that_is_computed_otherwise_is_refused(
    model: tuple[str, Path, Backbone], written: Path, change: dict[str, Any], message: str
) -> None:
    config = written / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(AdapterError, match=message):
        import_folder(written, model[2].shape, model[2].fingerprint)


def test_another_backbone_a_pickle_and_nothing_at_all_are_refused(
    model: tuple[str, Path, Backbone], written: Path, tiny: Backbone, chatml: Backbone
) -> None:
    other = tiny if model[0] == "gpt2" else chatml
    weights = written / "adapter_model.safetensors"
    save_file(load_file(weights), weights)
    with pytest.raises(AdapterError, match=r"of another one|has shape|of layer"):
        import_folder(written, other.shape, other.fingerprint)
    weights.rename(written / "adapter_model.bin")
    with pytest.raises(AdapterError, match="is a pickle, which can run code"):
        import_folder(written, model[2].shape, model[2].fingerprint)
    with pytest.raises(AdapterError, match="a folder of PEFT or AdapterHub has one"):
        import_folder(written / "none", model[2].shape, model[2].fingerprint)
