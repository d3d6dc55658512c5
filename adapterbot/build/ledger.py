"""What was made from what: `data/models.json` remembers for every step the hashes of all it read and of all it wrote.

The folder that models are made in says where each of them lies. A step is up to date when it would be made from the
same things and what it wrote still lies there unchanged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapterbot.data.corpora import SUFFIXES
from adapterbot.errors import DataError
from adapterbot.home import Home, written_by_rename
from adapterbot.network.names import GGUF, PINNED, find_backbone
from adapterbot.training.documents import find_corpora

SPLITS = ("train", "valid", "validation", "dev")
# what inputs are called; any other name is a file's
RECIPE = "recipe"
BACKBONE = "backbone"
CORPUS = "corpus "
PAIRS = "pairs "
STEP = "step "
SHOWN = 3  # names in one reason
WEIGHTS = (".safetensors", GGUF)
JUDGE = "tests/labelled/manager_messages.jsonl"  # messages that the manager is tried on, where the root has them
CARE = "tests/labelled/care_messages.jsonl"  # messages that care is tried on, where the root has them
REPLIES = "tests/labelled/replies.jsonl"  # replies that the check of replies is tried on, where the root has them

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BuildFolder(Home):
    """The folder that models are made in, seen as a home: its own skills come first, then those that ship.

    Checkpoints and search indexes stay in the user's own home. `used` is the manager that this build has made, once it
    has; before that the one that ships is used.
    """

    user: Home
    used: Path | None = None

    @property
    def manager(self) -> Path:
        """The folder of the manager that is used."""
        return self.used or self.root / "manager"

    @property
    def knowledge(self) -> Path:
        """Search indexes."""
        return self.user.knowledge

    @property
    def training(self) -> Path:
        """Checkpoints of trainings that have not ended."""
        return self.user.training

    @property
    def readme(self) -> Path:
        """What people read first; only a checkout has it."""
        return self.root / "README.md"

    @property
    def weights(self) -> Path:
        """Where manager, encoder and rank heads lie."""
        return self.root / "manager" / "weights"

    @property
    def report(self) -> Path:
        """The figures of all that was made."""
        return self.root / "data" / "report.json"

    @property
    def judge(self) -> Path | None:
        """The messages that the manager is tried on, if there are any."""
        path = self.root / JUDGE
        return path if path.is_file() else None

    @property
    def labelled_care(self) -> Path | None:
        """Messages that need care or do not, labelled by hand; only a checkout has them."""
        path = self.root / CARE
        return path if path.is_file() else None

    @property
    def labelled_replies(self) -> Path | None:
        """The replies that the check of replies against their facts is tried on, if there are any."""
        path = self.root / REPLIES
        return path if path.is_file() else None


@dataclass(frozen=True, slots=True)
class Step:
    """One step: `inputs` are hashes by name (RECIPE, BACKBONE, CORPUS + name, a file's path); `after`: what it needs.

    `kind` and `subject` say what is to be made, `outputs` hashes what lies there now (by path below the root), `needs`
    are the libraries that the making takes, and `budget` is what it costs, in words.
    """

    name: str
    kind: str
    subject: str
    inputs: Mapping[str, str]
    after: tuple[str, ...]
    outputs: Callable[[], dict[str, str]]
    needs: tuple[str, ...] = ()
    budget: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One step as it was made: hashes of what it read and wrote, and what was measured."""

    read: Mapping[str, str]
    wrote: Mapping[str, str]
    figures: Figures


class Ledger:
    """The steps that were made, in a JSON file that is written anew after each."""

    def __init__(self, path: Path) -> None:
        """Read `path`, if it is there.

        Raises:
            DataError: it is not what `note` has written.
        """
        self._path = path
        self._records: dict[str, Record] = {}
        if path.is_file():
            try:
                raw = json.loads(path.read_text(encoding="utf-8"))
                self._records = {
                    n: Record(dict(r["read"]), dict(r["wrote"]), dict(r["figures"])) for n, r in raw.items()
                }
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise DataError(f"{path} is damaged ({error!r}); without it every model is made again") from None

    @property
    def figures(self) -> dict[str, Figures]:
        """What was measured, by step."""
        return {name: record.figures for name, record in self._records.items()}

    def note(self, step: Step, figures: Figures) -> None:
        """Remember that `step` was made just now."""
        self._records[step.name] = Record(self._read(step), step.outputs(), figures)
        raw = {n: {"read": r.read, "wrote": r.wrote, "figures": r.figures} for n, r in self._records.items()}
        with written_by_rename(self._path) as temporary:
            temporary.write_text(json.dumps(raw, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def plan(self, steps: Iterable[Step]) -> dict[str, str]:
        """For each step why it has to be made; an empty text for one that is up to date."""
        plan: dict[str, str] = {}
        for step in steps:
            plan[step.name] = self.why(step, [name for name in step.after if plan[name]])
        return plan

    def why(self, step: Step, pending: Collection[str] = ()) -> str:
        """Why `step` has to be made, empty when it is up to date; the steps `pending` will be made before it."""
        record = self._records.get(step.name)
        if record is None:
            return "never made"
        now = self._read(step)
        changed = [name for name in sorted({*record.read, *now}) if record.read.get(name) != now.get(name)]
        upstream = {*pending, *(name.removeprefix(STEP) for name in changed if name.startswith(STEP))}
        corpora = [name.removeprefix(CORPUS) for name in changed if name.startswith(CORPUS)]
        present = step.outputs()
        files = [name for name in changed if not name.startswith((RECIPE, BACKBONE, CORPUS, STEP))]
        files += [path for path in record.wrote if record.wrote[path] != present.get(path)]
        if RECIPE in changed:
            return "recipe changed"
        if BACKBONE in changed:
            return "backbone changed"
        reasons = (("corpora changed", corpora), ("file changed", files), ("upstream changed", sorted(upstream)))
        return next((f"{reason}: {_some(names)}" for reason, names in reasons if names), "")

    def _read(self, step: Step) -> dict[str, str]:
        """Hashes of all that `step` is made from, what the steps before it wrote among them."""
        before = {STEP + name: digest(self._records[name].wrote) for name in step.after if name in self._records}
        return {**step.inputs, **before}


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def digest(value: object) -> str:
    """Hash over a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """Hash over a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def hash_corpora(folder: Path) -> dict[str, str]:
    """The hash of each corpus in a folder, by name: over the files that are read of it.

    Raises:
        DataError: there are none; says what is expected.
    """
    wanted = "expected a folder of corpora, one sub-folder each: NAME/train.jsonl (or .jsonl.gz), NAME/valid.jsonl"
    if not folder.is_dir():
        raise DataError(f"{folder} is {'a file' if folder.exists() else 'not there'}; {wanted}")
    found = find_corpora(folder)
    if folder in found.values():
        raise DataError(f"{folder} is a single corpus; {wanted}")
    hashes = {}
    for name, path in found.items():
        parts = [path / f"{split}{suffix}" for split in SPLITS for suffix in SUFFIXES] if path.is_dir() else [path]
        hashes[name] = digest({part.name: hash_file(part) for part in parts if part.is_file()})
    return hashes


def hash_backbone(name: str, home: Home) -> str:
    """A hash over the weights of a backbone; what lies on the hub is fetched first.

    Raises:
        UnknownNameError, MissingPartError: it can be nowhere, or is not here and cannot be fetched.
    """
    if (pinned := PINNED.get(name.lower())) is not None:
        pinned.find(home)
        return pinned.sha256[:16]
    place = find_backbone(name, home)
    if isinstance(place, str):
        from adapterbot.network.stored import from_hub

        place = from_hub(place)
    files = sorted(path for path in place.iterdir() if path.suffix in WEIGHTS) if place.is_dir() else [place]
    return digest([hash_file(path) for path in files])
