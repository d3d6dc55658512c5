"""3 · Claims: a verdict on what the user plainly stated or asked, never without its evidence.

Each claim has phrasings that its evidence supports, contradicts or leaves open. There is a verdict only where a message
says word for word what a phrasing says, as `statements` reads both. Whatever else comes near a claim is "not known",
with that claim's evidence. How near, the sentence encoder tells: it hardly sees a "not", and has no say in verdicts.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Fact, Label, Passage, Verdict
from adapterbot.history import History
from adapterbot.home import Home, written_by_rename
from adapterbot.knowledge import Opening, Similarity, Source, skill_file
from adapterbot.knowledge.claims.phrasings import LABELS, OPPOSITE, Claim, Phrasing, read_claims
from adapterbot.knowledge.claims.statements import LONGEST, Statement, Words, bare, read, sentences, stated

Rows: TypeAlias = NDArray[np.float32]

CAN = "can"
OLDER = 1  # how many earlier user turns are looked at when the newest holds no claim ("is that true?")
SENTENCES = 8  # of one message that are compared
# How near a claim has to be for its evidence to be shown. Measured on the conversations marked "tuning" in
# tests/labelled/claim_queries.jsonl and on sentences of our own.
COSINE = 0.6  # likeness to the middle of the claim's phrasings of one label
SAID = 0.75  # without an encoder: the share of a phrasing's words, by weight, that were said


@dataclass(frozen=True, slots=True)
class Match:
    """A claim that what was said is near to, how near, and the verdict."""

    score: float
    label: Label
    claim: Claim


class ClaimSource(Source):
    """The verdict on what the user last said, and its evidence. Safe to use from several threads."""

    needs_encoder = True

    def __init__(
        self, path: Path, home: Home, similarity: Similarity | None = None, *, threshold: float | None = None
    ) -> None:
        """`threshold`, of the nearness of evidence, replaces the measured one.

        Raises:
            KnowledgeError: the file cannot be read, or a line of it is bad.
        """
        self._path = path
        self._home = home
        self._similarity = similarity
        self.phrasings = tuple(read_claims(path))
        measured = SAID if similarity is None else COSINE
        self._threshold = measured if threshold is None else threshold
        self._said = defaultdict[Words, list[Phrasing]](list)
        self._possible = defaultdict[Words, list[Phrasing]](list)  # what "can" be, by its words without that "can"
        for phrasing in self.phrasings:
            words = phrasing.said.words
            self._said[words].append(phrasing)
            if CAN in words and phrasing.said.simple:
                self._possible[_without_can(words)].append(phrasing)
        count = Counter(word for p in self.phrasings for word in set(p.said.words))
        self._weight = {word: math.log(1 + len(self.phrasings) / n) for word, n in count.items()}
        self._sides = _sides(self.phrasings)
        self._lock = threading.Lock()
        self._kept = list[Rows]()

    @classmethod
    def open(cls, opening: Opening) -> ClaimSource:
        """The claims of the spec's `file`."""
        spec = opening.spec
        return cls(skill_file(spec), opening.home, opening.similarity, threshold=spec.knowledge.threshold)

    @classmethod
    def read_line(cls, line: str) -> Fact:
        """A verdict, with its evidence where that follows, or the evidence alone."""
        head, _, evidence = line.partition("\n")
        label = LABELS.get(head.removeprefix("verdict: "))
        return Verdict("", label, evidence) if label and head.startswith("verdict: ") else Passage("", line)

    def retrieve(self, history: History) -> list[Fact]:
        """The verdict with its evidence, or nothing; `Fact.score` says how near the claim is."""
        said = [u.text for u in history if u.speaker == "user"]
        for text in reversed(said[-1 - OLDER :]):
            match = self.judge(text) or self.nearest(text)
            if match:
                claim = match.claim
                return [Verdict(claim.title, match.label, claim.text, source="claims", score=round(match.score, 4))]
            if bare(text):  # it is about something else, not "is that true?"
                break
        return []

    def judge(self, message: str) -> Match | None:
        """The verdict on what a message plainly states or asks; None where no phrasing says that, or two differ."""
        said = stated(message)
        if said is None:
            return None
        found = [p for words in said.orders for p in self._said.get(words, ())]
        found = found or [p for words in said.orders for p in self._implied(words, said)]
        verdicts = {phrasing.affirmed for phrasing in found}
        if len(verdicts) != 1:
            return None
        (label,) = verdicts
        return Match(1.0, OPPOSITE[label] if said.denied else label, found[0].claim)

    def _implied(self, words: Words, said: Statement) -> list[Phrasing]:
        """The phrasings from which words follow: what is so can be so, and what cannot be is not so."""
        if not said.simple:
            return []
        if CAN in words:
            return [p for p in self._said.get(_without_can(words), ()) if p.affirmed == "supported"]
        return [p for p in self._possible.get(words, ()) if p.affirmed == "contradicted"]

    def nearest(self, message: str) -> Match | None:
        """The claim that a message comes nearest to, which gives no verdict on it; None when none is near."""
        texts = [text for sentence in sentences(message)[:SENTENCES] if (text := bare(sentence)[:LONGEST])]
        if not texts or not self._sides:
            return None
        near = self._shared(texts) if self._similarity is None else self._likeness(self._similarity, texts)
        best = int(np.argmax(near))
        score = float(near[best])
        return Match(score, "not known", self._sides[best][0].claim) if score >= self._threshold else None

    def _likeness(self, similarity: Similarity, texts: Sequence[str]) -> Rows:
        """How near [sides] the nearest of the texts is to each side."""
        asked = np.asarray(similarity.encode(texts), dtype=np.float32)  # [texts, width]
        near: Rows = (asked @ self._vectors(similarity).T).max(axis=0)
        return near

    def _shared(self, texts: Sequence[str]) -> Rows:
        """The same by words: the share of a phrasing of each side that is said."""
        said = frozenset(word for text in texts for word in read(text).words)
        return np.array([max(self._share(p.said.words, said) for p in side) for side in self._sides], dtype=np.float32)

    def _share(self, words: Words, said: frozenset[str]) -> float:
        weights = {word: self._weight[word] for word in words}
        return sum(weights[word] for word in weights.keys() & said) / max(sum(weights.values()), 1e-6)

    def _vectors(self, similarity: Similarity) -> Rows:
        """Vectors [sides, width]: shipped ones, else those kept in the home, else encoded now."""
        with self._lock:
            if not self._kept:
                digest = _digest(self._sides)
                places = (self._path.with_suffix(".safetensors"), self._home.knowledge / f"claims-{digest}.safetensors")
                about = {"encoder": similarity.fingerprint, "claims": digest}
                rows = next((rows for place in places if (rows := _kept_rows(place, about)) is not None), None)
                if rows is None:
                    rows = _encoded(self._sides, similarity)
                    with contextlib.suppress(OSError):  # where the home cannot be written it only costs time
                        _keep(places[1], about, rows)
                self._kept.append(rows.astype(np.float32))
            return self._kept[0]


