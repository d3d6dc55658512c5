"""SkillSpec: what one `skills/<name>/skill.toml` says, read and validated.

Its folder gives it its name. Unknown keys are refused; `extends = "other"` takes that skill's tables as defaults.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from adapterbot.data.attributes import ATTRIBUTES
from adapterbot.errors import nearest
from adapterbot.history import History
from adapterbot.turn import Decode

FALLBACK = "chitchat"

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
    """Shape of the adapter (Houlsby et al. 2019; Madotto et al. 2020, section 3.2)."""

    type: Literal["residual"] = "residual"
    bottleneck: int = Field(64, ge=1, le=4096)
    first_layer: int | float = Field(0, ge=0, le=256)  # the lowest block that has one; below 1: a share of all blocks
    on: Literal["all", "reply"] = "all"  # tokens that it acts on: all, or not the conversation's

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
    units: Literal["imperial", "metric"] = "imperial"  # of a weather source
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
        """The last `turns` utterances of a conversation; a strict skill reads its own exchanges alone."""
        return (history.thread(self.name) if self.strict else history).window(self.turns).texts

    @property
    def sample_messages(self) -> tuple[str, ...]:
        """A few messages of its own, which its card answers."""
        return self.routing.examples[:5] or ("Hello!", "How are you today?", "Tell me more.")

    @property
    def trainable(self) -> bool:
        """False for a skill that is the bare backbone."""
        return self.adapter is not None

    @property
    def digest(self) -> str:
        """Hash over everything that training depends on; an adapter carries it."""
        parts = [t.model_dump() for t in (self.data, self.adapter or Table(), self.train)]
        text = json.dumps([self.name, self.turns, *parts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
