"""The frozen dialogue model under all skills: find, load, fingerprint, freeze."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from adapterbot.errors import BackboneError, MissingPartError, shorten
from adapterbot.home import Home, written_by_rename
from adapterbot.network.architectures import Architecture
from adapterbot.network.architectures.families import family_of
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.device import limit_threads
from adapterbot.network.names import GGUF, PINNED, find_backbone, wanted_backbone
from adapterbot.network.tokenizer import Tokenizer

STRIDE = 16
LARGEST_FILE = 39 * 2**20  # bytes of weights in one file
NOT_WEIGHTS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")  # masks and frequencies that some files hold
HUB_FILES = [
    *("config.json", "*.safetensors", "*.safetensors.index.json"),
    *("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "chat_template.jinja"),
]


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

    @cached_property
    def capitals(self) -> Tensor:
        """[V] for each token that starts a word the one that starts it with a capital; itself for any other token."""
        return torch.tensor(self.tokenizer.capitals())

    @torch.inference_mode()
    def pooled(self, texts: Sequence[str]) -> Tensor:
        """Mean of the last hidden states of each text: [N, d], float32, on the processor.

        An empty text is the separator alone.
        """
        separator = self.tokenizer.separator
        limit = self.positions
        rows = [[*self.tokenizer.encode(text)[-(limit - 1) :], separator] for text in texts]
        vectors = torch.zeros(len(rows), self.width)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for start in range(0, len(order), 32):  # rows of like length together: less padding
            batch = order[start : start + 32]
            ids, real = pad_right([rows[i] for i in batch], separator)
            hidden = self.decoder(ids.to(self.device)).float().cpu()  # [B, T, d]
            vectors[batch] = (hidden * real[..., None]).sum(1) / real.sum(1, keepdim=True)
        return vectors


def pad_right(rows: Sequence[Sequence[int]], fill: int, positions: int = 0) -> tuple[Tensor, Tensor]:
    """Token ids [B, T], padded at the right with `fill`, and which of them are real [B, T] (float).

    With `positions` T is rounded up to a multiple of STRIDE, at most `positions`: torch keeps compiled kernels for
    every width that it meets, and a training that meets them all would fill the memory.
    """
    width = max(map(len, rows))
    if positions:
        width = min(-(-width // STRIDE) * STRIDE, positions)
    ids = torch.full((len(rows), width), fill)
    real = torch.zeros(len(rows), width)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        real[i, : len(row)] = 1.0
    return ids, real


def load_backbone(
    name: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    home: Home | None = None,
) -> Backbone:
    """The embedded backbone (None), a known short name, a local folder or GGUF file, or a hub id.

    `device` is where it answers ("cuda"; None: the processor), `dtype` the type of its weights there (None: float32).
    torch is limited to the cores that are free to this process (see `limit_threads`).

    Raises:
        UnknownNameError: neither a folder nor a file nor a known name nor of the form owner/model.
        MissingPartError: not here, and it has to be fetched, or the hub cannot be reached.
        BackboneError: there, but not a checkpoint of a family that is computed, or damaged; or no such device.
    """
    limit_threads()
    wanted = wanted_backbone(name)
    place = find_backbone(wanted, home)
    if isinstance(place, Path) and (pinned := PINNED.get(wanted.lower())) is not None:
        pinned.check(place)
    return read_backbone(place if isinstance(place, Path) else _from_hub(place), wanted, device, dtype)


def read_backbone(
    place: Path, name: str = "", device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> Backbone:
    """Load a folder with config.json, safetensors and a tokenizer, or a GGUF file, or a folder that holds one.

    Weights become float32, or `dtype`, and frozen.

    Raises:
        BackboneError: a file is missing, damaged or of another model type, or the device is not here.
    """
    target = _device(device)
    gguf = _gguf_in(place)
    model = _read_folder(place) if gguf is None else _read_gguf(gguf)
    family, shape = _shape_of(model.config, place)
    if model.tokenizer.size > shape.vocab:
        raise BackboneError(f"{place}: the tokenizer has {model.tokenizer.size} tokens, the model {shape.vocab}")
    weights = {n: tensor.to(target, dtype or torch.float32) for n, tensor in model.tensors.items()}
    try:
        decoder = family.from_pretrained(weights, shape)
    except BackboneError as error:
        raise BackboneError(f"{place}: {error}") from None
    return Backbone(name or str(place), freeze(decoder), model.tokenizer, model.fingerprint)


class Stored(NamedTuple):
    """A model as it was read: its config.json, its weights by the names of `transformers`, what writes its tokens."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    tokenizer: Tokenizer
    fingerprint: str


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
    config = file.config()
    _shape_of(config, path)
    return Stored(config, file.weights(), file.tokenizer(), file.fingerprint)


def _shape_of(config: Mapping[str, Any], place: Path) -> tuple[type[Architecture], Shape]:
    """The family that computes a model, and its numbers."""
    try:
        family = family_of(config.get("model_type"))
        return family, family.read_config(config)
    except BackboneError as error:
        raise BackboneError(f"{place}: {error}") from None


def _read_folder(folder: Path) -> Stored:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"{folder}: config.json cannot be read: {error}") from None
    if not isinstance(config, dict):
        raise BackboneError(f"{folder}: config.json is not an object")
    _shape_of(config, folder)
    tensors = _read_tensors(folder)
    return Stored(config, tensors, Tokenizer.from_folder(folder), fingerprint_of(tensors))


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


def _from_hub(name: str) -> Path:
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
            "connect to the hub once, or give a local folder, or leave --backbone out for the embedded one"
        ) from None
