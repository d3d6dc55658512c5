"""The skills of one bot: their specs, the bank of their adapters, and why some of them cannot answer."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from adapterbot.errors import (
    AdapterbotError,
    AdapterError,
    InputError,
    OtherBackboneError,
    SpecError,
    UnknownNameError,
    WeightsError,
    kept_to,
    shorten,
)
from adapterbot.home import Home
from adapterbot.knowledge import kinds, skill_file
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile, OnDisk, list_adapter
from adapterbot.network.adapters.shelf import MOST, Shelf
from adapterbot.network.backbone import Backbone
from adapterbot.network.names import DEFAULT
from adapterbot.reply.style_heads import StyleHeads, load_heads
from adapterbot.reply.weights import RankWeights, load_weights
from adapterbot.spec.folders import SkillFolders
from adapterbot.spec.mixing import parts_of
from adapterbot.spec.tables import FALLBACK, SkillSpec

SHOWN = 5  # names in one note


@dataclass(frozen=True, slots=True)
class Roster:
    """Read-only after it is loaded. `problems`: skill -> what is wrong with it; `notes`: what the user should see.

    `others` are the skills whose adapter is of another backbone: a note tells of them together. The fallback needs no
    adapter: without one of this backbone it answers by the backbone alone.
    """

    specs: Mapping[str, SkillSpec]
    problems: Mapping[str, AdapterbotError]
    bank: AdapterBank
    notes: tuple[str, ...]
    heads: StyleHeads | None = None
    others: tuple[str, ...] = ()
    weights: RankWeights = field(default_factory=RankWeights)

    @classmethod
    def load(cls, backbone: Backbone, home: Home, most: int = MOST, pinned: Collection[str] = ()) -> Roster:
        """Read every spec, and what adapters there are; a skill with a fault, whatever it is, is kept out and its fault
        remembered.

        At most `most` adapters are in memory, the fallback's and those of the skills `pinned` always. Where all have
        room all are read and checked now; else the others are when they are first asked for.

        Raises:
            UnknownNameError: a pinned skill that there is not. SettingError: they leave no room for others.
        """
        home.tidy()
        folders = SkillFolders(home)
        specs, problems = folders.read_all()
        listed: dict[str, OnDisk] = {}
        others, sources = [], kinds()
        for name, spec in specs.items():
            try:
                if (entry := _adapter_of(spec, folders, backbone, sources)) is not None:
                    listed[name] = entry
            except OtherBackboneError as error:
                others.append(name)
                problems |= {name: error} if name != FALLBACK else {}
            except AdapterbotError as error:
                problems[name] = error
        pinned = _pinned(pinned, specs, listed)
        read, faults = _read([name for name in listed if len(listed) <= most or name in pinned], listed, backbone)
        problems |= faults
        sound = {name: entry for name, entry in listed.items() if name not in faults}
        shelf = Shelf(backbone, sound, most, pinned)
        for name, file in read.items():
            shelf.keep(name, file)
        notes = tuple(note for file in read.values() for note in file.notes)
        notes += (_of_others(others, backbone),) if others else ()
        heads, weights, wrong = _choosing(home)
        return cls(specs, problems, AdapterBank(backbone, shelf), (*notes, *wrong), heads, tuple(others), weights)

    def renewed(self, name: str, backbone: Backbone, home: Home) -> Roster:
        """This roster with one skill as it lies in its folder now, its adapter read and checked.

        Raises:
            UnknownNameError, SpecError, AdapterError, KnowledgeError: what would keep it from answering.
        """
        folders = SkillFolders(home)
        spec = folders.load(name)
        entry = _adapter_of(spec, folders, backbone, kinds())
        if entry is None and name in self.bank.rows:  # a reply may be in the making with it
            raise AdapterError(f"skill {name!r} has no adapter any more; start anew to let it answer without")
        bank = self.bank if entry is None else self.bank.with_adapter(name, entry)
        if entry is not None:
            bank.file(name)
        problems = {other: error for other, error in self.problems.items() if other != name}
        return replace(self, specs=dict(sorted({**self.specs, name: spec}.items())), problems=problems, bank=bank)

    def without(self, name: str) -> Roster:
        """This roster, where a skill doesn't answer until it is loaded again.

        Raises:
            UnknownNameError: no such skill. InputError: it is the fallback, which always answers.
        """
        if name not in self.specs:
            raise UnknownNameError("skill", name, self.specs)
        if name == FALLBACK:
            raise InputError(f"{FALLBACK!r} cannot be unloaded: it answers where no other skill does")
        return self.failing(name, SpecError(f"skill {name!r} was unloaded; load it again"))

    def failing(self, name: str, error: AdapterbotError) -> Roster:
        """This roster, where an error keeps a skill from answering until it is loaded again."""
        return replace(self, problems={**self.problems, name: error})

    @property
    def skills(self) -> list[str]:
        """The skills that can answer, sorted."""
        return [name for name in self.specs if name not in self.problems]

    def spec(self, name: str) -> SkillSpec:
        """The spec of a skill that can answer; of a stack or an average the first one's, with the most drafts of all
        and the first style that any of them chooses by.

        Raises:
            UnknownNameError: no such skill; the message lists the nearest. InputError: not even a name.
            SettingError: a stack or an average that makes no sense (see `spec.mixing`).
            SpecError, AdapterError, KnowledgeError: what keeps it from answering.
        """
        if not isinstance(name, str):
            raise InputError(f"a skill is named by text (str), not {type(name).__name__}")
        parts = parts_of(name)
        if len(parts) > 1 or parts[0].weight is not None:
            specs = [self.spec(part.skill) for part in parts]
            decode = specs[0].decode.override({"drafts": max(spec.decode.drafts for spec in specs)})
            rerank = next((spec.rerank for spec in specs if spec.rerank), "")
            return specs[0].model_copy(update={"decode": decode, "rerank": rerank})
        if name in self.problems:
            raise self.problems[name].with_traceback(None)  # raised before, it would drag all its old frames along
        if name not in self.specs:
            raise UnknownNameError("skill", name, self.specs)
        return self.specs[name]


def _of_others(names: Sequence[str], backbone: Backbone) -> str:
    """One line on all adapters of another backbone."""
    some = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    more = "" if backbone.name == DEFAULT else f" --backbone {shlex.quote(shorten(backbone.name, 200))}"
    return (
        f"not used, because trained on another backbone: the adapter{'s' * (len(names) > 1)} of {some}; "
        f"to train one anew: adapterbot train-skill {names[0] if len(names) == 1 else 'NAME'}{more}"
    )


def _choosing(home: Home) -> tuple[StyleHeads | None, RankWeights, list[str]]:
    """What chooses among drafts, and what is wrong with it: skills answer without."""
    heads, weights, faults = None, RankWeights(), list[str]()
    try:
        with kept_to("the rank heads", WeightsError):
            heads = load_heads(home)
    except AdapterbotError as error:
        faults.append(str(error))
    try:
        with kept_to("the weights that drafts are chosen by", WeightsError):
            weights = load_weights(home)
    except AdapterbotError as error:
        faults.append(str(error))
    return heads, weights, faults


def _pinned(names: Collection[str], specs: Mapping[str, SkillSpec], listed: Collection[str]) -> list[str]:
    """The skills whose adapters are never let go; raises UnknownNameError."""
    for name in names:
        if name not in specs:
            raise UnknownNameError("skill", name, specs)
    return list(dict.fromkeys([*names, *(name for name in (FALLBACK,) if name in listed)]))


def _read(
    names: Iterable[str], listed: Mapping[str, OnDisk], backbone: Backbone
) -> tuple[dict[str, AdapterFile], dict[str, AdapterbotError]]:
    """These adapters with their weights, and what is wrong with the others."""
    read, faults = dict[str, AdapterFile](), dict[str, AdapterbotError]()
    for name in names:
        try:
            with kept_to(f"skill {name!r}", AdapterError):
                read[name] = listed[name].load(backbone.shape, backbone.fingerprint)
        except AdapterbotError as error:
            faults[name] = error
    return read, faults


def _adapter_of(spec: SkillSpec, folders: SkillFolders, backbone: Backbone, sources: Collection[str]) -> OnDisk | None:
    """A sound skill's adapter, as strong as its spec says; None where it has none. Raises what keeps it out."""
    with kept_to(f"skill {spec.name!r}", AdapterError):
        if spec.knowledge.source not in sources:
            raise UnknownNameError("knowledge source", spec.knowledge.source, sources)
        if spec.knowledge.file:
            skill_file(spec)
        entry = _adapter(folders, spec.name, backbone) if spec.trainable else None
        return None if entry is None else replace(entry, head=entry.head.scaled(spec.strength))


def _adapter(folders: SkillFolders, name: str, backbone: Backbone) -> OnDisk | None:
    """The skill's adapter; None where the fallback has none."""
    path = folders.adapter_file(name)
    if path is None and name == FALLBACK:
        return None
    if path is None:
        raise AdapterError(f"skill {name!r} has no adapter yet; train it: adapterbot train-skill {name}")
    return list_adapter(path, backbone.shape, backbone.fingerprint)
