"""3 · Claims: the nearest known phrasing of what the user said gives a verdict on it, never without its evidence.

Each claim has phrasings that its evidence supports, contradicts or leaves open. The sentence encoder finds the nearest;
what it hardly sees (negation, numbers, limits such as "only") is read from the words (see `wording`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Fact, Label, Passage, Verdict
from adapterbot.history import History
from adapterbot.home import Home, written_by_rename
from adapterbot.knowledge import Opening, Similarity, Source, skill_file
from adapterbot.knowledge.claims.statements import ENOUGH, Statement, content, read, statements

Rows: TypeAlias = NDArray[np.float32]

KINDS: Mapping[str, Label] = {"true": "supported", "false": "contradicted", "open": "not known"}
LABELS: Mapping[str, Label] = {label: label for label in KINDS.values()}
OPPOSITE: Mapping[Label, Label] = {
    "supported": "contradicted",
    "contradicted": "supported",
    "not known": "not known",
}
OLDER = 1  # how many earlier user turns are looked at when the newest holds no claim ("is that true?")
MARGIN = 0.02  # by which a verdict has to be nearer than every other one

# A phrasing's score is its likeness to what was said, less these. Measured on the conversations marked "tuning" in
# tests/labelled/claim_queries.jsonl; tests/knowledge/claims/test_claims.py holds what comes out.
UNKNOWN = 0.4  # times the share of the said words, by weight, that the claim does not have
MISSING = 0.1  # times the share of the phrasing's words, by weight, that were not said
DENIED = 0.08  # where one of the two denies the other: a verdict turned round is less sure
COSINE = 0.6  # threshold where likeness is the cosine of the encoder
SHARED = 0.45  # threshold where it is the weight of the words in common over that of all, without an encoder


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known about one thing. `words` are the content words of all its texts."""

    title: str
    text: str
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class Phrasing:
    """One way to say something that the claim's evidence has a verdict on."""

    claim: Claim
    label: Label
    said: Statement


@dataclass(frozen=True, slots=True)
class Match:
    """The nearest phrasing of what was said: a verdict on it, and how near it is."""

    score: float
    label: Label
    claim: Claim


class ClaimSource(Source):
    """The verdict on what the user last said, and its evidence. Safe to use from several threads."""

    needs_encoder = True

    def __init__(
        self, path: Path, home: Home, similarity: Similarity | None = None, *, threshold: float | None = None
    ) -> None:
        """`threshold` replaces the measured one.

        Raises:
            KnowledgeError: the file cannot be read, or a line of it is bad.
        """
        self._path = path
        self._home = home
        self._similarity = similarity
        self.phrasings = tuple(read_claims(path))
        measured = SHARED if similarity is None else COSINE
        self._threshold = measured if threshold is None else threshold
        count = Counter(word for p in self.phrasings for word in p.said.words)
        self._weight = {word: math.log(1 + len(self.phrasings) / n) for word, n in count.items()}
        self._rare = math.log(1 + len(self.phrasings))
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
        """The verdict with its evidence, or nothing; `Fact.score` is the score of the nearest phrasing."""
        said = [u.text for u in history if u.speaker == "user"]
        for text in reversed(said[-1 - OLDER :]):
            matches = [match for statement in statements(text) if (match := self.judge(statement))]
            if matches:
                best = max(matches, key=lambda match: match.score)
                title = best.claim.title
                evidence = best.claim.text
                return [Verdict(title, best.label, evidence, source="claims", score=round(best.score, 4))]
            if len(content(text)) >= ENOUGH:  # it is about something else, not "is that true?"
                break
        return []

    def judge(self, statement: Statement) -> Match | None:
        """The verdict of the nearest phrasing; None when none is near, or two are that differ."""
        best: dict[Label, Match] = {}
        for phrasing, likeness in zip(self.phrasings, self._likeness(statement), strict=True):
            if likeness >= self._threshold and statement.agrees(phrasing.said):
                found = self._judged(statement, phrasing, likeness)
                if found.score >= self._threshold:
                    best[found.label] = max(found, best.get(found.label, found), key=lambda j: j.score)
        ranked = sorted(best.values(), key=lambda j: -j.score)
        if not ranked or any(ranked[0].score - other.score < MARGIN for other in ranked[1:]):
            return None
        return ranked[0]

    def _judged(self, statement: Statement, phrasing: Phrasing, likeness: float) -> Match:
        denied = statement.denies(phrasing.said)
        score = likeness - UNKNOWN * self._share(statement.words, phrasing.claim.words)
        score -= MISSING * self._share(phrasing.said.words, statement.words) + DENIED * denied
        return Match(score, OPPOSITE[phrasing.label] if denied else phrasing.label, phrasing.claim)

    def _likeness(self, statement: Statement) -> Sequence[float]:
        if self._similarity is None:
            return [self._shared(statement.words, p.said.words) for p in self.phrasings]
        asked = np.asarray(self._similarity.encode([statement.text]), dtype=np.float32)  # [1, width]
        near: list[float] = (self._vectors(self._similarity) @ asked[0]).tolist()
        return near

    def _shared(self, one: frozenset[str], other: frozenset[str]) -> float:
        """Weighted Jaccard index, 0 to 1; a word that few phrasings have weighs more."""
        return self._weigh(one & other) / max(self._weigh(one | other), 1e-6)

    def _share(self, words: frozenset[str], known: frozenset[str]) -> float:
        """How much of `words`, by weight, is not in `known`, 0 to 1."""
        return self._weigh(words - known) / max(self._weigh(words), 1e-6)

    def _weigh(self, words: frozenset[str]) -> float:
        return sum(self._weight.get(word, self._rare) for word in words)

    def _vectors(self, similarity: Similarity) -> Rows:
        """Vectors [N, width] of the phrasings: shipped ones, else those kept in the home, else encoded now."""
        with self._lock:
            if not self._kept:
                digest = _digest(self.phrasings)
                places = (self._path.with_suffix(".safetensors"), self._home.knowledge / f"claims-{digest}.safetensors")
                about = {"encoder": similarity.fingerprint, "claims": digest}
                rows = next((rows for place in places if (rows := _kept_rows(place, about)) is not None), None)
                if rows is None:
                    rows = _encoded(self.phrasings, similarity)
                    with contextlib.suppress(OSError):  # where the home cannot be written it only costs time
                        _keep(places[1], about, rows)
                self._kept.append(rows.astype(np.float32))
            return self._kept[0]


