"""SkillSpec: what one `skills/<name>/skill.toml` says, read and validated.

Its folder gives it its name. Unknown keys are refused; `extends = "other"` takes that skill's tables as defaults.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from adapterbot.data.attributes import ATTRIBUTES
from adapterbot.errors import SpecError, UnknownNameError, nearest, shorten
from adapterbot.history import History
from adapterbot.home import PACKAGE, Home
from adapterbot.turn import Decode

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
# Names that Windows keeps for devices, so that a skills folder can be copied anywhere.
RESERVED = frozenset({"con", "prn", "aux", "nul"} | {f"{d}{i}" for d in ("com", "lpt") for i in range(10)})
FALLBACK = "chitchat"

Group = Literal["conversation", "knowledge", "task", "style"]
Frame = Literal["fact", "row", "forecast", "triple", "event_row"]


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
    made_up: float = Field(0.0, ge=0, le=1)  # share of the training windows whose facts and replies get made-up names
    frames: tuple[Frame, ...] = ()  # what of our own frames it learns from as well
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
    first_layer: int = Field(0, ge=0, le=256)
    copying: int = Field(0, ge=0, le=1024)  # width of the attention that copies from the facts; 0: no copy head


class TrainTable(Table):
    """How the adapter is trained. `batch` counts dialogue windows (fewer where the corpus is small)."""

    epochs: int = Field(5, ge=1, le=1000)
    lr: float = Field(1e-3, gt=0, le=1)
    batch: int = Field(32, ge=1, le=4096)
    warmup: float = Field(0.05, ge=0, le=0.9)  # share of all steps
    patience: int = Field(2, ge=1, le=1000)  # validations without an improvement before it stops


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

    source: Literal["none", "persona", "passages", "graph", "table", "weather", "calendar", "claims"] = "none"
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
    def trainable(self) -> bool:
        """False for a skill that is the bare backbone."""
        return self.adapter is not None

    @property
    def digest(self) -> str:
        """Hash over everything that training depends on; an adapter carries it."""
        parts = [t.model_dump() for t in (self.data, self.adapter or Table(), self.train)]
        text = json.dumps([self.name, self.turns, *parts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_name(name: str) -> str:
    """`name` if it can name a skill.

    Raises:
        UnknownNameError: paths, upper case, control characters and device names never name a skill.
    """
    if not NAME.fullmatch(name) or name in RESERVED:
        raise SpecError(
            f"{shorten(name)!r} cannot name a skill: use lower-case letters, digits and _ (at most 40, a letter first)"
        )
    return name


class SkillFolders:
    """Finds skills: the user's own folder first, then the ones that ship. A user's skill of the same name wins."""

    def __init__(self, home: Home | None = None, extra: Path | None = None) -> None:
        self.home = home or Home.at()
        self.roots = [p for p in (extra, self.home.skills, PACKAGE_SKILLS) if p is not None]

    def names(self) -> list[str]:
        """All skills that have a skill.toml, sorted."""
        return sorted({p.parent.name for root in self.roots for p in root.glob("*/skill.toml") if is_inside(p, root)})

    def folder(self, name: str) -> Path:
        """The folder with the skill's skill.toml.

        Raises:
            SpecError: `name` cannot name a skill, or its folder is a link that leads out of the skills folder.
            UnknownNameError: there is no such skill; the message lists the nearest.
        """
        check_name(name)
        for root in self.roots:
            spec = root / name / "skill.toml"
            if spec.is_file():
                if not is_inside(spec, root):
                    raise SpecError(f"skill {name!r} leads out of {root} by a symbolic link; copy it there instead")
                return spec.parent
        raise UnknownNameError("skill", name, self.names())

    def load(self, name: str) -> SkillSpec:
        """Read and validate one skill (see `folder` for what is raised on a bad name)."""
        return read_spec(self.folder(name), self)

    def load_all(self) -> dict[str, SkillSpec]:
        """Every skill by name."""
        return {name: self.load(name) for name in self.names()}

    def adapter_file(self, name: str) -> Path | None:
        """The trained adapter: the one the user trained, else the one beside the spec, else None."""
        check_name(name)
        candidates = [root / name / "adapter.safetensors" for root in (self.home.skills, *self.roots)]
        for path in candidates:
            if path.is_file():
                if not any(is_inside(path, root) for root in self.roots):
                    raise SpecError(f"{path} leads out of the skills folder by a symbolic link; copy the file there")
                return path
            pickled = next((p for p in path.parent.glob("adapter.*") if p.suffix in {".bin", ".pt", ".pth"}), None)
            if pickled:
                raise SpecError(f"{pickled} is refused: pickles can run code; only adapter.safetensors is read")
        return None


def is_inside(path: Path, root: Path) -> bool:
    """Whether `path`, links followed, stays inside `root`."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def _find_package_skills() -> Path:
    """The folder of the shipped skills; beside this package in a wheel, in the checkout when installed editable."""
    import importlib.util

    found = importlib.util.find_spec("adapterbot.skills")
    places = list(found.submodule_search_locations or []) if found else []
    return Path(places[0]) if places else PACKAGE / "skills"


