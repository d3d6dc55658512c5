"""Reads code for SQL that values were written into: what string does a call to the database get, wherever it was made?

A query may be put together of constants, of whole numbers (`:d`), of `Column.sql`, and of what the makers below return.
Names are followed to all their assignments (`+=` and `append` included) in the function, in the functions around it and
in the module, to the module that they are imported from, to the functions that return them, and to every call that
hands them over.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

CALLS = {"execute", "executemany", "executescript", "exec_driver_sql", "_fetch"}
TEXTS = {"text", "sa.text", "sqlalchemy.text"}  # by their whole names: a plot has a `text` as well
MAKERS = {"_marks", "_quoted"}  # placeholders, and a name in quotes that the database itself gave
BUILDER = "sa"  # SQLAlchemy's expressions bind their values
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.Module)


def unsound(name: str, modules: Mapping[str, ast.Module]) -> list[str]:
    """`line: the call` for each call in the module `name` whose query may hold a value."""
    reading = _Reading(name, modules)
    found = []
    for node in ast.walk(modules[name]):
        if isinstance(node, ast.Call) and _runs_sql(ast.unparse(node.func)):
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            if given and not reading.sound(given[0], reading.scope(node)):
                found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def _runs_sql(called: str) -> bool:
    return called.split(".")[-1] in CALLS or called in TEXTS


@dataclass
class _Reading:
    """One module; `seen` keeps what is being followed, so that no circle is."""

    name: str
    modules: Mapping[str, ast.Module]
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    seen: set[tuple[ast.AST, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        for node in ast.walk(self.tree):
            self.parents.update(dict.fromkeys(ast.iter_child_nodes(node), node))

    @property
    def tree(self) -> ast.Module:
        return self.modules[self.name]

    def scope(self, node: ast.AST) -> ast.AST:
        """The function around a node, or the module."""
        while not isinstance(node := self.parents[node], SCOPES):
            pass
        return node

    def sound(self, node: ast.AST, scope: ast.AST) -> bool:
        """Whether an expression, or all members of a collection, hold nothing but what may stand in a query."""
        match node:
            case ast.Constant():
                return True
            case ast.JoinedStr(values=parts):
                return all(self.sound(part, scope) for part in parts)
            case ast.FormattedValue(value=value, format_spec=spec):
                return (spec is not None and ast.unparse(spec) == "f'd'") or self.sound(value, scope)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self.sound(left, scope) and self.sound(right, scope)
            case ast.BinOp(left=ast.Constant(value=str()), op=ast.Mult()):
                return True
            case ast.IfExp(body=body, orelse=other):
                return self.sound(body, scope) and self.sound(other, scope)
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                return all(self.sound(part, scope) for part in parts)
            case ast.Dict(values=parts):
                return all(self.sound(part, scope) for part in parts)
            case ast.ListComp(elt=part) | ast.GeneratorExp(elt=part):
                return self.sound(part, scope)
            case ast.Subscript(value=ast.Name() as table):
                return self.sound(table, scope)
            case ast.Attribute(attr="sql"):
                return True
            case ast.Call():
                return self.sound_call(node, scope)
            case ast.Name(id=name):
                return self.sound_name(name, scope)
        return False

    def sound_call(self, node: ast.Call, scope: ast.AST) -> bool:
        """Whether what a call returns may stand in a query."""
        match node.func:
            case ast.Name(id=name) if name in MAKERS:
                return True
            case ast.Name(id=name):
                made = [f for f in ast.walk(self.tree) if isinstance(f, ast.FunctionDef) and f.name == name]
                return bool(made) and all(self.sound(value, f) for f in made for value in _returned(f))
            case ast.Attribute(value=ast.Constant(value=str()), attr="join"):
                return all(self.sound(part, scope) for part in node.args)
            case ast.Attribute(value=ast.Name(id="sa"), attr=attr):
                return attr not in ("text", "literal_column")
            case ast.Attribute(value=(ast.Call() | ast.Name()) as value):  # a method of an expression of SQLAlchemy
                return _is_built(node) and self.sound(value, scope)
        return False

    def sound_name(self, name: str, scope: ast.AST) -> bool:
        """Whether all that a name can stand for may stand in a query."""
        while True:
            if (scope, name) in self.seen:
                return True  # it is being looked at
            values = list(_assigned(scope, name))
            if isinstance(scope, Function) and name in _parameters(scope):
                values_given = self.handed_over(scope, name)
                return values_given and self.all_sound(scope, name, values)
            if values:
                return self.all_sound(scope, name, values)
            if isinstance(scope, ast.Module):
                return self.imported(name)
            scope = self.scope(scope)

    def all_sound(self, scope: ast.AST, name: str, values: list[ast.AST | None]) -> bool:
        """Whether each of the values that are assigned to a name is known and sound."""
        self.seen.add((scope, name))
        result = all(value is not None and self.sound(value, scope) for value in values)
        self.seen.discard((scope, name))
        return result

    def handed_over(self, function: ast.AST, name: str) -> bool:
        """Whether each call of a function gives it a sound query; those of the functions in CALLS are looked at."""
        if isinstance(function, ast.Lambda) or not isinstance(function, ast.FunctionDef):
            return False
        if function.name in CALLS:
            return True
        if (function, name) in self.seen:
            return True
        place = _parameters(function).index(name) - ("self" in _parameters(function))
        calls = [c for c in ast.walk(self.tree) if isinstance(c, ast.Call) and _called(c) == function.name]
        given = [
            next((k.value for k in c.keywords if k.arg == name), c.args[place] if place < len(c.args) else None)
            for c in calls
        ]
        self.seen.add((function, name))
        result = bool(calls) and all(v is not None and self.sound(v, self.scope(v)) for v in given)
        self.seen.discard((function, name))
        return result

    def imported(self, name: str) -> bool:
        """Whether a name of another module of ours is a sound constant there."""
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module and node.module in self.modules:
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        other = _Reading(node.module, self.modules)
                        return other.sound_name(alias.name, other.tree)
        return False


def _is_built(node: ast.AST) -> bool:
    """Whether a chain of methods begins with a name or with SQLAlchemy, and none of them belongs to a string."""
    strings = set(dir(str)) - set(dir(list))
    while isinstance(node, ast.Call | ast.Attribute):
        if isinstance(node, ast.Attribute) and node.attr in strings:
            return False
        node = node.func if isinstance(node, ast.Call) else node.value
    return isinstance(node, ast.Name)


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).split(".")[-1]


def _parameters(function: ast.AST) -> list[str]:
    assert isinstance(function, Function)
    given = function.args
    return [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg) if a]


def _returned(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """What a function returns; of several values the first, which is the query."""
    for node in _inside(function):
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value.elts[0] if isinstance(node.value, ast.Tuple) else node.value


def _inside(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope without those of the functions in it."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, SCOPES):
            waiting += ast.iter_child_nodes(node)


def _assigned(scope: ast.AST, name: str) -> Iterator[ast.AST | None]:
    """The values that are assigned to a name in a scope; None for what cannot be followed (a loop, a `with`, ...)."""
    for node in _inside(scope):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from _bound(target, value, name)
            case ast.AnnAssign(target=target, value=value) if value is not None:
                yield from _bound(target, value, name)
            case ast.AugAssign(target=ast.Name(id=found), value=value) if found == name:
                yield value
            case ast.NamedExpr(target=ast.Name(id=found), value=value) if found == name:
                yield value
            case ast.Call(func=ast.Attribute(value=ast.Name(id=found), attr="append" | "extend" | "insert")):
                if found == name:
                    yield node.args[-1]
            case ast.For(target=target) | ast.AsyncFor(target=target) | ast.comprehension(target=target):
                yield from (None for other in ast.walk(target) if isinstance(other, ast.Name) and other.id == name)
            case ast.withitem(optional_vars=ast.Name(id=found)) if found == name:
                yield None


def _bound(target: ast.AST, value: ast.AST, name: str) -> Iterator[ast.AST | None]:
    """What `name` gets of `target = value`."""
    if isinstance(target, ast.Name) and target.id == name:
        yield value
    elif isinstance(target, ast.Tuple | ast.List):
        pairs = value.elts if isinstance(value, ast.Tuple | ast.List) else [None] * len(target.elts)
        for place, (part, given) in enumerate(zip(target.elts, pairs, strict=False)):
            if isinstance(part, ast.Name) and part.id == name:
                # of a function that returns several values the first is the query
                yield value if given is None and place == 0 and isinstance(value, ast.Call) else given
