"""The frozen dialogue model under all skills: find, load, fingerprint, freeze."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from adapterbot.errors import BackboneError, WriteError, shorten
from adapterbot.home import Home, written_by_rename
from adapterbot.network.architectures import Architecture
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.converted import assemble, convert, converted_file, read_converted, write_converted
from adapterbot.network.device import limit_threads
from adapterbot.network.int8 import Int8Linear, kernel_here
from adapterbot.network.names import PINNED, find_backbone, wanted_backbone
from adapterbot.network.stored import from_hub, read_stored
from adapterbot.network.tokenizer import Tokenizer

LARGEST_FILE = 39 * 2**20  # bytes of weights in one file
LARGE = 100_000_000  # weights: a smaller model is fast enough as it is


@dataclass(frozen=True)
class Backbone:
    """A decoder whose weights never change, its vocabulary, and the hash that proves it."""

    name: str
    decoder: Architecture
    tokenizer: Tokenizer
    fingerprint: str

    @property
    def shape(self) -> Shape:
        """The model's numbers."""
        return self.decoder.shape

    @property
    def width(self) -> int:
        """Width d of the hidden states."""
        return self.shape.width

    @property
    def positions(self) -> int:
        """Longest prompt plus reply, in tokens."""
        return self.shape.positions

    @property
    def parameter_count(self) -> int:
        """Number of weights."""
        return self.decoder.parameter_count

    @property
    def device(self) -> torch.device:
        """Where the weights are, and what is computed with them."""
        return self.decoder.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return self.decoder.dtype

    @property
    def rounded(self) -> bool:
        """Whether its weights are int8, through which nothing is trained."""
        return any(isinstance(module, Int8Linear) for module in self.decoder.modules())


