"""Dialogues to windows to token rows: what an adapter learns from and is scored on."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from adapterbot.data import DATA
from adapterbot.data.attributes import Rate
from adapterbot.data.corpora import Splits, corpora_folder, load, load_hub, load_path, split
from adapterbot.data.dialogue import Dialogue, Turn, read_dialogues
from adapterbot.errors import DataError
from adapterbot.frames import FRAME, frame_dialogues
from adapterbot.madeup import everyday, with_made_up_names
from adapterbot.prompt import Tokenizer, encode
from adapterbot.spec import SkillSpec
from adapterbot.turn import Prompt

COMMON = 20  # a word that stands this often in a skill's corpus belongs to everyday language
FRAMES_SHARE = 0.3  # dialogues from frames for each other training dialogue, where a skill asks for frames
FEWEST_FRAMES = 1_200


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive utterances with one set of facts; `learn` are the indexes of the replies to take a loss on."""

    facts: tuple[str, ...]
    utterances: tuple[str, ...]
    learn: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Training and validation dialogues of one skill, and where they came from in words."""

    train: list[Dialogue]
    valid: list[Dialogue]
    origin: str

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
    known = {_texts(d) for d in kept["valid"]}
    train = [d for d in kept["train"] if _texts(d) not in known]
    overlap = len(kept["train"]) - len(train)
    if not train:
        raise DataError(f"{origin}: every training dialogue also stands in the validation part")
    own = spec.folder / "examples.jsonl"
    if own.is_file() and spec.data.path != own.name:
        examples = [d for d in read_dialogues(own) if _texts(d) not in known]  # `data.path` may name the same file
        train += examples * max(1, round(spec.data.examples * len(train) / len(examples))) if examples else []
        origin += f" and {len(examples)} examples of the skill's own"
    if spec.data.frames:
        count = max(FEWEST_FRAMES, round(FRAMES_SHARE * len(train)))
        frames = list(frame_dialogues(count, spec.name, spec.data.frames, spec.knowledge.limit))
        train += frames
        origin += f" and {len(frames)} dialogues from frames ({', '.join(spec.data.frames)})"
    return Corpus(
        train, kept["valid"], origin + (f" ({overlap} duplicates of validation dialogues left out)" if overlap else "")
    )


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
    samples = DATA / "samples" / f"{spec.name}.jsonl"
    if samples.is_file():
        return split(read_dialogues(samples), str(samples)), "the sample dialogues that ship with adapterbot"
    raise DataError(
        f"skill {spec.name!r} has nothing to train on: give --data FILE (or a folder of corpora, or hub:NAME), "
        f'or put `data = {{ path = "talk.jsonl" }}` into {spec.folder / "skill.toml"}'
    )


def _wanted(dialogue: Dialogue, spec: SkillSpec) -> bool:
    domain = spec.data.domain
    return (not domain or not dialogue.domain or dialogue.domain == domain) and any(
        t.speaker == "system" for t in dialogue.turns[1:]
    )


def _texts(dialogue: Dialogue) -> tuple[str, ...]:
    return tuple(t.text for t in dialogue.turns)


def windows(dialogue: Dialogue, spec: SkillSpec) -> Iterator[Window]:
    """Windows of at most `turns` + 1 utterances in which every reply with something before it is learnt once.

    Replies that share their facts share a window, so their context is computed once.
    """
    texts, facts = _texts(dialogue), facts_of(dialogue, 0, spec)
    start, learn = 0, list[int]()
    for i, turn in enumerate(dialogue.turns):
        if turn.speaker != "system" or i == 0:
            continue
        own = facts_of(dialogue, i, spec)
        if learn and (own != facts or i - start > spec.turns):
            yield Window(facts, texts[start : learn[-1] + 1], tuple(j - start for j in learn))
            # a fresh window gives its first reply half of the usual history, so that later replies fit in too
            start, learn = max(0, i - (spec.turns if own != facts else (spec.turns + 1) // 2)), []
        facts = own
        start = max(start, i - spec.turns)
        learn.append(i)
    if learn:
        yield Window(facts, texts[start : learn[-1] + 1], tuple(j - start for j in learn))


def replies(dialogue: Dialogue, spec: SkillSpec) -> Iterator[Window]:
    """One window per reply, with exactly the history it would have in a chat: what perplexity is measured on."""
    texts = _texts(dialogue)
    for i, turn in enumerate(dialogue.turns):
        if turn.speaker == "system" and i > 0:
            start = max(0, i - spec.turns)
            yield Window(facts_of(dialogue, i, spec), texts[start : i + 1], (i - start,))


def facts_of(dialogue: Dialogue, index: int, spec: SkillSpec) -> tuple[str, ...]:
    """The facts of one reply by the spec's `data.facts`, at most `knowledge.limit`, else `knowledge.when_empty`."""
    kind, knowledge = spec.data.facts, dialogue.turns[index].knowledge
    found = {"none": (), "context": dialogue.context, "knowledge": knowledge, "auto": knowledge or dialogue.context}[
        kind
    ]
    return found[: spec.knowledge.limit] or tuple(filter(None, [spec.knowledge.when_empty]))


