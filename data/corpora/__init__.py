"""Readers of public dialogue corpora, one file each, and `load`: a corpus by name from wherever it is.

A reader says where the corpus lies in a corpora folder (`FOLDER`), on the hub (`HUB`), under which licence, and
turns the hub's rows into dialogues. One that makes its dialogues from several corpora names them (`FOLDERS`) and has a
function `read(folder, domain)`, or `read(folder, domain, rate)` where it has `RATED`. A corpus without a reader is read
from `<folder>/<name>/{train,valid}.jsonl[.gz]`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import cast

from adapterbot.data.attributes import Rate
from adapterbot.data.dialogue import Dialogue, in_validation, read_dialogues
from adapterbot.errors import DataError, MissingPartError

READERS = (
    "empathetic_dialogues",
    "persona_chat",
    "wizard_of_wikipedia",
    "in_car",
    "open_dialkg",
    "styles",
    "covid_qa",
    "multiwoz",
    "general_conversation",
)
# Corpora that no skill has as its own; the ranker learns from them too.
NO_SKILLS_OWN = ("dailydialog", "esconv", "topicalchat", "msc", "wizint", "dream", "commonsense", "mutual", "cmudog")
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz")
Splits = dict[str, list[Dialogue]]


def reader(corpus: str) -> ModuleType | None:
    """The reader module of a corpus, or None."""
    return importlib.import_module(f"adapterbot.data.corpora.{corpus}") if corpus in READERS else None


def corpora_folder(path: Path | None = None) -> Path | None:
    """The folder of corpora: the one given, else $ADAPTERBOT_CORPORA, else None."""
    chosen = path or os.environ.get("ADAPTERBOT_CORPORA")
    return Path(chosen).expanduser() if chosen else None


def folders(corpus: str) -> tuple[str, ...]:
    """The folders of a corpora folder that a corpus is read from."""
    module = reader(corpus)
    own = (module.FOLDER,) if module and hasattr(module, "FOLDER") else (corpus,)
    return tuple(getattr(module, "FOLDERS", own))


def load(corpus: str, folder: Path, domain: str = "", rate: Rate | None = None) -> Splits:
    """Train and valid dialogues of a named corpus from a corpora folder; a reader may make those of `domain` alone.

    `rate` helps the styles to find the replies that they are learnt from.

    Raises:
        DataError: the folder lacks the corpus (the message lists what it has), or a line is bad.
    """
    module = reader(corpus)
    if module and hasattr(module, "read"):
        more = (rate,) if hasattr(module, "RATED") else ()
        return cast("Splits", module.read(folder, domain, *more))
    return load_folder(folder, *folders(corpus), corpus)


def load_folder(folder: Path, *names: str) -> Splits:
    """Train and valid dialogues of the first of these folders that is there.

    Raises:
        DataError: none is (the message lists what there is), or a line is bad.
    """
    for name in names:
        if (folder / name).is_dir():
            return load_path(folder / name)
    have = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    raise DataError(
        f"no corpus {names[-1]!r} in {folder}; expected a folder {names[0]!r}. There: {', '.join(have) or 'none'}"
    )


def load_path(path: Path) -> Splits:
    """Splits of a file or of a folder with train.* and (perhaps) valid.*; without valid, a tenth is split off by hash.

    Raises:
        DataError: nothing to read there, or a bad line.
    """
    if path.is_dir():
        train = _split_file(path, ("train",))
        valid = _split_file(path, ("valid", "validation", "dev"))
        if train is None:
            raise DataError(f"{path} has no train.jsonl (or .jsonl.gz, .json)")
        if valid is not None:
            return {"train": list(read_dialogues(train)), "valid": list(read_dialogues(valid))}
        path = train
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    return split(read_dialogues(path), str(path))


def load_hub(name: str) -> Splits:
    """Splits of a hub dataset through `datasets`: a known corpus, or any dataset whose rows have the dialogue form.

    Raises:
        MissingPartError: `datasets` is not installed, or the hub cannot be reached.
    """
    if importlib.util.find_spec("datasets") is None:
        raise MissingPartError("hub datasets need the library `datasets`: pip install 'adapterbot[train]'")
    import datasets

    from adapterbot.data.dialogue import parse

    module = reader(name)
    if module and module.HUB is None:
        raise MissingPartError(f"corpus {name!r} cannot be read from the hub; give a folder of corpora by --data")
    path, config, revision = (*module.HUB, module.HUB_REVISION) if module else (name, None, None)
    try:
        loaded = datasets.load_dataset(path, config, revision=revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).partition("\n")[0]
        raise MissingPartError(f"hub dataset {name!r} cannot be loaded ({reason}); give files by --data") from None
    result: Splits = {}
    for ours, theirs in (("train", ("train",)), ("valid", ("validation", "valid", "dev"))):
        rows = next((loaded[t] for t in theirs if t in loaded), None)
        if rows is not None:
            result[ours] = (
                list(module.from_hub(rows)) if module else [parse(r, f"{ours}-{i}") for i, r in enumerate(rows)]
            )
    return result if "valid" in result else split(result.get("train", []), name)


def split(dialogues: Iterable[Dialogue], where: str) -> Splits:
    """Nine tenths to train on, one tenth (at least one dialogue) to validate on, by hash of the id.

    Raises:
        DataError: fewer than two dialogues.
    """
    everything = list(dialogues)
    if len(everything) < 2:
        raise DataError(
            f"{where} has {len(everything)} dialogue(s); at least two are needed: one to train on, one to validate on"
        )
    valid = [d for d in everything if in_validation(d.id)] or everything[-1:]
    held = {d.id for d in valid}
    train = [d for d in everything if d.id not in held]
    return {"train": train or everything[:-1], "valid": valid if train else everything[-1:]}


def _split_file(folder: Path, names: Iterable[str]) -> Path | None:
    return next((p for n in names for s in SUFFIXES if (p := folder / f"{n}{s}").is_file()), None)
