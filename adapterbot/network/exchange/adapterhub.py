"""AdapterHub's folders of bottleneck adapters, as `adapters` 1.3 writes them.

Its `double_seq_bn` is our `houlsby`, its `seq_bn` our `pfeiffer`, and with `ln_before` our `residual`. d width, r
bottleneck.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from adapterbot.errors import AdapterError, nearest
from adapterbot.network.adapters.stacked import ACTIVATIONS, nonlinearity
from adapterbot.network.architectures.families import family_with
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.exchange import CONFIG, Folder, by_layer, refuse, stacked

WEIGHTS = "adapter.safetensors"
PLACES = {"attention": "attention_adapters", "mlp": "output_adapters"}  # our name of a place -> theirs
PLAIN: dict[str, Any] = {
    "is_parallel": False,
    "phm_layer": False,
    "inv_adapter": None,
    "ln_after": False,
    "use_gating": False,
    "original_ln_after": True,
    "adapter_residual_before_ln": False,
    "cross_adapter": False,
    "stochastic_depth": 0.0,
    "output_adapter": True,
}


def type_of(config: Mapping[str, Any]) -> str | None:
    """Our type of a folder's config; None if it is no bottleneck of AdapterHub's."""
    own = config.get("config")
    if not isinstance(own, dict) or "output_adapter" not in own:
        return None
    if own.get("mh_adapter"):
        return "houlsby"
    return "residual" if own.get("ln_before") else "pfeiffer"


def imported(folder: Folder, shape: Shape) -> dict[str, Tensor]:
    """The tensors of our kind.

    Raises:
        AdapterError: a tensor or a setting has no place here; the message says which.
    """
    config = folder.config["config"]
    both = bool(config.get("mh_adapter"))
    refuse(folder._replace(config=config), {**PLAIN, "original_ln_before": not both})
    if config.get("residual_before_ln", True) not in ((True, "post_add") if both else (True,)):
        raise AdapterError(
            f"{folder.path / CONFIG} sets residual_before_ln = {config['residual_before_ln']!r}: not read"
        )
    function, scaling = config.get("non_linearity", "relu"), config.get("scaling", 1.0)
    if function not in ACTIVATIONS or (type_of(folder.config) == "residual" and function != "relu"):
        raise AdapterError(f"{folder.path / CONFIG}: non_linearity {function!r}: {nearest(str(function), ACTIVATIONS)}")
    if not isinstance(scaling, int | float):
        raise AdapterError(f"{folder.path / CONFIG} sets scaling = {scaling!r}: only a number is read")
    parts = _parts(both, bool(config.get("ln_before")), str(folder.config.get("name")))
    first, found = by_layer(folder, family_with(shape).published[0], shape.layers, list(parts))
    if lacking := sorted(parts.keys() - found.keys()):
        raise AdapterError(f"{folder.path} lacks tensors such as {lacking[0]}")
    made = {}
    for name, given in found.items():
        tensor = stacked(folder, name, given, first, shape.layers)
        made[parts[name]] = (tensor.transpose(1, 2) if tensor.dim() == 3 else tensor).contiguous()
        if ".up." in f".{parts[name]}":
            made[parts[name]] = made[parts[name]] * scaling
    return made if function == "relu" else made | {"activation": torch.tensor([float(_number(function))])}


def exported(
    type: str, tensors: Mapping[str, Tensor], shape: Shape, name: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config and the tensors of a folder of AdapterHub's, in which the adapter is called `name`.

    Raises:
        AdapterError: it has no form there.
    """
    if type not in ("houlsby", "pfeiffer", "residual"):
        raise AdapterError(f"AdapterHub's bottlenecks are: houlsby, pfeiffer, residual; {type!r} is none of them")
    both, norm = type == "houlsby", any("norm." in n for n in tensors)
    blocks = family_with(shape).published[0]
    made = {}
    for theirs, ours in _parts(both, norm, name).items():
        tensor = tensors[ours]
        first = shape.layers - len(tensor)
        for i, part in enumerate(tensor):
            made[f"{blocks}.{first + i}.{theirs}"] = part.T if part.dim() == 2 else part
    widest = next(t.shape[-1] for n, t in tensors.items() if n.endswith("down.weight"))
    own = PLAIN | {
        "mh_adapter": both,
        "ln_before": norm,
        "original_ln_before": not both,
        "residual_before_ln": True,
        "non_linearity": nonlinearity(tensors),
        "reduction_factor": shape.width / widest,
        "scaling": 1.0,
        "leave_out": list(range(shape.layers - len(next(iter(tensors.values()))))),
        "init_weights": "bert",
        "dropout": 0.0,
    }
    kind = "gpt2" if shape.rope is None else "llama"
    config = {"config": own, "hidden_size": shape.width, "model_type": kind, "name": name, "version": "adapters.1.3.0"}
    return config, made


def _parts(both: bool, norm: bool, name: str) -> dict[str, str]:
    """Their name of each tensor within a block -> ours."""
    parts = dict[str, str]()
    down = "adapter_down.1" if norm else "adapter_down.0"
    for ours, theirs in PLACES.items():
        if ours == "mlp" or both:
            place, before = f"{theirs}.adapters.{name}.", f"{ours}." if both else ""
            for kind in ("weight", "bias"):
                parts |= {
                    f"{place}{down}.{kind}": f"{before}down.{kind}",
                    f"{place}adapter_up.{kind}": f"{before}up.{kind}",
                }
                if norm:
                    parts[f"{place}adapter_down.0.{kind}"] = f"{before}norm.{kind}"
    return parts


def _number(function: str) -> int:
    return list(ACTIVATIONS).index(function)
