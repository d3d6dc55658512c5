"""The reader of SQL itself: what it must find, however the value came into the query, and what it must let pass."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest
from sql import unsound

BAD = {
    "in the call": 'db.execute(f"SELECT * FROM row WHERE name = {name!r}")',
    "by way of a name": 'query = f"SELECT {name}"\ndb.execute(query)',
    "added later": 'query = "SELECT 1"\nquery += f" WHERE x = {name}"\ndb.execute(query)',
    "added to the name of another": 'where = "x = " + name\nquery = f"SELECT 1 WHERE {where}"\ndb.execute(query)',
    "with %": 'db.execute("SELECT %s" % name)',
    "with format": 'db.execute("SELECT {}".format(name))',
    "with replace": 'db.execute("SELECT X".replace("X", name))',
    "replaced by way of a name": 'query = "SELECT X"\nquery = query.replace("X", name)\ndb.execute(query)',
    "joined": 'db.execute(" AND ".join(f"x = {v}" for v in name))',
    "joined by way of a list": 'parts = ["1"]\nparts.append(name)\ndb.execute(" AND ".join(parts))',
    "in one branch of two": 'db.execute("SELECT 1" if quick else f"SELECT {name}")',
    "in a loop": "for query in name:\n    db.execute(query)",
    "as an argument": "db.execute(name)",
    "by keyword": 'db._fetch(query=f"SELECT {name}")',
    "as a script": 'db.executescript(f"DROP TABLE {name}")',
    "for many": 'db.executemany(f"INSERT INTO {name} VALUES (?)", rows)',
    "past SQLAlchemy": 'db.exec_driver_sql(f"SELECT {name}")',
    "as SQLAlchemy's text": 'sa.text(f"SELECT {name}")',
    "inside SQLAlchemy's text": 'db.execute(sa.text("SELECT " + name))',
    "by our own helper": 'self._fetch(f"SELECT {name}", ())',
    "by a number that may be none": 'db.execute(f"SELECT 1 LIMIT {limit}")',
    "by a function": "db.execute(made(name))\ndef made(x):\n    return f'SELECT {x}'",
    "by the first of two values": "where, values = made(name)\ndb.execute(where)\ndef made(x):\n    return x, []",
    "by a walrus": 'db.execute(query) if (query := "SELECT " + name) else None',
    "by a mapping": 'queries = {"a": name}\ndb.execute(queries["a"])',
    "by a module's name": "db.execute(OUTSIDE)",
}
GOOD = {
    "a constant": 'db.execute("SELECT ?", (name,))',
    "constants put together": 'QUERY = "SELECT " + "1"\ndb.execute(QUERY)',
    "a number": 'db.execute(f"SELECT 1 LIMIT {limit:d}")',
    "a column": 'db.execute(f"SELECT {column.sql} FROM row")',
    "placeholders": 'db.execute(f"SELECT 1 WHERE x IN ({_marks(name)})", name)',
    "placeholders by hand": 'marks = ",".join("?" * len(name))\ndb.execute(f"SELECT 1 WHERE x IN ({marks})")',
    "conditions": 'parts = ["1"]\nparts.append(f"{column.sql} = ?")\ndb.execute(" AND ".join(parts))',
    "a mapping of constants": 'tests = {"=": "=", ">": ">"}\ndb.execute(f"SELECT 1 WHERE x {tests[name]} ?")',
    "by a function": "where, values = made(name)\ndb.execute(where)\ndef made(x):\n    return 'x = ?', [x]",
    "SQLAlchemy's expressions": "chosen = sa.select(T).where(T.c.x == name)\ndb.execute(chosen.limit(3))",
    "a plot's text": 'axes.text(name, 1, f"{name}")',
}


def told(body: str) -> list[str]:
    """What is found in a function with this body, in a module beside one of constants."""
    lines = "\n    ".join(body.splitlines())
    imports = "from other import OUTSIDE, SAFE\nimport sqlalchemy as sa\n"
    code = f"{imports}def ask(self, db, name, limit, column):\n    {lines}\n"
    other = "import os\nOUTSIDE = os.environ['x']\nSAFE = 'SELECT 1'\n"
    return unsound("module", {"module": ast.parse(code), "other": ast.parse(other)})


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_a_value_in_a_query_is_found(body: str) -> None:
    assert told(body)


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD)
def test_a_query_without_values_passes(body: str) -> None:
    assert told(body) == []


def test_a_query_is_followed_to_who_hands_it_over() -> None:
    code = """
        class Index:
            def _rows(self, query, values):
                return self._db.execute(query, values)

            def all(self, name):
                return self._rows("SELECT 1", ())
        """
    handed = dedent(code)
    assert unsound("m", {"m": ast.parse(handed)}) == []
    assert unsound("m", {"m": ast.parse(handed.replace('"SELECT 1"', '"SELECT " + name'))})
    nobody = handed.replace("self._rows(", "self._other(")
    assert unsound("m", {"m": ast.parse(nobody)}), "who hands it over is not known"


def test_a_constant_of_another_module_is_read_there() -> None:
    assert told("db.execute(SAFE)") == []
