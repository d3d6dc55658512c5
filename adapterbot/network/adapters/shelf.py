"""The adapters of a bank: those that are in memory, and those that lie on disk until they are asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import replace
from weakref import WeakValueDictionary

from adapterbot.errors import AdapterError, SettingError, UnknownNameError, kept_to
from adapterbot.network.adapters.file import AdapterFile, OnDisk
from adapterbot.network.backbone import Backbone

MOST = 128  # adapters that were read from disk and are kept: of the shipped ones 200 MB


class Shelf:
    """Adapters by name. Of those on disk at most `most` are kept in memory: who was not asked for longest leaves.

    Never do those that are `pinned`, that were given as they are, or that somebody holds (see `get`): until it is let
    go, who asks for the same name gets the same adapter. Safe to use from several threads.
    """

    def __init__(
        self,
        backbone: Backbone,
        adapters: Mapping[str, AdapterFile | OnDisk],
        most: int = MOST,
        pinned: Collection[str] = (),
    ) -> None:
        """`pinned` may name some that come later. Raises SettingError where they leave no room for another one."""
        if most <= len(pinned):
            raise SettingError(f"{most} adapters in memory are too few: {len(pinned)} stay there, and one more is read")
        self._backbone = backbone
        self.most = most
        self.pinned = frozenset(pinned)
        self.loads = 0  # how often one was read from disk
        self._lock = threading.Lock()  # over what follows, never held while a file is read
        self._disk = threading.Lock()  # one file is read at a time
        self._listed = {name: entry for name, entry in adapters.items() if isinstance(entry, OnDisk)}
        self._given = {n: self._placed(entry) for n, entry in adapters.items() if isinstance(entry, AdapterFile)}
        self._recent: OrderedDict[str, AdapterFile] = OrderedDict()  # who was asked for last stands last
        self._held: WeakValueDictionary[str, AdapterFile] = WeakValueDictionary()  # all that anybody has
        self.heads = {n: e.head if isinstance(e, OnDisk) else self._given[n] for n, e in adapters.items()}

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the weights take."""
        with self._lock:
            files = [*self._given.values(), *self._held.values()]
        return sum(t.nbytes for file in files for t in file.stored.values())

    @property
    def loaded(self) -> int:
        """How many adapters are in memory."""
        with self._lock:
            return len(self._given) + len(self._held)

    def get(self, name: str) -> AdapterFile:
        """An adapter with its weights, read from disk where nobody has it; while it is referred to it stays.

        Raises:
            UnknownNameError: there is none of that name.
            AdapterError: its file is damaged, gone, or another kind than was listed.
        """
        if (file := self._there(name)) is not None:
            return file
        with self._disk:
            if (file := self._there(name)) is None:  # else another thread was faster
                entry = self._listed[name]
                with kept_to(f"skill {name!r}", AdapterError):
                    file = entry.load(self._backbone.shape, self._backbone.fingerprint)
                return self.keep(name, file)
        return file

    def keep(self, name: str, file: AdapterFile) -> AdapterFile:
        """Note that an adapter of those on disk has been read, and is asked for now; returns it as it is kept."""
        placed = self._placed(file)
        with self._lock:
            self.loads += 1
            self._held[name] = placed
            self._use(name, placed)
        return placed

    def with_adapter(self, name: str, entry: AdapterFile | OnDisk) -> Shelf:
        """This shelf with one adapter more, or with another in its place. What is in memory is shared, not read again;
        this one stays as it is."""
        entries = {**self._listed, **self._given, name: entry}
        other = Shelf(self._backbone, entries, self.most, self.pinned)
        with self._lock:
            recent = [(n, file) for n, file in self._recent.items() if n != name]
            other._held.update({n: file for n, file in self._held.items() if n != name})
        other._recent.update(recent)
        other.loads = self.loads
        return other

    def _there(self, name: str) -> AdapterFile | None:
        """An adapter that is in memory, asked for as from now."""
        if name not in self.heads:
            raise UnknownNameError("adapter", name, self.heads)
        with self._lock:
            if name in self._given:
                return self._given[name]
            file = self._held.get(name)
            if file is not None:
                self._use(name, file)
            return file

    def _use(self, name: str, file: AdapterFile) -> None:
        """Under the lock: it was asked for; who was not for longest leaves."""
        self._recent[name] = file
        self._recent.move_to_end(name)
        while len(self._recent) > self.most:
            del self._recent[next(other for other in self._recent if other not in self.pinned)]

    def _placed(self, file: AdapterFile) -> AdapterFile:
        """The adapter where the backbone is."""
        return replace(file, stored={n: t.to(self._backbone.device) for n, t in file.stored.items()})
