"""SkillSpec: what one `skills/<name>/skill.toml` says, read and validated.

Its folder gives it its name. Unknown keys are refused; `extends = "other"` takes that skill's tables as defaults.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from adapterbot.data.attributes import ATTRIBUTES
from adapterbot.errors import SpecError, nearest
from adapterbot.history import History
from adapterbot.spec.adapters import ADAPTERS
from adapterbot.turn import Decode

FALLBACK = "chitchat"

SIZES = ("bottleneck", "rank", "length")
LATER = ("rank", "scale", "targets", "length", "norm", "heads", "blocks", "depth")  # see `SkillSpec.digest`

Group = Literal["conversation", "knowledge", "task", "style"]


class Table(BaseModel):
    """Base of all tables in skill.toml: immutable, and no unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class DataTable(Table):
    """Where the training dialogues come from. `path` is relative to the skill's folder."""

    corpus: str = ""
    path: str = ""
    domain: str = ""  # keep only dialogues of this domain
    facts: Literal["auto", "none", "context", "knowledge"] = "auto"
    recase: float = Field(0.0, ge=0, le=1)  # share of the training dialogues that get capitals at sentence starts
    examples: float = Field(0.2, ge=0, le=10)  # of the skill's own examples.jsonl for each other training dialogue

    @field_validator("path")
    @classmethod
    def _inside(cls, value: str) -> str:
        if value and (Path(value).is_absolute() or ".." in Path(value).parts or "\\" in value or ":" in value):
            raise ValueError("must be a file inside the skill's folder")
        return value


class AdapterTable(Table):
    """What kind of adapter a skill has, and its size (one paper each: see `network.adapters`).

    A type reads those settings alone that ADAPTERS says; another one is refused, unless it is as if left out.
    """

    type: str = "residual"
    bottleneck: int = Field(64, ge=1, le=4096)  # width of the small space; of a prefix, where it is learnt
    first_layer: int | float = Field(0, ge=0, le=256)  # the lowest block that has one; below 1: a share of all blocks
    on: Literal["all", "reply"] = "all"  # tokens that it acts on: all, or not the conversation's
    rank: int = Field(8, ge=1, le=1024)
    scale: float | None = Field(None, gt=0, le=1024)  # times what is added (LoRA: alpha / rank); None: the paper's
    targets: tuple[str, ...] = ("q", "k", "v", "o", "mlp")  # projections of a block
    length: int = Field(16, ge=1, le=4096)  # tokens of a prefix
    norm: bool = False  # a LayerNorm of its own before the bottleneck
    heads: int = Field(4, ge=1, le=64)  # of attention in the small space
    blocks: tuple[int, ...] = ()  # beside which it stands; none named: the first, the middle and the last
    depth: int = Field(2, ge=1, le=16)  # transformer layers beside each of them

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        if value not in ADAPTERS:
            raise ValueError(f"no adapter is of this type; {nearest(value, ADAPTERS)}")
        return value

    @model_validator(mode="after")
    def _read_by_the_type(self) -> AdapterTable:
        read = ADAPTERS[self.type]
        for name, info in type(self).model_fields.items():
            if name not in ("type", *read) and getattr(self, name) != info.default:
                raise ValueError(f"{self.type!r} reads no `{name}`; it reads: {', '.join(read)}")
        return self

    def retyped(self, type: str) -> AdapterTable:
        """A table of another type, with those of these settings that it reads.

        Raises:
            SpecError: there is no such type; the nearest are told.
        """
        if type not in ADAPTERS:
            raise SpecError(f"adapter type {type!r} is not known; {nearest(type, ADAPTERS)}")
        kept = {name: getattr(self, name) for name in ADAPTERS[type]} if type != self.type else self.model_dump()
        return AdapterTable(**{**kept, "type": type})

    @property
    def told(self) -> str:
        """Type and sizes, for people."""
        usual = {name: field.default for name, field in AdapterTable.model_fields.items()}
        names = [name for name in ADAPTERS[self.type] if name not in ("first_layer", "on")]
        given = {n: getattr(self, n) for n in names if n in SIZES or getattr(self, n) != usual[n]}
        shown = (f"{n} {', '.join(map(str, v)) if isinstance(v, tuple) else v}" for n, v in given.items())
        return ", ".join([self.type, *shown])

    @field_validator("first_layer")
    @classmethod
    def _block_or_share(cls, value: float) -> float:
        if value >= 1 and value != int(value):
            raise ValueError("is a block's number, or a share below 1 of all blocks")
        return value

    def first_block(self, blocks: int) -> int:
        """`first_layer` on a backbone of so many blocks."""
        return int(self.first_layer if self.first_layer >= 1 else self.first_layer * blocks)


