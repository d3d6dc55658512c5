"""3 · Passages: bm25 finds twenty, the sentence encoder re-ranks them, and below a threshold nothing is returned.

As in Dinan et al. 2019 (arXiv 1811.01241) the knowledge of a turn comes from what the user just said; what goes to the
model is the first sentence of the best passage, and the one that goes best with what was asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Fact, Passage
from adapterbot.history import History
from adapterbot.home import DATA, Home, written_by_rename
from adapterbot.knowledge import Advance, Opening, Similarity, Source, Stock, skill_file
from adapterbot.knowledge.passages import added
from adapterbot.knowledge.passages.added import OwnIndex, OwnPassages
from adapterbot.knowledge.passages.cutting import MAX_WORDS, excerpt, opening
from adapterbot.knowledge.passages.index import MARK, UNMARK, Hit, Index, content_digest, read_passages
from adapterbot.knowledge.passages.index import Passage as StoredPassage
from adapterbot.knowledge.query import Query, asks, queries
from adapterbot.language.sentences import split_sentences
from adapterbot.language.text import STEM, Text
from adapterbot.language.values import named, parts
from adapterbot.language.words import terms
from adapterbot.turn import Evidence

SHIPPED = DATA / "knowledge" / "passages.jsonl"
CANDIDATES = 20
OWN_CANDIDATES = 10  # of what the user added: none has a vector yet, and MiniLM takes 30 ms for one on one core

# A passage's score is its relevance plus a bonus for the share of its title that the query names. (bonus, threshold),
# measured on the 158 conversations marked "tuning" in tests/labelled/passage_queries.jsonl. The right one, or rightly
# none: with MiniLM on 98.7 % of them and 97.2 % of the 71 held out; by bm25 alone on 93.7 % and 95.8 %.
COSINE = (0.1, 0.45)  # relevance = cosine of the encoder
BM25 = (0.75, 1.9)  # relevance = normalised bm25

# A passage of the user's own decides that it answers from this score on, to which the share of the message's content
# words that it has is added. Chosen on 20 questions about a club's handbook, 18 of which it then gets right, and 600
# messages to other skills, of which it takes 2; on others it has not been measured.
ANSWERS = 0.6
SHARED = 0.35
OWN_WORDS = 1.05  # how much more what a turn finds by its own words counts than what it finds with those before it

Rows: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Found:
    """A hit with its score and the index that it is from."""

    score: float
    hit: Hit
    index: Index


class PassageSource(Source):
    """The best passages for what the user last said. Safe to use from several threads."""

    needs_encoder = True
    is_read = True
    files = "text, Markdown, HTML, JSONL, a folder of these, or a Wikipedia dump"

    def __init__(
        self,
        path: Path,
        home: Home,
        similarity: Similarity | None = None,
        *,
        limit: int = 1,
        threshold: float | None = None,
        own: OwnPassages | None = None,
    ) -> None:
        """`threshold` replaces the measured one; `own` is searched as well.

        Raises:
            KnowledgeError: the file cannot be read, or a line of it is bad.
        """
        self._index = Index.open(path, home.knowledge)
        self._own = own
        self._similarity = similarity
        self._limit = limit
        self._bonus, measured = BM25 if similarity is None else COSINE
        self._threshold = measured if threshold is None else threshold
        if similarity is not None:
            self._take_shipped_vectors(path, similarity.fingerprint)

    @classmethod
    def open(cls, opening: Opening) -> PassageSource:
        """The passages of the spec's `file`, else those that ship and those that the user added."""
        table = opening.spec.knowledge
        path = skill_file(opening.spec) if table.file else SHIPPED
        own = None if table.file else OwnPassages(opening.home)
        return cls(path, opening.home, opening.similarity, limit=table.limit, threshold=table.threshold, own=own)

    @classmethod
    def add(cls, path: Path, home: Home, name: str, advance: Advance = lambda count: None) -> str:
        """Add the passages of a file or folder (see `added.add`)."""
        return added.add(path, home, name, advance)

    @classmethod
    def remove(cls, home: Home, name: str, file: Path | None = None) -> str:
        """Remove all passages that the user added, or those of one file."""
        return added.remove_file(home, file) if file else super().remove(home, name)

    @classmethod
    def forget(cls, home: Home, name: str) -> bool:
        return added.remove(home, name)

    @classmethod
    def stock(cls, home: Home, name: str) -> Sequence[Stock]:
        """What ships, and the files that the user added."""
        return [Stock(what, own) for what, own in added.stock(home, name)]

    def mentions(self, text: str) -> tuple[str, ...]:
        """The titles of passages of which `text` has every content word."""
        words = terms(text)
        indexes = [self._index, *filter(None, [self._own.index() if self._own else None])]
        hits = [hit for index in indexes for hit in index.search(words, CANDIDATES)] if words else []
        return tuple(dict.fromkeys(hit.passage.title for hit in hits if _title_share(hit) == 1.0))

    def evidence(self, history: History) -> Evidence | None:
        """The passage of the user's own that answers the newest message well."""
        own = self._own.index() if self._own else None
        text = history.last_user
        words = terms(text)
        if own is None or not words:
            return None
        best = max(self._scored(Query(words, text), [own]), key=lambda found: found.score, default=None)
        if best is None:
            return None
        passage = best.hit.passage
        known = Text(f"{passage.title} {passage.text}").stems
        shared = sum(word[:STEM] in known for word in words) / len(words) if len(words) > 1 else 0.0
        strength = best.score / (self._threshold / COSINE[1]) + SHARED * shared
        if strength < ANSWERS:
            return None
        return Evidence(f"{passage.title!r} of {own.file_name(passage.row)} answers it", min(1.0, strength), own=True)

    def retrieve(self, history: History) -> list[Fact]:
        """At most `limit` facts that reach the threshold, best first; `Fact.score` is the passage's score.

        Raises:
            KnowledgeError: the file of the index, or of what the user added, is damaged.
        """
        own = self._own.index() if self._own else None
        indexes = (self._index, own) if own else (self._index,)
        asked = history.last_user
        for group in queries(history):
            tried = [sorted(self._scored(query, indexes), key=lambda found: -found.score) for query in group]
            found = [one for one in _strongest(tried) if one.score >= self._threshold and not _beside(one.hit, asked)]
            if found:
                return [self._fact(one, asked) for one in found[: self._limit]]
        return []

    def _scored(self, query: Query, indexes: Sequence[Index]) -> list[Found]:
        found = list[Found]()
        wanted = None
        for index in indexes:
            hits = index.search(query.terms, CANDIDATES if index is self._index else OWN_CANDIDATES)
            relevance = [hit.bm25 for hit in hits]
            if self._similarity is not None and hits:
                if wanted is None:
                    wanted = np.asarray(self._similarity.encode([query.text]), dtype=np.float32)[0]  # [width]
                relevance = (self._vectors([hit.passage for hit in hits], index, self._similarity) @ wanted).tolist()
            scores = (r + self._bonus * _title_share(hit) for r, hit in zip(relevance, hits, strict=True))
            found += [Found(score, hit, index) for score, hit in zip(scores, hits, strict=True)]
        return found

    def _fact(self, found: Found, asked: str) -> Passage:
        """What the model is given of a passage; of one that the user added, which need not begin with its point, what
        the query names."""
        passage = found.hit.passage
        score = round(found.score, 4)
        if isinstance(found.index, OwnIndex):
            text = excerpt(found.hit.marked_text, MARK, UNMARK)
            name = found.index.file_name(passage.row)
            return Passage(passage.title, text, source="passages", note=name, score=score)
        text = opening(self._to_the_point(passage.text, asked))
        return Passage(passage.title, text, source="passages", score=score)

    def _to_the_point(self, text: str, asked: str) -> str:
        """The first sentence, and of the others that still fit the one that is nearest to what was asked."""
        first, *rest = split_sentences(text) or [text]
        left = MAX_WORDS - len(first.split())
        others = [sentence for sentence in rest if len(sentence.split()) <= left]
        if self._similarity is None or len(others) < 2:
            return " ".join([first, *others])
        rows = np.asarray(self._similarity.encode([asked, *others]), dtype=np.float32)
        return f"{first} {others[int((rows[1:] @ rows[0]).argmax())]}"

    def _vectors(self, passages: Sequence[StoredPassage], index: Index, similarity: Similarity) -> Rows:
        """Vectors [N, width] of passages; each passage is encoded once per encoder and then kept in its index."""
        kept = index.vectors(similarity.fingerprint, [p.row for p in passages])
        new = [p for p in passages if p.row not in kept]
        if new:
            rows = np.asarray(similarity.encode([_encoded_text(p) for p in new]), dtype=np.float16)
            fresh = {p.row: row.tobytes() for p, row in zip(new, rows, strict=True)}
            index.put_vectors(similarity.fingerprint, fresh)
            kept |= fresh
        return np.stack([np.frombuffer(kept[p.row], dtype=np.float16) for p in passages]).astype(np.float32)

    def _take_shipped_vectors(self, path: Path, fingerprint: str) -> None:
        """Fill an index that has no vectors yet from the file beside the passages, if that was made for both."""
        shipped = path.with_suffix(".safetensors")
        if not shipped.is_file() or self._index.vectors(fingerprint, [1]):
            return
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(shipped, framework="numpy") as file:
                if file.metadata() == {"encoder": fingerprint, "passages": content_digest(path)}:
                    rows = file.get_tensor("vectors")  # [N, width], float16
                    self._index.put_vectors(fingerprint, {i: row.tobytes() for i, row in enumerate(rows, 1)})
        except (SafetensorError, OSError) as error:
            raise KnowledgeError(f"{shipped}: damaged ({error}); remove it, it only saves time") from None


