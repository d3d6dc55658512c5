"""Finds the folders of skills, and reads them.

A folder is a `skill.toml`, and beside it, one message a line, an `examples.txt` where `routing.examples` are many.
Tables that several skills share stand in a file `_name.toml` beside their folders: `extends = "_name"` takes them, as
`extends = "name"` takes those of a skill, but it is no skill itself.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from adapterbot.errors import SpecError, UnknownNameError, nearest, shorten
from adapterbot.home import Home, is_inside, shipped
from adapterbot.spec.tables import SkillSpec
from adapterbot.turn import Decode

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
BASE = re.compile(r"_[a-z0-9_]{1,39}")  # what skills can extend that is no skill
# Names that Windows keeps for devices, so that a skills folder can be copied anywhere.
RESERVED = frozenset({"con", "prn", "aux", "nul"} | {f"{d}{i}" for d in ("com", "lpt") for i in range(10)})
PACKAGE_SKILLS = shipped("skills")


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

    def extended(self, name: str) -> Path:
        """The file that `extends = name` takes tables from: a skill's skill.toml, or `_name.toml` beside the folders.

        Raises:
            SpecError, UnknownNameError: there is none (see `folder`).
        """
        if not BASE.fullmatch(name):
            return self.folder(name) / "skill.toml"
        bases = [path for root in self.roots for path in sorted(root.glob("_*.toml")) if is_inside(path, root)]
        for path in bases:
            if path.stem == name:
                return path
        raise UnknownNameError("base", name, sorted({path.stem for path in bases}))

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


def read_spec(folder: Path, folders: SkillFolders | None = None) -> SkillSpec:
    """Read `folder/skill.toml`, and `folder/examples.txt` if it is there.

    Raises:
        SpecError: not TOML, an unknown key or a bad value; names the file, the key and the nearest valid key.
    """
    path = folder / "skill.toml"
    raw = _tables(path)
    if taken := {"name", "folder"} & set(raw):
        raise SpecError(f"{path}: unknown key `{min(taken)}`; a skill is called what its folder is called")
    base = raw.pop("extends", None)
    if base is not None:
        if folders is None or not isinstance(base, str):
            raise SpecError(f"{path}: `extends` names another skill")
        try:
            parent = _tables(folders.extended(base))
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


def _tables(path: Path) -> dict[str, Any]:
    """The tables of a skill.toml; `routing.examples` are followed by the lines of the examples.txt beside it."""
    raw = read_toml(path)
    messages = path.with_name("examples.txt")
    if path.name != "skill.toml" or not messages.is_file():
        return raw
    try:
        lines = messages.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SpecError(f"{messages}: not UTF-8 ({error}); one message a line is expected") from None
    except OSError as error:
        raise SpecError(f"{messages}: {error.strerror}") from None
    routing = raw.setdefault("routing", {})
    if isinstance(routing, dict) and isinstance(routing.get("examples", []), list):  # else it is refused below
        routing["examples"] = [*routing.get("examples", []), *(line.strip() for line in lines if line.strip())]
    return raw


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
