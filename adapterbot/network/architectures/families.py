"""The family that computes a checkpoint, by the `model_type` of its config.json."""

from __future__ import annotations

from functools import cache
from typing import Any

from adapterbot.errors import BackboneError
from adapterbot.network import architectures
from adapterbot.network.architectures import Architecture
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.discovery import exports


def family_of(model_type: Any) -> type[Architecture]:
    """The architecture of a `model_type`.

    Raises:
        BackboneError: no file in this folder computes it.
    """
    known = _families()
    if not isinstance(model_type, str) or model_type not in known:
        raise BackboneError(f"model_type {model_type!r} is not supported; there are: {', '.join(sorted(known))}")
    return known[model_type]


def family_with(shape: Shape) -> type[Architecture]:
    """The architecture that computes a model with these numbers: rotary embeddings or not tell them apart."""
    return family_of("gpt2" if shape.rope is None else "llama")


@cache
def _families() -> dict[str, type[Architecture]]:
    families: list[type[Architecture]] = exports(architectures, "ARCHITECTURE")
    return {model_type: family for family in families for model_type in family.model_types}