def write_vectors(similarity: Similarity, path: Path = SHIPPED) -> Path:
    """Encode all passages of `path` and write `<name>.safetensors` beside them, so that no first turn has to.

    Raises:
        KnowledgeError: the passages cannot be read, or there are none.
    """
    from safetensors.numpy import save_file

    texts = [_encoded_text(p) for p in read_passages(path)]
    if not texts:
        raise KnowledgeError(f"{path}: no passages")
    rows = np.asarray(similarity.encode(texts), dtype=np.float16)  # [N, width]
    target = path.with_suffix(".safetensors")
    with written_by_rename(target) as temporary:
        about = {"encoder": similarity.fingerprint, "passages": content_digest(path)}
        save_file({"vectors": rows}, temporary, metadata=about)
    return target


def _strongest(tried: Sequence[list[Found]]) -> list[Found]:
    """What the query found that found best, each best first; the first query are the turn's own words."""
    own = tried[0]
    return max(tried, key=lambda found: found[0].score * (OWN_WORDS if found is own else 1.0) if found else 0.0)


def _beside(hit: Hit, asked: str) -> bool:
    """Whether a question names what the passage lacks: the capital of Norway is not told by a passage on Reykjavik."""
    names = {name.lower() for name in named(asked) if name.isalpha()} if asks(asked) else set()
    return bool(names) and _title_share(hit) < 1 and names.isdisjoint(parts([hit.passage.title, hit.passage.text]))


def _encoded_text(passage: StoredPassage) -> str:
    return f"{passage.title}. {passage.text}"


def _title_share(hit: Hit) -> float:
    """How much of the title's content words the query has, 0 to 1."""
    return min(1.0, hit.marked.count(MARK) / max(1, len(terms(hit.passage.title))))


SOURCE = PassageSource
