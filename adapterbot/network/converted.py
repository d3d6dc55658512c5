"""A model in the form that a processor serves fastest: int8 matrices, made once from its weights and kept in the home.

One safetensors file, whose metadata hold config.json, tokenizer and fingerprint: it is whole or not there, and later
starts map it into memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer as FastTokenizer
from torch import Tensor, nn

from adapterbot.data.dialogue import read_dialogues
from adapterbot.errors import BackboneError
from adapterbot.home import DATA, Home, written_by_rename
from adapterbot.network.architectures import Architecture
from adapterbot.network.architectures.families import family_of
from adapterbot.network.int8 import Int8Embeddings, Quantised, replace
from adapterbot.network.names import Pinned
from adapterbot.network.stored import weight_files
from adapterbot.network.tokenizer import Tokenizer

FORMAT = "1"  # of the file; another one is made anew
SAMPLES = (
    "chitchat",
    "empathetic",
    "persona",
    "weather",
    "wiki",
)  # what a model reads to find out how large inputs are
EACH = 3  # dialogues of these
ROWS = 128  # inputs of a matrix that its rounding is tried on


class Converted(NamedTuple):
    """What a file holds."""

    decoder: Architecture
    tokenizer: Tokenizer
    fingerprint: str


class Parts(NamedTuple):
    """Int8 matrices by the names of the decoder's modules, and its other tensors."""

    matrices: Mapping[str, Quantised]
    others: Mapping[str, Tensor]


def converted_file(home: Home, place: Path, pinned: Pinned | None) -> Path:
    """Where the int8 form of the model at `place` lies once it is made; another file there is another model's."""
    if pinned is not None:
        return home.backbones / f"{pinned.name}-{pinned.sha256[:12]}.int8-{FORMAT}.safetensors"
    files = weight_files(place)
    states = [(file.name, found.st_size, found.st_mtime_ns) for file in files if (found := file.stat())]
    key = f"{_digest(str(place.resolve()))}-{_digest(json.dumps(states))}"
    return home.backbones / f"{place.stem}-{key}.int8-{FORMAT}.safetensors"


@torch.inference_mode()
def convert(decoder: Architecture, tokenizer: Tokenizer) -> Parts:
    """The int8 form of a float32 decoder, fitted to what it reads of the dialogues that ship."""
    inputs = _inputs(decoder, _sample_rows(tokenizer, decoder.shape.positions))
    matrices = {}
    for name, (rows, peaks) in inputs.items():
        matrices[name] = Quantised.of(decoder.get_parameter(f"{name}.weight"), rows, peaks)
    others = {n: t for n, t in decoder.state_dict().items() if n.removesuffix(".weight") not in matrices}
    return Parts(matrices, others)


def assemble(family: type[Architecture], config: Mapping[str, object], parts: Parts) -> Architecture:
    """A decoder of these parts.

    Raises:
        BackboneError: one is missing.
    """
    with torch.device("meta"):
        decoder = family(family.read_config(config))
    replace(decoder, parts.matrices, parts.others)
    missing = [name for name, parameter in decoder.named_parameters() if parameter.is_meta]
    if missing:
        raise BackboneError(f"it lacks {len(missing)} tensors, such as {missing[0]}")
    return decoder


def write_converted(path: Path, decoder: Architecture, parts: Parts, tokenizer: Tokenizer, fingerprint: str) -> None:
    """Write one file, by rename, and remove those of earlier forms of the same model.

    Raises:
        WriteError: the disk is full or cannot be written; nothing is left behind.
    """
    metadata = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "config": json.dumps(decoder.config()),
        "tokenizer": tokenizer.to_json(),
        "template": json.dumps(tokenizer.template),
    }
    tensors = {f"other/{n}": t for n, t in parts.others.items()}
    for name, matrix in parts.matrices.items():
        tensors |= {f"{part}/{name}": tensor for part, tensor in matrix._asdict().items()}
    with written_by_rename(path) as temporary:
        save_file({n: t.contiguous() for n, t in tensors.items()}, temporary, metadata)
    for stale in path.parent.glob(f"{path.name.rsplit('-', 2)[0]}-*.int8-*.safetensors"):
        if stale != path:
            with contextlib.suppress(OSError):
                stale.unlink()


def read_converted(path: Path) -> Converted:
    """The model in a file of `write_converted`.

    Raises:
        BackboneError: it is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        config = json.loads(metadata["config"])
        tokenizer = Tokenizer(FastTokenizer.from_str(metadata["tokenizer"]), json.loads(metadata["template"]))
        decoder = assemble(family_of(config["model_type"]), config, _read_parts(path))
        _reopen_embeddings(path, decoder)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise BackboneError(f"{path} is damaged ({error}); delete it, and it is made anew") from None
    return Converted(decoder, tokenizer, metadata["fingerprint"])


def _read_parts(path: Path) -> Parts:
    """Windows on the file: what is packed anew takes no memory twice."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    names = [name.removeprefix("weight/") for name in tensors if name.startswith("weight/")]
    matrices = {n: Quantised(*(tensors[f"{part}/{n}"] for part in Quantised._fields)) for n in names}
    return Parts(matrices, {n.removeprefix("other/"): t.clone() for n, t in tensors.items() if n.startswith("other/")})


def _reopen_embeddings(path: Path, decoder: Architecture) -> None:
    """Look embeddings up in a window on the file of which nothing is in memory yet: few of them are ever asked for."""
    embeddings = decoder.get_submodule(decoder.embeddings)
    if isinstance(embeddings, Int8Embeddings):
        with safe_open(path, framework="pt") as file:
            embeddings.weight = file.get_tensor(f"weight/{decoder.embeddings}")


def _sample_rows(tokenizer: Tokenizer, positions: int) -> list[Tensor]:
    """Dialogues that ship, as rows of ids [1, T]: each message between its control tokens or before a separator."""
    rows = []
    for name in SAMPLES:
        for dialogue in list(read_dialogues(DATA / "samples" / f"{name}.jsonl"))[:EACH]:
            ids: list[int] = []
            for turn in dialogue.turns:
                if tokenizer.start is None:
                    ids += [*tokenizer.encode(turn.text), tokenizer.separator]
                else:
                    role = "user" if turn.speaker == "user" else "assistant"
                    ids += [tokenizer.start, *tokenizer.encode(f"{role}\n{turn.text}"), tokenizer.separator]
                    ids += tokenizer.encode("\n")
            rows.append(torch.tensor([ids[:positions]]))
    return rows


def _inputs(decoder: Architecture, rows: list[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """For every large matrix some of its inputs [M, K] while these rows are read, and the largest of all [K]."""
    seen: dict[str, list[Tensor]] = {}
    peaks: dict[str, Tensor] = {}

    def take(name: str, x: Tensor) -> None:
        x = x.flatten(0, -2)
        peak = x.abs().amax(0)
        peaks[name] = torch.maximum(peaks.get(name, peak), peak)
        seen.setdefault(name, []).append(x[:: max(1, len(x) * len(rows) // ROWS)])

    hooks = [
        module.register_forward_hook(lambda _, x, __, name=name: take(name, x[0]))
        for name, module in decoder.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        for row in rows:
            hidden = decoder(row)
            decoder.logits(hidden[:, -1:])
            take(decoder.embeddings, hidden)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: (torch.cat(some), peaks[name]) for name, some in seen.items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