def read_claims(path: Path) -> Iterator[Phrasing]:
    """The phrasings of a JSONL file of claims `{"title", "text", "true": [...], "false": [...], "open"?: [...]}`.

    Raises:
        KnowledgeError: the first bad line, as `file:line: what is wrong`.
    """
    try:
        with path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                if raw.strip(b"\xef\xbb\xbf \t\r\n"):
                    yield from _parse(raw, f"{path}:{number}")
    except OSError as error:
        raise KnowledgeError(f"{path}: cannot be read: {error.strerror}") from None


def write_vectors(similarity: Similarity, path: Path) -> Path:
    """Encode all phrasings of `path` and write `<name>.safetensors` beside them, so that no first turn has to.

    Raises:
        KnowledgeError: the claims cannot be read, or there are none.
    """
    phrasings = tuple(read_claims(path))
    if not phrasings:
        raise KnowledgeError(f"{path}: no claims")
    about = {"encoder": similarity.fingerprint, "claims": _digest(phrasings)}
    return _keep(path.with_suffix(".safetensors"), about, _encoded(phrasings, similarity))


def _parse(raw: bytes, where: str) -> Iterator[Phrasing]:
    try:
        item: Any = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"{where}: not UTF-8 (byte {error.start}); convert the file to UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise KnowledgeError(f"{where}: not JSON: {error}") from None
    title, text = (_line(item.get(key)) if isinstance(item, dict) else "" for key in ("title", "text"))
    if not title or not text:
        raise KnowledgeError(
            f'{where}: a claim is an object {{"title", "text", "true", "false"}} with a title and a text'
        )
    said: list[tuple[Statement, Label]] = []
    for key, verdict in KINDS.items():
        phrasings = item.get(key, [])
        if not isinstance(phrasings, list) or not all(map(_line, phrasings)):
            raise KnowledgeError(f'{where}: "{key}" is a list of texts, none of them empty')
        said += [(read(_line(phrasing)), verdict) for phrasing in phrasings]
    if not said:
        raise KnowledgeError(f'{where}: a claim needs a phrasing in "true", "false" or "open"')
    words = frozenset[str]().union(content(f"{title} {text}"), *(statement.words for statement, _ in said))
    claim = Claim(title, text, words)
    yield from (Phrasing(claim, verdict, statement) for statement, verdict in said)


def _line(value: object) -> str:
    """A text on one line; "" for what is no text."""
    return " ".join(value.split()).encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _digest(phrasings: Sequence[Phrasing]) -> str:
    """Start of a SHA-256 over what the encoder reads of the phrasings."""
    return hashlib.sha256("\n".join(p.said.text for p in phrasings).encode()).hexdigest()[:16]


def _encoded(phrasings: Sequence[Phrasing], similarity: Similarity) -> NDArray[np.float16]:
    return np.asarray(similarity.encode([p.said.text for p in phrasings]), dtype=np.float16)


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