def encode_windows(parts: Iterable[Window], tokenizer: Tokenizer, positions: int) -> list[Prompt]:
    """Token rows with labels; rows whose reply does not fit into the positions are left out."""
    rows = (encode(tokenizer, w.facts, w.utterances, positions=positions, learn=w.learn) for w in parts)
    return [row for row in rows if len(row.ids) <= positions and any(label >= 0 for label in row.labels)]


def training_rows(corpus: Corpus, spec: SkillSpec, tokenizer: Tokenizer, positions: int, seed: int) -> list[Prompt]:
    """Rows of all training dialogues, with what `data.recase` and `data.made_up` do to a share of them."""
    parts = _augmented(corpus, spec, random.Random(f"{seed} names"), seed)
    rows = encode_windows(parts, tokenizer, positions)
    if not rows:
        raise DataError(f"{corpus.origin}: no reply fits into the backbone's {positions} positions")
    return rows


def _augmented(corpus: Corpus, spec: SkillSpec, draw: random.Random, seed: int) -> Iterator[Window]:
    """The training windows, in the shares of the spec with capitals and with made-up names in facts and replies."""
    common = everyday((t.text for d in corpus.train for t in d.turns), COMMON)
    for dialogue in corpus.train:
        recase_it = random.Random(f"{seed} {dialogue.id}").random() < spec.data.recase
        for w in windows(recased(dialogue) if recase_it else dialogue, spec):
            if w.facts and not dialogue.id.startswith(FRAME) and draw.random() < spec.data.made_up:
                facts, utterances = with_made_up_names(w.facts, w.utterances, w.learn, common, draw)
                yield Window(facts, utterances, w.learn)
            else:
                yield w


def validation_rows(
    dialogues: Sequence[Dialogue], spec: SkillSpec, tokenizer: Tokenizer, positions: int, most: int
) -> list[Prompt]:
    """Rows of at most `most` validation replies, evenly spread over the dialogues."""
    everything = [w for d in dialogues for w in replies(d, spec)]
    step = max(1, len(everything) // most)
    return encode_windows(everything[::step][:most], tokenizer, positions)


def recased(dialogue: Dialogue) -> Dialogue:
    """The dialogue with capitals where sentences start: lower-cased corpora should not set the bot's register."""
    return replace(
        dialogue,
        turns=tuple(Turn(t.speaker, recase(t.text), tuple(map(recase, t.knowledge)), t.label) for t in dialogue.turns),
        context=tuple(map(recase, dialogue.context)),
    )


def recase(text: str) -> str:
    """`text` with a capital at the start of each sentence and in the word I."""
    text = re.sub(r"(^|[.!?]\s+)([a-z])", lambda m: m[1] + m[2].upper(), text)
    return re.sub(r"\bi(?=\b|')", "I", text)
