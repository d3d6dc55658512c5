"""PEFT's folders of LoRA and of prefix tuning, as PEFT 0.21 writes them.

LoRA's matrices are those of ours, turned. A prefix of PEFT takes the first P positions, one of ours takes none: where
positions are rotations, its keys are turned back by P, which gives the same scores. P prefix tokens, L layers, K heads
of width w.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from adapterbot.errors import AdapterError, nearest
from adapterbot.network.adapters.prefix import BOTH
from adapterbot.network.architectures.families import family_with
from adapterbot.network.architectures.rotary import turn_at
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.exchange import Folder, by_layer, refuse, stacked

WEIGHTS = "adapter_model.safetensors"
PROMPT = "prompt_embeddings"
TYPES = {"LORA": "lora", "PREFIX_TUNING": "prefix"}
# What changes a LoRA's formula, and how it has to stand in the config.
PLAIN = dict.fromkeys(
    ("use_dora", "use_qalora", "use_bdlora", "lora_bias", "alora_invocation_tokens", "modules_to_save"), None
) | {"bias": "none", "layer_replication": None, "trainable_token_indices": None, "target_parameters": None}


def type_of(config: Mapping[str, Any]) -> str | None:
    """Our type of a folder's config; None if it is not one of PEFT's.

    Raises:
        AdapterError: a type that is not read.
    """
    kind = config.get("peft_type")
    if kind is None:
        return None
    if kind not in TYPES:
        raise AdapterError(f"peft_type {kind!r} is not read; {nearest(str(kind), TYPES)}")
    return TYPES[kind]


def imported(folder: Folder, shape: Shape) -> dict[str, Tensor]:
    """The tensors of our kind.

    Raises:
        AdapterError: a tensor or a setting has no place here; the message says which.
    """
    return _lora(folder, shape) if type_of(folder.config) == "lora" else _prefix(folder, shape)


def exported(type: str, tensors: Mapping[str, Tensor], shape: Shape) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config and the tensors of a folder of PEFT's.

    Raises:
        AdapterError: it has no form there.
    """
    if type == "lora":
        return _lora_out(tensors, shape)
    if type == "prefix":
        return _prefix_out(tensors, shape)
    raise AdapterError(f"PEFT has no adapter of type {type!r}; it has: {', '.join(TYPES.values())}")


def _lora(folder: Folder, shape: Shape) -> dict[str, Tensor]:
    refuse(folder, PLAIN)
    blocks, modules = family_with(shape).published
    parts = {f"{module}.lora_{m}.weight": (target, m.lower()) for target, module in modules.items() for m in "AB"}
    first, found = by_layer(folder, blocks, shape.layers, list(parts))
    made = {".".join(parts[n]): stacked(folder, n, t, first, shape.layers).transpose(1, 2) for n, t in found.items()}
    factors = {}
    for target in dict.fromkeys(name.split(".")[0] for name in made):
        if not {f"{target}.a", f"{target}.b"} <= made.keys():
            raise AdapterError(f"{folder.path}: {modules[target]} has only one of lora_A and lora_B")
        factors[target] = _factor(folder, modules[target], made[f"{target}.a"].shape[-1])
    factor = next(iter(factors.values()))
    for target, own in factors.items():
        if own != factor:  # exact where they differ by a power of two
            made[f"{target}.b"] = made[f"{target}.b"] * (own / factor)
    return {name: t.contiguous() for name, t in made.items()} | {"factor": torch.tensor([factor])}


def _factor(folder: Folder, module: str, rank: int) -> float:
    """alpha / rank of a module, by the config's patterns; alpha / sqrt(rank) if stabilised (Kalajdzievski 2023)."""
    config = folder.config
    alpha = config.get("lora_alpha", 8)
    wanted = config.get("r", rank)
    for key, value in (config.get("alpha_pattern") or {}).items():
        alpha = value if _names(key, module) else alpha
    for key, value in (config.get("rank_pattern") or {}).items():
        wanted = value if _names(key, module) else wanted
    if wanted != rank:
        raise AdapterError(f"{folder.path}: {module} has rank {rank}, its config says {wanted}")
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _names(key: str, module: str) -> bool:
    return module == key or module.endswith(f".{key}")


