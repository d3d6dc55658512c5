"""A model as it lies on a disk: a folder of safetensors with config.json and a tokenizer, or one GGUF file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from adapterbot.errors import BackboneError, MissingPartError
from adapterbot.network.architectures import Architecture
from adapterbot.network.architectures.families import family_of
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.names import GGUF
from adapterbot.network.tokenizer import Tokenizer

NOT_WEIGHTS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")  # masks and frequencies that some files hold
HUB_FILES = [
    *("config.json", "*.safetensors", "*.safetensors.index.json"),
    *("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "chat_template.jinja"),
]


class Stored(NamedTuple):
    """A model as it was read: config.json, the weights by the names of `transformers`, what writes its tokens.

    A form with a fingerprint of its own has it here.
    """

    family: type[Architecture]
    shape: Shape
    tensors: Mapping[str, Tensor]
    tokenizer: Tokenizer
    fingerprint: str = ""


def read_stored(place: Path) -> Stored:
    """What is in a folder, in a GGUF file, or in a folder that holds one.

    Raises:
        BackboneError: a file is missing, damaged or of another type of model, or its parts do not fit one another.
    """
    gguf = _gguf_in(place)
    model = _read_folder(place) if gguf is None else _read_gguf(gguf)
    if model.tokenizer.size > model.shape.vocab:
        raise BackboneError(f"{place}: the tokenizer has {model.tokenizer.size} tokens, the model {model.shape.vocab}")
    return model


def weight_files(place: Path) -> list[Path]:
    """The files that hold the weights of what `read_stored` reads."""
    gguf = _gguf_in(place)
    return sorted(place.glob("*.safetensors")) if gguf is None else [gguf]


def from_hub(name: str) -> Path:
    """The folder into which the hub's client has fetched a model, now or before.

    Raises:
        MissingPartError: it is not here and cannot be fetched.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise MissingPartError(f"{name} is on the hub; to fetch it: pip install 'adapterbot[hub]'") from None
    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=HUB_FILES))
    except Exception as error:  # the hub's client raises errors of several libraries
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MissingPartError(
            f"backbone {name!r} is not on this machine and cannot be fetched ({reason}); "
            "connect to the hub once, or give a local folder, or leave --backbone out"
        ) from None


def _gguf_in(place: Path) -> Path | None:
    """The GGUF file that `place` is, or that lies in it without a model beside it."""
    if place.suffix == GGUF and place.is_file():
        return place
    files = [] if (place / "config.json").exists() else sorted(place.glob(f"*{GGUF}"))
    if len(files) > 1:
        raise BackboneError(f"{place} holds {len(files)} GGUF files; name one of them: {files[0].name}, …")
    return files[0] if files else None


def _read_gguf(path: Path) -> Stored:
    from adapterbot.network.gguf import GGUFFile  # only here: what it imports takes a tenth of a second

    file = GGUFFile(path)
    return Stored(*_shape_of(file.config(), path), file.weights(), file.tokenizer(), file.fingerprint)


def _read_folder(folder: Path) -> Stored:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"{folder}: config.json cannot be read: {error}") from None
    if not isinstance(config, dict):
        raise BackboneError(f"{folder}: config.json is not an object")
    return Stored(*_shape_of(config, folder), _read_tensors(folder), Tokenizer.from_folder(folder))


def _shape_of(config: Mapping[str, Any], place: Path) -> tuple[type[Architecture], Shape]:
    """The family that computes a model, and its numbers."""
    try:
        family = family_of(config.get("model_type"))
        return family, family.read_config(config)
    except BackboneError as error:
        raise BackboneError(f"{place}: {error}") from None


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = next((p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth"}), None)
        why = (
            f"{pickled} is a pickle, which can run code; save the model as safetensors"
            if pickled
            else "no *.safetensors"
        )
        raise BackboneError(f"{folder}: {why}")
    tensors: dict[str, Tensor] = {}
    try:
        for file in files:
            tensors |= load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise BackboneError(f"{file} cannot be read: {error}") from None
    return {n: t for n, t in tensors.items() if not n.endswith(NOT_WEIGHTS)}