class TrainTable(Table):
    """How the adapter is trained. `batch` counts dialogue windows (fewer where the corpus is small)."""

    epochs: int = Field(5, ge=1, le=1000)
    tokens: int = Field(0, ge=0)  # of the training dialogues, a part drawn at random, at least so many; 0: all
    lr: float = Field(1e-3, gt=0, le=1)
    batch: int = Field(32, ge=1, le=4096)
    warmup: float = Field(0.05, ge=0, le=0.9)  # share of all steps
    patience: int = Field(2, ge=1, le=1000)  # validations without an improvement before it stops
    start: str = ""  # a skill of the same adapter's shape, whose trained adapter it goes on from


class RoutingTable(Table):
    """Whether the manager may choose this skill, and what it learns that from.

    `examples` are messages that should lead here. `corpora` are further training data beside the skill's own:
    `name`, `name:label` (only that domain or label) or `name:-label` (all but it).
    """

    auto: bool = True
    examples: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()


class KnowledgeTable(Table):
    """The source of facts. `when_empty` is the fact line that stands for 'nothing was found'."""

    source: str = Field("none", pattern=r"[a-z][a-z0-9_]*")  # a folder of adapterbot/knowledge, or none
    file: str = ""
    lines: tuple[str, ...] = ()
    limit: int = Field(5, ge=1, le=20)  # facts given to the model at most
    threshold: float | None = None
    units: Literal["imperial", "metric", "local"] = "local"  # of a weather source; local: as people say it there
    when_empty: str = ""


class SkillSpec(Table):
    """One skill. `folder` is where its skill.toml stands."""

    name: str
    folder: Path
    summary: str
    group: Group
    limits: tuple[str, ...] = ()  # known failures, for its card
    turns: int = Field(5, ge=1, le=50)
    data: DataTable = DataTable()
    adapter: AdapterTable | None = AdapterTable()  # `adapter = false`: the backbone alone
    decode: Decode = Decode()
    train: TrainTable = TrainTable()
    routing: RoutingTable = RoutingTable()
    knowledge: KnowledgeTable = KnowledgeTable()
    strength: float = Field(1.0, gt=0, le=4)  # times what the adapter adds to the states when it answers
    rerank: str = ""  # `attribute:label` of a rank head that chooses among the drafts (see `heads`)

    @field_validator("rerank")
    @classmethod
    def _known_label(cls, value: str) -> str:
        attribute, _, label = value.partition(":")
        if value and label not in ATTRIBUTES.get(attribute, ()):
            known = [f"{name}:{label}" for name, labels in ATTRIBUTES.items() for label in labels]
            raise ValueError(f"no rank head has this label; {nearest(value, known)}")
        return value

    @property
    def grounded(self) -> bool:
        """Whether its replies have to keep to their facts."""
        return self.group in ("knowledge", "task")

    @property
    def strict(self) -> bool:
        """Whether no reply may hold a number, name, time or place that its facts lack (see `support`)."""
        return self.group == "task" or self.knowledge.source == "claims"

    def heard(self, history: History) -> tuple[str, ...]:
        """What is shown of a conversation, at least `turns` utterances; of a strict skill its own exchanges."""
        return (history.thread(self.name) if self.strict else history).shown(self.turns).texts

    @property
    def sample_messages(self) -> tuple[str, ...]:
        """A few messages of its own, which its card answers."""
        return self.routing.examples[:5] or ("Hello!", "How are you today?", "Tell me more.")

    @property
    def trainable(self) -> bool:
        """False for a skill that is the bare backbone."""
        return self.adapter is not None

    def of_type(self, type: str) -> SkillSpec:
        """This skill with another type of adapter, and those of its settings that it reads.

        Raises:
            SpecError: there is no such type, or the skill is the backbone alone.
        """
        if self.adapter is None:
            raise SpecError(f"skill {self.name!r} is the backbone alone (adapter = false): it has no adapter of a type")
        return self.model_copy(update={"adapter": self.adapter.retyped(type)})

    @property
    def digest(self) -> str:
        """Hash over everything that training depends on; an adapter carries it."""
        adapter = self.adapter.model_dump() if self.adapter else {}
        for name in LATER:  # settings that came later change no digest where they are as they were
            if name in adapter and adapter[name] == AdapterTable.model_fields[name].default:
                del adapter[name]
        parts = [self.data.model_dump(), adapter, self.train.model_dump()]
        text = json.dumps([self.name, self.turns, *parts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