def _lora_out(tensors: Mapping[str, Tensor], shape: Shape) -> tuple[dict[str, Any], dict[str, Tensor]]:
    blocks, modules = family_with(shape).published
    pairs = _expressed({n[:-2]: (tensors[n], tensors[f"{n[:-2]}.b"]) for n in tensors if n.endswith(".a")}, shape)
    factor = float(tensors["factor"].flatten()[0])
    ranks = {modules[target]: a.shape[-1] for target, (a, _) in pairs.items()}
    usual = Counter(ranks.values()).most_common(1)[0][0]
    others = {module: rank for module, rank in ranks.items() if rank != usual}
    made = {}
    for target, (a, b) in pairs.items():
        first = shape.layers - len(a)
        for i in range(len(a)):
            if bool(a[i].any()) or bool(b[i].any()):  # layers that have none are zeros
                name = f"base_model.model.{blocks}.{first + i}.{modules[target]}"
                made[f"{name}.lora_A.weight"], made[f"{name}.lora_B.weight"] = a[i].T, b[i].T
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": usual,
        "lora_alpha": factor * usual,
        "target_modules": [re.sub(r"^\w+\.", "", modules[t]) for t in pairs] if shape.rope else list(ranks),
        "rank_pattern": others,
        "alpha_pattern": {module: factor * rank for module, rank in others.items()},
        "layers_to_transform": sorted({int(n.split(f"{blocks}.")[1].split(".")[0]) for n in made}),
        "layers_pattern": blocks.rpartition(".")[2],
        "bias": "none",
        "fan_in_fan_out": shape.rope is None,
        "inference_mode": True,
    }
    return config, made


def _expressed(pairs: Mapping[str, tuple[Tensor, Tensor]], shape: Shape) -> dict[str, tuple[Tensor, Tensor]]:
    """A [L, in, r] and B [L, r, out] of the projections that `transformers` has by name: what it computes together is
    put side by side, what it computes apart is cut."""
    family = family_with(shape)
    parts, modules = family.projections(shape), family.published[1]
    made: dict[str, tuple[Tensor, Tensor]] = {}

    def add(target: str, a: Tensor, b: Tensor) -> None:
        old = made.get(target)
        made[target] = (a, b) if old is None else (torch.cat([old[0], a], -1), torch.cat([old[1], b], 1))

    for target, (a, b) in pairs.items():
        part = parts[target]
        for name in modules:
            other = parts[name]
            low = max(part.start, other.start)
            high = min(part.start + part.outputs, other.start + other.outputs)
            if other.linear == part.linear and low < high:
                cut = b[..., low - part.start : high - part.start]
                padding = (low - other.start, other.start + other.outputs - high)
                add(name, a, torch.nn.functional.pad(cut, padding))
    return made


def _prefix(folder: Folder, shape: Shape) -> dict[str, Tensor]:
    extra = sorted(folder.tensors.keys() - {PROMPT})
    if extra or PROMPT not in folder.tensors:
        raise AdapterError(f"{folder.path}: a prefix is the tensor {PROMPT} alone, there are: {sorted(folder.tensors)}")
    _turned(torch.zeros(1, 1, 1, shape.head_width), 0, shape)  # refused before it is measured
    given = folder.tensors[PROMPT]
    width = shape.kv_heads * shape.head_width
    if given.dim() != 2 or given.shape[1] != 2 * shape.layers * width:
        raise AdapterError(
            f"{folder.path}: {PROMPT} has shape {list(given.shape)}, not [tokens, {2 * shape.layers * width}]: it is "
            "of another backbone"
        )
    both = given.view(len(given), shape.layers, 2, shape.kv_heads, shape.head_width)  # [P, L, 2, K, w]
    keys, values = both.permute(2, 1, 0, 3, 4)  # [L, P, K, w]
    return {"keys": _turned(keys, -len(given), shape).flatten(1), "values": values.flatten(1).contiguous()}


def _prefix_out(tensors: Mapping[str, Tensor], shape: Shape) -> tuple[dict[str, Any], dict[str, Tensor]]:
    keys, values = (
        tensors[n].float().unflatten(1, (-1, shape.kv_heads, shape.head_width)) for n in BOTH
    )  # [L, P, K, w]
    if len(keys) < shape.layers:
        raise AdapterError(f"a prefix of PEFT's is in all layers; this one begins at layer {shape.layers - len(keys)}")
    length = keys.shape[1]
    both = torch.stack([_turned(keys, length, shape), values])  # [2, L, P, K, w]
    config = {
        "peft_type": "PREFIX_TUNING",
        "task_type": "CAUSAL_LM",
        "num_virtual_tokens": length,
        "num_layers": shape.layers,
        "num_attention_heads": shape.kv_heads,
        "token_dim": shape.kv_heads * shape.head_width,
        "num_transformer_submodules": 1,
        "encoder_hidden_size": shape.width,
        "prefix_projection": False,
        "inference_mode": True,
    }
    return config, {PROMPT: both.permute(2, 1, 0, 3, 4).flatten(1)}


def _turned(keys: Tensor, by: int, shape: Shape) -> Tensor:
    """Keys [L, P, K, w] as they are `by` positions later.

    Raises:
        AdapterError: the backbone's positions are no rotations.
    """
    if shape.rope is None:
        raise AdapterError(
            "a prefix of PEFT's takes the first positions, one of ours takes none: where positions are learnt vectors, "
            "as in GPT-2, they are not the same; lora can be exchanged"
        )
    turn = turn_at(torch.tensor([[by]]), shape.rope, shape.head_width, torch.float32)
    return turn.of(keys.float())