PACKAGE_SKILLS = _find_package_skills()


def read_spec(folder: Path, folders: SkillFolders | None = None) -> SkillSpec:
    """Read `folder/skill.toml`.

    Raises:
        SpecError: not TOML, an unknown key or a bad value; names the file, the key and the nearest valid key.
    """
    path = folder / "skill.toml"
    raw = read_toml(path)
    if taken := {"name", "folder"} & set(raw):
        raise SpecError(f"{path}: unknown key `{min(taken)}`; a skill is called what its folder is called")
    base = raw.pop("extends", None)
    if base is not None:
        if folders is None or not isinstance(base, str):
            raise SpecError(f"{path}: `extends` names another skill")
        try:
            parent = read_toml(folders.folder(base) / "skill.toml")
        except (SpecError, UnknownNameError) as error:
            raise SpecError(f"{path}: extends: {error}") from None
        if "extends" in parent:
            raise SpecError(f"{path}: extends {base!r}, which extends another skill itself; only one level is allowed")
        raw = {
            k: {**parent[k], **v} if isinstance(parent.get(k), dict) and isinstance(v, dict) else v
            for k, v in {**parent, **raw}.items()
        }
    if raw.get("adapter") is False:
        raw["adapter"] = None
    if isinstance(raw.get("decode"), dict):
        raw["decode"] = _decode(path, raw["decode"])
    try:
        return SkillSpec(name=check_name(folder.name), folder=folder, **raw)
    except ValidationError as error:
        raise SpecError(f"{path}: {explain(error, SkillSpec)}") from None


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; raises SpecError naming the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from None
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}") from None


def _decode(path: Path, table: dict[str, Any]) -> Decode:
    try:
        return Decode().override(table)
    except ValueError as error:
        raise SpecError(f"{path}: [decode] {error}") from None


def explain(error: ValidationError, model: Any) -> str:
    """The first problem of a `model` as one sentence, with the nearest valid key for an unknown one."""
    problem = error.errors()[0]
    where = ".".join(str(p) for p in problem["loc"])
    if problem["type"] == "extra_forbidden":
        *parents, key = problem["loc"]
        for parent in parents:
            annotation = model.model_fields[parent].annotation
            model = next((a for a in getattr(annotation, "__args__", ()) if a is not type(None)), annotation)
        known = [k for k in model.model_fields if k not in {"name", "folder"}]
        return f"unknown key `{where}`; {nearest(str(key), known)}"
    if problem["type"] == "missing":
        return f"`{where}` is missing"
    return f"`{where}`: {problem['msg'].removeprefix('Value error, ')} (got {problem['input']!r})"
