"""The kinds of adapter by name, and which tensors of a file belong to which."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from adapterbot.errors import AdapterError
from adapterbot.network import adapters
from adapterbot.network.adapters import AdapterKind
from adapterbot.network.discovery import exports

Value = TypeVar("Value")


def kind_of(name: Any) -> type[AdapterKind]:
    """The kind of adapter that `adapter.type` or the metadata of a file names.

    Raises:
        AdapterError: no file in this folder has it.
    """
    known = {name: kind for name, kind in _kinds().items() if not kind.companion}
    if not isinstance(name, str) or name not in known:
        raise AdapterError(f"adapter type {name!r} is not {' or '.join(map(repr, sorted(known)))}")
    return known[name]


def kinds_of(name: Any) -> list[type[AdapterKind]]:
    """The kind of this name, and those that may stand beside it in a file."""
    return [kind_of(name), *(kind for kind in _kinds().values() if kind.companion)]


def by_kind(name: Any, tensors: Mapping[str, Value]) -> dict[type[AdapterKind], dict[str, Value]]:
    """What a file holds, by the kind that it belongs to: the file's own kind first, those without tensors left out."""
    own, *companions = kinds_of(name)
    parts = {kind: {n: t for n, t in tensors.items() if n.startswith(f"{kind.name}.")} for kind in companions}
    beside = {n for part in parts.values() for n in part}
    whole = {own: {n: t for n, t in tensors.items() if n not in beside}, **parts}
    return {kind: part for kind, part in whole.items() if part or kind is own}


@cache
def _kinds() -> dict[str, type[AdapterKind]]:
    kinds: list[type[AdapterKind]] = exports(adapters, "KIND")
    return {kind.name: kind for kind in kinds}