def pad_right(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """Token ids [B, T], padded at the right with `fill`."""
    ids = torch.full((len(rows), max(map(len, rows))), fill)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids


def load_backbone(
    name: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    home: Home | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> Backbone:
    """The default backbone (None), a known short name, a local folder or GGUF file, or a hub id.

    `device` is where it answers ("cuda"; None: the processor), `dtype` the type of its weights there; None is what
    answers fastest: from LARGE weights on int8 on a processor and bfloat16 on a GPU, else float32. Int8 weights are
    made once, which `announce` is told, and kept in the home; nothing is trained through them. torch is limited to the
    cores that are free to this process (see `limit_threads`).

    Raises:
        UnknownNameError: neither a folder nor a file nor a known name nor of the form owner/model.
        MissingPartError: not here, and it has to be fetched, or the hub cannot be reached.
        BackboneError: there, but not a checkpoint of a family that is computed, or damaged; or no such device.
    """
    limit_threads()
    home = home or Home.at()
    wanted = wanted_backbone(name)
    found = find_backbone(wanted, home)
    place = found if isinstance(found, Path) else from_hub(found)
    pinned = PINNED.get(wanted.lower())
    target = _device(device)
    int8 = dtype is torch.int8 or (dtype is None and target.type == "cpu" and kernel_here())
    file = converted_file(home, place, pinned)
    if int8 and file.is_file():
        decoder, tokenizer, fingerprint = read_converted(file)
        return Backbone(wanted, freeze(decoder), tokenizer, fingerprint)
    if pinned is not None:
        pinned.check(place)
    precise = None if dtype is torch.int8 else dtype
    backbone = read_backbone(place, wanted, target, precise)
    if dtype is torch.int8 or (int8 and backbone.parameter_count >= LARGE):
        return _converted(backbone, file, announce)
    if dtype is None and target.type == "cuda" and backbone.parameter_count >= LARGE:
        backbone.decoder.to(torch.bfloat16)
    return backbone


def _converted(backbone: Backbone, file: Path, announce: Callable[[str], None]) -> Backbone:
    """The int8 form of a float32 backbone, kept in `file` where that can be written."""
    announce(f"preparing {backbone.name} for this processor (once)")
    decoder, tokenizer = backbone.decoder, backbone.tokenizer
    parts = convert(decoder, tokenizer)
    try:
        write_converted(file, decoder, parts, tokenizer, backbone.fingerprint)
    except WriteError as error:
        announce(f"{error}; it has to be prepared anew at every start")
    return replace(backbone, decoder=freeze(assemble(type(decoder), decoder.config(), parts)))


def read_backbone(
    place: Path, name: str = "", device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> Backbone:
    """Load a folder with config.json, safetensors and a tokenizer, or a GGUF file, or a folder that holds one.

    Weights become float32, or `dtype`, and frozen.

    Raises:
        BackboneError: a file is missing, damaged or of another model type, or the device is not here.
    """
    target = _device(device)
    model = read_stored(place)
    weights = {n: tensor.to(target, dtype or torch.float32) for n, tensor in model.tensors.items()}
    try:
        decoder = model.family.from_pretrained(weights, model.shape)
    except BackboneError as error:
        raise BackboneError(f"{place}: {error}") from None
    fingerprint = model.fingerprint or fingerprint_of(model.tensors)
    return Backbone(name or str(place), freeze(decoder), model.tokenizer, fingerprint)


def save_backbone(folder: Path, decoder: Architecture, tokenizer: Tokenizer, metadata: Mapping[str, str]) -> None:
    """Write a model folder that `read_backbone` and `transformers` load: fp16 safetensors, each file by rename.

    A model beyond LARGEST_FILE bytes goes into several files with an index, as on the hub. The weights come last:
    until then the folder holds the old model or none.
    """
    shape = decoder.shape
    end = tokenizer.separator
    configs: dict[str, object] = {
        "config.json": {**decoder.config(), "bos_token_id": end, "eos_token_id": end, "dtype": "float16"},
        "generation_config.json": {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": shape.positions,
            "clean_up_tokenization_spaces": False,
            **dict.fromkeys(("bos_token", "eos_token", "pad_token"), tokenizer.separator_text),
            **({} if tokenizer.template is None else {"chat_template": tokenizer.template}),
        },
    }
    texts = {name: json.dumps(content, indent=2) + "\n" for name, content in configs.items()}
    for name, text in {**texts, "tokenizer.json": tokenizer.to_json()}.items():
        with written_by_rename(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    tensors = {n: t.detach().cpu().half().contiguous() for n, t in decoder.pretrained().items()}
    _write_shards(folder, tensors, {**metadata, "format": "pt"})


def _write_shards(folder: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    shards: list[dict[str, Tensor]] = [{}]
    room = LARGEST_FILE
    for name, tensor in tensors.items():
        if shards[-1] and tensor.nbytes > room:
            shards.append({})
            room = LARGEST_FILE
        shards[-1][name] = tensor
        room -= tensor.nbytes
    count = len(shards)
    names = [
        f"model-{i:05}-of-{count:05}.safetensors" if count > 1 else "model.safetensors" for i in range(1, count + 1)
    ]
    for name, shard in zip(names, shards, strict=True):
        with written_by_rename(folder / name) as temporary:
            save_file(shard, temporary, dict(metadata))
    index = folder / "model.safetensors.index.json"
    if count > 1:
        where = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
        with written_by_rename(index) as temporary:
            temporary.write_text(json.dumps({"metadata": {}, "weight_map": where}, indent=2), encoding="utf-8")
    for stale in {*folder.glob("model*.safetensors"), *([index] if count == 1 else [])} - {folder / n for n in names}:
        stale.unlink(missing_ok=True)


def freeze(decoder: Architecture) -> Architecture:
    """The decoder in evaluation mode with no weight that asks for a gradient."""
    return decoder.eval().requires_grad_(False)


@torch.inference_mode(False)  # in which the weights were made
def fingerprint_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of all weights, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _device(name: str | torch.device | None) -> torch.device:
    """A device that works, by its name."""
    try:
        device = torch.device("cpu" if name is None else name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:  # torch raises each of them
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BackboneError(f"device {str(name)!r} cannot be used: {shorten(reason, 200)}") from None
    return device
