"""The dialogues that a skill is trained and scored on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from adapterbot.data.attributes import Rate
from adapterbot.data.corpora import Splits, corpora_folder, load, load_hub, load_path, split
from adapterbot.data.dialogue import Dialogue, read_dialogues
from adapterbot.errors import DataError
from adapterbot.home import DATA
from adapterbot.spec.tables import SkillSpec

SAMPLES = "the sample dialogues that ship with adapterbot"


@dataclass(frozen=True, slots=True)
class Corpus:
    """Training and validation dialogues of one skill, and where they came from in words."""

    train: list[Dialogue]
    valid: list[Dialogue]
    origin: str

    @property
    def only_samples(self) -> bool:
        """Whether nothing else was found than the few dialogues that ship."""
        return self.origin.startswith(SAMPLES)

    @property
    def digest(self) -> str:
        """Hash over all texts, so that a checkpoint is only resumed on the same data."""
        text = repr([(d.turns, d.context) for part in (self.train, self.valid) for d in part])
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def load_corpus(spec: SkillSpec, data: str | None = None, rate: Rate | None = None) -> Corpus:
    """The dialogues to train `spec` on: `data` (file, folder or hub:NAME), else what the spec names, else our samples.

    `rate` tells how clearly a reply has a style (see `data.corpora.styles`): to be given where they are trained on.

    Raises:
        DataError: nothing usable there; file and line where one is at fault.
    """
    splits, origin = _find(spec, data, rate)
    kept = {part: [d for d in dialogues if _wanted(d, spec)] for part, dialogues in splits.items()}
    if not kept["train"] or not kept["valid"]:
        raise DataError(
            f"{origin} has no dialogue with a system reply to learn from"
            + (f" in domain {spec.data.domain!r}" if spec.data.domain else "")
        )
    known = {d.texts for d in kept["valid"]}
    train = [d for d in kept["train"] if d.texts not in known]
    overlap = len(kept["train"]) - len(train)
    if not train:
        raise DataError(f"{origin}: every training dialogue also stands in the validation part")
    own = spec.folder / "examples.jsonl"
    if own.is_file() and spec.data.path != own.name:
        examples = [d for d in read_dialogues(own) if d.texts not in known]  # `data.path` may name the same file
        train += examples * max(1, round(spec.data.examples * len(train) / len(examples))) if examples else []
        origin += f" and {len(examples)} examples of the skill's own"
    return Corpus(
        train, kept["valid"], origin + (f" ({overlap} duplicates of validation dialogues left out)" if overlap else "")
    )


def only_samples(spec: SkillSpec, data: str | None = None) -> bool:
    """Whether `load_corpus` would find nothing else for `spec` than the few dialogues that ship as samples."""
    named = data or spec.data.path or (corpora_folder() and spec.data.corpus)
    return not named and samples_file(spec).is_file()


def samples_file(spec: SkillSpec) -> Path:
    """Where the samples of a skill are, if it has any."""
    return DATA / "samples" / f"{spec.name}.jsonl"


def _find(spec: SkillSpec, data: str | None, rate: Rate | None) -> tuple[Splits, str]:
    if data and data.startswith("hub:"):
        return load_hub(data.removeprefix("hub:")), data
    folder = Path(data).expanduser() if data else corpora_folder()
    if data and folder and (folder.is_file() or any(folder.glob("train.json*"))):
        return load_path(folder), str(folder)
    if data and folder and not folder.exists():
        raise DataError(f"{folder} does not exist; --data takes a dialogue file, a folder of corpora, or hub:NAME")
    if spec.data.path and not data:
        return load_path(spec.folder / spec.data.path), spec.data.path
    if folder and spec.data.corpus:
        return load(spec.data.corpus, folder, spec.data.domain, rate), f"corpus {spec.data.corpus}"
    samples = samples_file(spec)
    if samples.is_file():
        return split(read_dialogues(samples), str(samples)), SAMPLES
    raise DataError(
        f"skill {spec.name!r} has nothing to train on: give --data FILE (or a folder of corpora, or hub:NAME), "
        f'or put `data = {{ path = "talk.jsonl" }}` into {spec.folder / "skill.toml"}'
    )


def _wanted(dialogue: Dialogue, spec: SkillSpec) -> bool:
    domain = spec.data.domain
    return (not domain or not dialogue.domain or dialogue.domain == domain) and any(
        t.speaker == "system" for t in dialogue.turns[1:]
    )
