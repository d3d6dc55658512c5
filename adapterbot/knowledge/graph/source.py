"""3 · A knowledge graph: the triples about what was just named, those first that answer what was asked.

As in OpenDialKG (Moon et al. 2019) a fact is one edge, `subject TAB relation TAB object`. Nothing is drawn at random:
the same conversation gets the same facts.
"""

# Long: the contract of a source, with adding, listing and removing files.

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Fact, Passage, Triple
from adapterbot.history import History
from adapterbot.home import DATA, Home, is_inside
from adapterbot.knowledge import Advance, Opening, Source, Stock, skill_file
from adapterbot.knowledge.graph import triples
from adapterbot.knowledge.graph.entity_linking import Entity, mentions, words_of
from adapterbot.knowledge.graph.index import Edge, Link, TripleIndex
from adapterbot.knowledge.graph.relations import (
    ALIKE,
    BOOK,
    FILM,
    GENRE,
    MUSIC,
    PERSON,
    PRIOR,
    asks_for,
    canonical,
    media,
)
from adapterbot.knowledge.graph.triples import import_triples
from adapterbot.knowledge.lines import read_nothing
from adapterbot.language.words import REFERRING
from adapterbot.turn import Evidence

SHIPPED = DATA / "knowledge" / "graph.tsv"
BACK = 4  # earlier utterances that a follow-up may refer to
# looked at in one turn: entities, relations of each, triples of each
MOST_ENTITIES = 6
MOST_LINKS = 8
MOST_EDGES = 40
FEW = 3  # things that a question may ask for
EXTRA = 2  # triples beside those that answer the question
OF_PEOPLE = frozenset({"he", "him", "his", "she", "her", "hers", "they", "them", "their"})
POINTING = frozenset({"that", "this", "those", "these", "one"})  # in a question: at what was said
AGAIN = frozenset({"else", "other", "others", "another", "more"})
ALIKE_TO = re.compile(
    r"\b(?:similar|recommend\w*|suggest\w*)\b|\b(?:something|anything|any|ones?|more|films?|movies?|books?|novels?|songs?|"
    r"music|bands?|artists?|albums?|series|players?)(?:\s+(?:is|are))?\s+like\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the newest message asks for."""

    words: frozenset[str]
    media: frozenset[str]  # the kinds of work it speaks of
    alike: bool  # it wants something like what it names
    question: bool

    @classmethod
    def of(cls, text: str) -> Asked:
        """Reads a message."""
        words = frozenset(part for word in words_of(text) for part in word[0].lower().replace("’", "'").split("'"))
        return cls(words, frozenset(media(words)), bool(ALIKE_TO.search(text)), "?" in text)

    @property
    def refers_back(self) -> bool:
        """Whether it may be about what was named earlier."""
        pointing = REFERRING | AGAIN | (POINTING if self.question else frozenset())
        return bool(self.words & pointing) or any(asks_for(r, self.words) for r in PRIOR)

    def fits(self, entity: Entity) -> bool:
        """Whether a pronoun or a word such as 'film' can stand for this entity."""
        if entity.kind in self.media:
            return True
        return bool(self.words & OF_PEOPLE if entity.kind == PERSON else self.words & {"it", "its"})


@dataclass(frozen=True, slots=True)
class Named:
    """An entity in question, how likely it is meant, and whether the newest message names it."""

    entity: Entity
    weight: float
    newest: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A candidate: a triple, the entity it was found by, and how well it suits the message."""

    edge: Edge
    entity: Entity
    score: float
    answers: bool = False


def imported(home: Home) -> Path | None:
    """The user's own triples, if there are any.

    Raises:
        KnowledgeError: the file is a link that leads out of the folder.
    """
    path = home.knowledge / "graph.tsv"
    if path.is_file() and not is_inside(path, home.knowledge):
        raise KnowledgeError(f"{path} leads out of {home.knowledge} by a symbolic link; add the file itself")
    return path if path.is_file() else None


class GraphSource(Source):
    """The triples that suit what was just said. Safe to use from several threads."""

    is_read = True
    files = "triples: subject, relation, object, with tabs between them"

    def __init__(self, paths: Sequence[Path], home: Home, *, limit: int = 5) -> None:
        """Raises KnowledgeError when a file cannot be read or a line of it is bad."""
        self._index = TripleIndex.open(paths, home.knowledge)
        # entities count in the order of the files, those that only the user's have last
        self._shipped = self._index.entities_of(paths[0]) if len(paths) > 1 else 1 << 62
        self._limit = limit

    @classmethod
    def open(cls, opening: Opening) -> GraphSource:
        """The triples of the spec's `file`; without one, those that ship and those that the user imported."""
        own = imported(opening.home)
        table = opening.spec.knowledge
        paths = [skill_file(opening.spec)] if table.file else [SHIPPED, *([own] if own else [])]
        return cls(paths, opening.home, limit=table.limit)

    @classmethod
    def read_line(cls, line: str) -> Fact:
        """A triple, or that there is none; any other line is read as it is."""
        fields = line.split("\t")
        if len(fields) == 3 and all(fields):
            return Triple(*fields)
        return read_nothing(line) or Passage("", line)

    @classmethod
    def add(cls, path: Path, home: Home, name: str, advance: Advance = lambda count: None) -> str:
        """Import a file of triples in place of the user's earlier one; says what is there now.

        Raises:
            KnowledgeError: a line is bad (`file:line`), or there is none; then the earlier triples stay.
        """
        triples, entities = import_triples(path, home.knowledge / "graph.tsv", advance)
        return f"{triples:,} triples, {entities:,} entities"

    @classmethod
    def forget(cls, home: Home, name: str) -> bool:
        """Forget the user's triples; False when there were none."""
        path = home.knowledge / "graph.tsv"
        there = path.is_file() or path.is_symlink()
        path.unlink(missing_ok=True)
        return there

    @classmethod
    def stock(cls, home: Home, name: str) -> Sequence[Stock]:
        """The triples that ship, and the user's."""
        return [Stock(what, own) for what, own in triples.stock(home, name)]

    def mentions(self, text: str) -> tuple[str, ...]:
        """The entities that `text` names."""
        return tuple(dict.fromkeys(entity.name for entity in self._entities(text, frozenset())))

    def evidence(self, history: History) -> Evidence | None:
        """What the newest message names that only the user's triples have."""
        own = next((e.name for e in self._entities(history.last_user, frozenset()) if e.id > self._shipped), "")
        return Evidence(f"{own} stands in your triples", own=True) if own else None

    def retrieve(self, history: History) -> list[Fact]:
        """At most `limit` triples, best first."""
        asked = Asked.of(history.last_user)
        named, earlier = self._named(history, asked)
        found: dict[int, Found] = {}
        for candidate in self._candidates(named, asked):
            known = found.get(candidate.edge.id)
            if known is None or candidate.score > known.score:
                found[candidate.edge.id] = candidate
        if asked.words & AGAIN:  # what was said already is no news
            found = {i: f for i, f in found.items() if not {f.edge.subject.id, f.edge.object.id} <= earlier}
        chosen = self._chosen(found.values())
        asked_for = _asked_for(chosen, asked)
        return [
            replace(
                f.edge.fact,
                source="graph",
                note=f.entity.name,
                score=round(f.score, 2),
                asked=f.edge.other(f.entity).name if f.edge.id in asked_for else "",
            )
            for f in chosen
        ]

    def _chosen(self, found: Iterable[Found]) -> list[Found]:
        """The best; where some answer the question, hardly any others."""
        ranked = list[Found]()
        joined = set[frozenset[int]]()
        for each in sorted(found, key=lambda f: (-f.score, f.edge.id)):
            ends = frozenset({each.edge.subject.id, each.edge.object.id})
            if ends not in joined:  # who wrote it directed it too: the better of the two will do
                joined.add(ends)
                ranked.append(each)
        answers = [f for f in ranked if f.answers]
        return (answers + [f for f in ranked if not f.answers][: EXTRA if answers else None])[: self._limit]

    def _named(self, history: History, asked: Asked) -> tuple[list[Named], set[int]]:
        """The entities in question, the likeliest first; and the ids of all that were named before."""
        texts = [u.text for u in history]
        newest = max((i for i, u in enumerate(history) if u.speaker == "user"), default=-1)
        named: dict[Entity, Named] = {}
        earlier = set[int]()
        for age, text in enumerate(reversed(texts[max(0, newest - BACK) : newest + 1])):
            if age == 1 and not asked.refers_back:
                break
            for entity in self._entities(text, asked.media):
                if age:
                    earlier.add(entity.id)
                fits = 1.5 if asked.fits(entity) else 0.0
                weight = (2.0 + fits / 3 if age == 0 else fits + 1 / age) + _rarity(entity)
                named.setdefault(entity, Named(entity, weight, age == 0))
        return sorted(named.values(), key=lambda each: (-each.weight, each.entity.id))[:MOST_ENTITIES], earlier

    def _entities(self, text: str, wanted: frozenset[str]) -> list[Entity]:
        """What a text names; of several things of one name those that are of the wanted kind, if any are."""
        found: list[Entity] = []
        for mention in mentions(text, self._index.lookup):
            fitting = [e for e in mention.entities if e.kind in wanted] or list(mention.entities)
            found += fitting[:MOST_ENTITIES]
        return found

    def _candidates(self, named: Sequence[Named], asked: Asked) -> Iterable[Found]:
        for each in named:
            yield from self._about(each.entity, each.weight, asked)
            if asked.alike and each.entity.kind not in (GENRE, PERSON):
                yield from self._like(each.entity, each.weight)
        for one, other in combinations(named, 2):
            if one.newest or other.newest:
                yield from self._joined(one, other, asked)

    def _joined(self, one: Named, other: Named, asked: Asked) -> Iterable[Found]:
        """What joins two entities: a triple of both, else what both have to do with."""
        weight = one.weight + other.weight
        both = (one.entity, other.entity)
        edges = self._index.between(*both, self._limit)
        for edge in edges:
            yield Found(edge, one.entity, weight + 2.0 + 2.0 * asks_for(edge.relation, asked.words), True)
        if not edges and one.newest and other.newest and not {FILM, BOOK, MUSIC} & {e.kind for e in both}:
            yield from self._shared(*both, weight, asked)

    def _about(self, entity: Entity, weight: float, asked: Asked) -> Iterable[Found]:
        """Triples of one entity: by what is asked for, else one of each relation first."""
        links = [(asks_for(link.relation, asked.words), _prior(link), link) for link in self._links(entity)]
        for cue, prior, link in sorted(links, key=lambda item: (-item[0], -item[1]))[:MOST_LINKS]:
            for place, edge in enumerate(self._edges(entity, link, asked)):
                meant = cue or int(entity.kind == PERSON and edge.other(entity).kind in asked.media)
                fall = 0.05 if meant or len(links) == 1 else 0.6
                yield Found(edge, entity, weight + 2.0 * meant + prior - fall * place, meant > 0)

    def _like(self, entity: Entity, weight: float) -> Iterable[Found]:
        """By what a work is like others, and two others that have the same."""
        links = {canonical(link.relation): link for link in self._links(entity) if link.forward}
        shared = [links[name] for name in ALIKE if name in links]
        for place, link in enumerate(shared):
            for edge in self._index.edges(entity, link, 1):
                back = Link(link.relation, False, edge.object.degree)
                others = [e for e in self._index.edges(edge.object, back, MOST_EDGES) if e.subject.kind == entity.kind]
                others = [e for e in others if e.subject.id != entity.id][:2]
                for step, each in enumerate([edge, *others] if others else []):
                    yield Found(each, each.subject, weight + 4.0 - 0.5 * place - 0.1 * step, True)

    def _shared(self, one: Entity, other: Entity, weight: float, asked: Asked) -> Iterable[Found]:
        """What both have to do with: for a genre and an actor, the actor's films of that genre."""
        rare, common = sorted((one, other), key=lambda e: (e.degree, e.id))
        for link in self._links(rare)[:MOST_LINKS]:
            for place, edge in enumerate(self._edges(rare, link, asked)):
                middle = edge.other(rare)
                for second in self._index.between(middle, common, 1) if middle.id != common.id else ():
                    yield Found(edge, rare, weight + 1.5 - 0.1 * place, True)
                    yield Found(second, middle, weight + 1.0 - 0.1 * place, True)

    def _links(self, entity: Entity) -> list[Link]:
        return self._index.links(entity, MOST_EDGES)

    def _edges(self, entity: Entity, link: Link, asked: Asked) -> list[Edge]:
        """Triples of a link, those first whose other end is of the kind that the message speaks of."""
        edges = self._index.edges(entity, link, MOST_EDGES)
        return sorted(edges, key=lambda edge: edge.other(entity).kind not in asked.media)


def _asked_for(chosen: Sequence[Found], asked: Asked) -> set[int]:
    """The triples that answer a question for one relation of one thing; none where there are more than a few."""
    best = chosen[0] if chosen else None
    if best is None or not asked.question or not best.answers or not asks_for(best.edge.relation, asked.words):
        return set()
    alike = [f for f in chosen if f.edge.relation == best.edge.relation and f.entity.id == best.entity.id]
    same = [f for f in alike if (f.edge.subject.id == f.entity.id) == (best.edge.subject.id == best.entity.id)]
    return {f.edge.id for f in same} if len(same) <= FEW else set()


def _rarity(entity: Entity) -> float:
    """Up to 0.5 for an entity that few triples have; less where another name of it was found."""
    return 0.5 / (1.0 + math.log10(1 + entity.degree)) - 0.3 * (entity.how > 0)


def _prior(link: Link) -> float:
    """How telling a relation is when nothing in particular is asked, 0 to 0.5."""
    name = canonical(link.relation)
    return 0.5 - 0.07 * PRIOR.index(name) if name in PRIOR else 0.0


SOURCE = GraphSource
