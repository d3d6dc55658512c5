"""3 · A graph in SQLite: names that lead to entities, and the entities' triples by relation and direction.

Every query is one or a few index look-ups whatever the size of the graph; nothing scans the names.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import weakref
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Triple
from adapterbot.knowledge.graph.entity_linking import ALIAS, SURNAME, Entity, keys_of_name
from adapterbot.knowledge.graph.relations import RANKS, ROLES, canonical
from adapterbot.knowledge.graph.triples import read_triples
from adapterbot.knowledge.passages.index import content_digest
from adapterbot.knowledge.sqlite_cache import opened

FORMAT = 1  # of the database; another number makes it be built again
NAMESAKES = 8  # entities that one name leads to at most: the best known
TABLES = """
    CREATE TABLE entity (id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, degree INTEGER NOT NULL);
    CREATE TABLE name (key TEXT, entity INTEGER, how INTEGER NOT NULL, PRIMARY KEY (key, entity)) WITHOUT ROWID;
    CREATE TABLE triple (id INTEGER PRIMARY KEY, subject INTEGER, relation TEXT, object INTEGER,
        UNIQUE (subject, relation, object));
    CREATE TABLE link (entity INTEGER, relation TEXT, forward INTEGER, size INTEGER NOT NULL,
        PRIMARY KEY (entity, relation, forward)) WITHOUT ROWID;
"""
AFTERWARDS = """
    CREATE INDEX forwards ON triple (subject, relation);
    CREATE INDEX backwards ON triple (object, relation);
    INSERT INTO link SELECT subject, relation, 1, count(*) FROM triple GROUP BY subject, relation;
    INSERT INTO link SELECT object, relation, 0, count(*) FROM triple GROUP BY object, relation;
    UPDATE entity SET degree = (SELECT coalesce(sum(size), 0) FROM link WHERE link.entity = entity.id);
"""
UNCLEAR = "DELETE FROM name WHERE how = ? AND key IN (SELECT key FROM name GROUP BY key HAVING count(*) > 1)"
CROWDED = """
    DELETE FROM name WHERE (key, entity) IN (SELECT key, entity FROM (
        SELECT key, entity, row_number() OVER (PARTITION BY key ORDER BY how, degree DESC, entity) AS place
        FROM name JOIN entity ON entity.id = name.entity) WHERE place > ?)
"""
LOOKUP = """
    SELECT key, id, entity.name, kind, degree, how FROM name JOIN entity ON entity.id = name.entity
    WHERE key IN (SELECT value FROM json_each(?)) ORDER BY key, how, degree DESC, id
"""
EDGES = """
    SELECT t.id, s.id, s.name, s.kind, s.degree, relation, o.id, o.name, o.kind, o.degree
    FROM triple AS t JOIN entity AS s ON s.id = t.subject JOIN entity AS o ON o.id = t.object
