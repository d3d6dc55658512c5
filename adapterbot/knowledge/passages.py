"""3 · Passages: bm25 finds twenty, the sentence encoder re-ranks them, and below a threshold nothing is returned.

As in Dinan et al. 2019 (arXiv 1811.01241) the knowledge of a turn comes from what the user just said; what goes to the
model is the start of the best passage.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from adapterbot.data import DATA
from adapterbot.errors import KnowledgeError
from adapterbot.history import History
from adapterbot.home import Home, written_by_rename
from adapterbot.knowledge import Similarity
from adapterbot.knowledge.index import MARK, Hit, Index, Passage, content_digest, read_passages
from adapterbot.knowledge.query import Query, queries, terms
from adapterbot.turn import Fact

SHIPPED = DATA / "knowledge" / "passages.jsonl"
CANDIDATES = 20
MAX_WORDS, MAX_SENTENCES = 40, 2

# A passage's score is its relevance plus a bonus for the share of its title that the query names. (bonus, threshold),
# measured on the 158 conversations marked "tuning" in tests/data/passage_queries.jsonl. The right passage, or rightly
# none: with MiniLM on 98.7 % of them and 97.5 % of the 40 held out; by bm25 alone on 93.7 % and 97.5 %.
COSINE = (0.1, 0.45)  # relevance = cosine of the encoder
BM25 = (0.5, 1.75)  # relevance = normalised bm25

Rows: TypeAlias = NDArray[np.float32]
# A sentence ends at . ! or ? before a capital or digit, but not after an initial or a title such as Dr.
NOT_AFTER = r"(?<!\b[A-Z]\.)(?<!\b(?:Dr|Mr|Ms|St|vs|No)\.)(?<!\bMrs\.)"
SENTENCE_END = re.compile(NOT_AFTER + r"""(?:(?<=[.!?])|(?<=[.!?]["']))\s+(?=["'A-Z0-9])""")


class PassageSource:
    """The best passages for what the user last said. Safe to use from several threads."""

    def __init__(
        self,
        path: Path,
        home: Home,
        similarity: Similarity | None = None,
        *,
        limit: int = 1,
        threshold: float | None = None,
    ) -> None:
        """`threshold` replaces the measured one.

        Raises:
            KnowledgeError: the file cannot be read, or a line of it is bad.
        """
        self._index = Index.open(path, home.knowledge)
        self._similarity, self._limit = similarity, limit
        self._bonus, measured = BM25 if similarity is None else COSINE
        self._threshold = measured if threshold is None else threshold
        if similarity is not None:
            self._take_shipped_vectors(path, similarity.fingerprint)

    def retrieve(self, history: History) -> list[Fact]:
        """At most `limit` facts that reach the threshold, best first; `Fact.score` is the passage's score."""
        for query in queries(history):
            ranked = sorted(self._scored(query), key=lambda pair: -pair[0])
            best = [(score, hit.passage) for score, hit in ranked[: self._limit] if score >= self._threshold]
            if best:
                return [Fact(opening(p.text), "passages", p.title, round(score, 4)) for score, p in best]
        return []

    def _scored(self, query: Query) -> list[tuple[float, Hit]]:
        hits = self._index.search(query.terms, CANDIDATES)
        if self._similarity is None or not hits:
            relevance = [hit.bm25 for hit in hits]
        else:
            asked = np.asarray(self._similarity.encode([query.text]), dtype=np.float32)  # [1, width]
            relevance = (self._vectors([hit.passage for hit in hits], self._similarity) @ asked[0]).tolist()
        return [(r + self._bonus * _title_share(hit), hit) for r, hit in zip(relevance, hits, strict=True)]

    def _vectors(self, passages: Sequence[Passage], similarity: Similarity) -> Rows:
        """Vectors [N, width] of passages; each passage is encoded once per encoder and then kept in the index."""
        kept = self._index.vectors(similarity.fingerprint, [p.row for p in passages])
        new = [p for p in passages if p.row not in kept]
        if new:
            rows = np.asarray(similarity.encode([_encoded_text(p) for p in new]), dtype=np.float16)
            fresh = {p.row: row.tobytes() for p, row in zip(new, rows, strict=True)}
            self._index.put_vectors(similarity.fingerprint, fresh)
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


def opening(text: str) -> str:
    """The first sentence or two of `text`, at most `MAX_WORDS` words."""
    sentences = SENTENCE_END.split(text)
    chosen = sentences[0]
    for sentence in sentences[1:MAX_SENTENCES]:
        if len(chosen.split()) + len(sentence.split()) <= MAX_WORDS:
            chosen = f"{chosen} {sentence}"
    words = chosen.split()
    return chosen if len(words) <= MAX_WORDS else " ".join(words[:MAX_WORDS]) + " …"


def _encoded_text(passage: Passage) -> str:
    return f"{passage.title}. {passage.text}"


def _title_share(hit: Hit) -> float:
    """How much of the title's content words the query has, 0 to 1."""
    return min(1.0, hit.marked.count(MARK) / max(1, len(terms(hit.passage.title))))