def write_vectors(similarity: Similarity, path: Path) -> Path:
    """Encode the phrasings of `path` and write `<name>.safetensors` beside them, so that no first turn has to.

    Raises:
        KnowledgeError: the claims cannot be read, or there are none.
    """
    sides = _sides(tuple(read_claims(path)))
    if not sides:
        raise KnowledgeError(f"{path}: no claims")
    about = {"encoder": similarity.fingerprint, "claims": _digest(sides)}
    return _keep(path.with_suffix(".safetensors"), about, _encoded(sides, similarity))


def _sides(phrasings: Sequence[Phrasing]) -> list[list[Phrasing]]:
    """The phrasings of each claim and label together."""
    return [list(side) for _, side in groupby(phrasings, key=lambda p: (p.claim, p.label))]


def _without_can(words: Words) -> Words:
    return tuple(word for word in words if word != CAN)


def _digest(sides: Sequence[Sequence[Phrasing]]) -> str:
    """Start of a SHA-256 over what the encoder reads of the phrasings."""
    text = "\n\n".join("\n".join(p.said.text for p in side) for side in sides)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _encoded(sides: Sequence[Sequence[Phrasing]], similarity: Similarity) -> NDArray[np.float16]:
    """The middle of each side, a unit vector [sides, width]."""
    rows = np.asarray(similarity.encode([p.said.text for side in sides for p in side]), dtype=np.float32)
    ends = np.cumsum([len(side) for side in sides])[:-1]
    middles = np.stack([part.mean(axis=0) for part in np.split(rows, ends)])
    lengths = np.linalg.norm(middles, axis=1, keepdims=True)
    return np.asarray(middles / np.maximum(lengths, 1e-6), dtype=np.float16)


def _keep(target: Path, about: dict[str, str], rows: NDArray[np.float16]) -> Path:
    from safetensors.numpy import save_file

    with written_by_rename(target) as temporary:
        save_file({"vectors": rows}, temporary, metadata=about)
    return target


def _kept_rows(path: Path, about: dict[str, str]) -> NDArray[np.float16] | None:
    """The vectors in `path` if they were made for these claims by this encoder; a damaged file only costs time."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            rows: NDArray[np.float16] | None = file.get_tensor("vectors") if file.metadata() == about else None
            return rows
    except (SafetensorError, OSError):
        return None


SOURCE = ClaimSource