"""
FORWARD = EDGES + "WHERE t.subject = ? AND t.relation = ? ORDER BY t.id LIMIT ?"
BACKWARD = EDGES + "WHERE t.object = ? AND t.relation = ? ORDER BY t.id LIMIT ?"
BETWEEN = EDGES + "WHERE t.subject = ? AND t.object = ? ORDER BY t.id LIMIT ?"
LINKS = "SELECT relation, forward, size FROM link WHERE entity = ? ORDER BY relation, forward DESC LIMIT ?"


@dataclass(frozen=True, slots=True)
class Edge:
    """A triple with both of its ends. `id` counts in the order of the files."""

    id: int
    subject: Entity
    relation: str
    object: Entity

    @property
    def fact(self) -> Triple:
        """The triple as a fact."""
        return Triple(self.subject.name, self.relation, self.object.name)

    def other(self, entity: Entity) -> Entity:
        """The end that is not `entity`."""
        return self.object if self.subject.id == entity.id else self.subject


@dataclass(frozen=True, slots=True)
class Link:
    """All triples of one entity with one relation in one direction (`forward`: it is their subject)."""

    relation: str
    forward: bool
    size: int


class TripleIndex:
    """The triples of some files. Safe to use from several threads."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._lock = threading.Lock()
        weakref.finalize(self, connection.close)

    @classmethod
    def open(cls, paths: Sequence[Path], folder: Path) -> TripleIndex:
        """The index of these triple files, kept in `folder`; built first where it is missing or out of date.

        Raises:
            KnowledgeError: a file cannot be read, or a line of it is bad.
        """
        digest = " ".join([str(FORMAT), *map(content_digest, paths)])
        places = "\n".join(str(path.absolute()) for path in paths).encode("utf-8", "surrogatepass")
        target = folder / f"triples-{hashlib.sha256(places).hexdigest()[:8]}.sqlite3"
        return cls(opened(target, digest, lambda connection: _fill(connection, paths)))

    def lookup(self, keys: Sequence[str]) -> Mapping[str, Sequence[Entity]]:
        """The entities that each of these normalised names stands for, the best known first."""
        found = defaultdict[str, list[Entity]](list)
        for key, *entity in self._fetch(LOOKUP, (json.dumps(keys),)):
            found[key].append(Entity(*entity))
        return found

    def entities_of(self, first: Path) -> int:
        """How many entities the first file of the index has: their ids go up to that."""
        named = (n for t in read_triples(first) if canonical(t.relation) != "alias" for n in (t.subject, t.object))
        return len(set(named))

    def links(self, entity: Entity, limit: int) -> list[Link]:
        """The relations of an entity, each direction by itself."""
        rows = self._fetch(LINKS, (entity.id, limit))
        return [Link(relation, bool(forward), size) for relation, forward, size in rows]

    def edges(self, entity: Entity, link: Link, limit: int) -> list[Edge]:
        """The first triples of a link, in the order of the files."""
        return self._edges(FORWARD if link.forward else BACKWARD, (entity.id, link.relation, limit))

    def between(self, one: Entity, other: Entity, limit: int) -> list[Edge]:
        """The triples that join two entities, whichever is the subject."""
        pairs = ((one.id, other.id), (other.id, one.id))
        return list(chain.from_iterable(self._edges(BETWEEN, (*pair, limit)) for pair in pairs))

    def _edges(self, query: str, values: Sequence[Any]) -> list[Edge]:
        rows = self._fetch(query, values)
        return [Edge(row[0], Entity(*row[1:5]), row[5], Entity(*row[6:10])) for row in rows]

    def _fetch(self, query: str, values: Sequence[Any]) -> list[Any]:
        try:
            with self._lock, closing(self._db.execute(query, values)) as rows:
                return rows.fetchall()
        except sqlite3.DatabaseError as error:
            place = self._db.execute("PRAGMA database_list").fetchone()[2]
            raise KnowledgeError(f"{place}: the graph's index cannot be read ({error}); remove it") from None


def _fill(connection: sqlite3.Connection, paths: Sequence[Path]) -> None:
    """Make an empty database the index of all triples of `paths`; an `alias` names its subject and is no triple."""
    ids = dict[str, int]()
    kinds = dict[int, str]()
    aliases = list[tuple[str, str]]()

    def entity(name: str, kind: str) -> int:
        number = ids.setdefault(name, len(ids) + 1)
        if RANKS.index(kind) < RANKS.index(kinds.setdefault(number, kind)):
            kinds[number] = kind
        return number

    connection.executescript(TABLES)
    for triple in chain.from_iterable(map(read_triples, paths)):
        relation = canonical(triple.relation)
        if relation == "alias":
            aliases.append((triple.subject, triple.object))
            continue
        subject_kind, object_kind = ROLES.get(relation, ("", ""))
        row = (entity(triple.subject, subject_kind), triple.relation, entity(triple.object, object_kind))
        connection.execute("INSERT OR IGNORE INTO triple (subject, relation, object) VALUES (?, ?, ?)", row)
    connection.executemany("INSERT INTO entity VALUES (?, ?, ?, 0)", ((i, n, kinds[i]) for n, i in ids.items()))
    named = ((key, i, how) for name, i in ids.items() for key, how in keys_of_name(name, kinds[i]).items())
    also = ((key, ids[name], ALIAS) for name, a in aliases if name in ids for key in keys_of_name(a, ""))
    connection.executemany("INSERT OR IGNORE INTO name VALUES (?, ?, ?)", chain(named, also))
    connection.executescript(AFTERWARDS)
    connection.execute(UNCLEAR, (SURNAME,))
    connection.execute(CROWDED, (NAMESAKES,))
