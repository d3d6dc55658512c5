"""Finds the folders of skills, and reads them.

A folder is a `skill.toml`, and beside it, one message a line, an `examples.txt` where `routing.examples` are many.
Tables that several skills share stand in a file `_name.toml` beside their folders: `extends = "_name"` takes them, as
`extends = "name"` takes those of a skill, but it is no skill itself.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from adapterbot.errors import AdapterbotError, SpecError, UnknownNameError, kept_to, nearest, reason, shorten
from adapterbot.home import Home, is_inside, read_whole, shipped
from adapterbot.spec.tables import SkillSpec
from adapterbot.turn import Decode

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
BASE = re.compile(r"_[a-z0-9_]{1,39}")  # what skills can extend that is no skill
# Names that Windows keeps for devices, so that a skills folder can be copied anywhere.
RESERVED = frozenset({"con", "prn", "aux", "nul"} | {f"{d}{i}" for d in ("com", "lpt") for i in range(10)})
PACKAGE_SKILLS = shipped("skills")
MOST_BYTES = 2**20  # of a skill.toml or an examples.txt
SPEC = "skill.toml"
EXAMPLES = "examples.txt"
ADAPTER = "adapter.safetensors"


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
        """All skills that have a skill.toml, sorted, those with a fault included."""
        found = {path.name for root in self.roots for path in _folders(root) if is_inside(path / SPEC, root)}
        return sorted(name if NAME.fullmatch(name) else ascii(name)[1:-1] for name in found)  # safe in a terminal

    def folder(self, name: str) -> Path:
        """The folder with the skill's skill.toml.

        Raises:
            SpecError: `name` cannot name a skill, or its folder is a link that leads out of the skills folder.
            UnknownNameError: there is no such skill; the message lists the nearest.
        """
        check_name(name)
        for root in self.roots:
            folder = root / name
            if _there(folder / SPEC):
                if not is_inside(folder / SPEC, root):
                    raise SpecError(f"skill {name!r} leads out of {root} by a symbolic link; copy it there instead")
                return folder
        raise UnknownNameError("skill", name, self.names())

    def extended(self, name: str) -> Path:
        """The file that `extends = name` takes tables from: a skill's skill.toml, or `_name.toml` beside the folders.

        Raises:
            SpecError, UnknownNameError: there is none (see `folder`).
        """
        if not BASE.fullmatch(name):
            return self.folder(name) / SPEC
        bases = [path for root in self.roots for path in sorted(root.glob("_*.toml")) if is_inside(path, root)]
        for path in bases:
            if path.stem == name:
                return path
        raise UnknownNameError("base", name, sorted({path.stem for path in bases}))

    def load(self, name: str) -> SkillSpec:
        """Read and validate one skill (see `folder` for what is raised on a bad name).

        Raises:
            SpecError: whatever is wrong with its folder, and nothing else.
        """
        with kept_to(f"skill {shorten(name)!r}", SpecError):
            return read_spec(self.folder(name), self)

    def read_all(self) -> tuple[dict[str, SkillSpec], dict[str, AdapterbotError]]:
        """Every sound skill by name, and what is wrong with each of the others."""
        specs: dict[str, SkillSpec] = {}
        problems: dict[str, AdapterbotError] = {}
        for name in self.names():
            try:
                specs[name] = self.load(name)
            except AdapterbotError as error:
                problems[name] = error
        return specs, problems

    def load_all(self) -> dict[str, SkillSpec]:
        """Every sound skill by name; `read_all` says what is wrong with the others."""
        return self.read_all()[0]

    def adapter_file(self, name: str) -> Path | None:
        """The trained adapter: the one the user trained, else the one beside the spec, else None."""
        check_name(name)
        candidates = [root / name / ADAPTER for root in (self.home.skills, *self.roots)]
        for path in candidates:
            if _there(path):
                if not any(is_inside(path, root) for root in self.roots):
                    raise SpecError(f"{path} leads out of the skills folder by a symbolic link; copy the file there")
                if not path.is_file():
                    raise SpecError(f"{path} is not a file")
                return path
            pickled = next((p for p in path.parent.glob("adapter.*") if p.suffix in {".bin", ".pt", ".pth"}), None)
            if pickled:
                raise SpecError(f"{pickled} is refused: pickles can run code; only adapter.safetensors is read")
        return None


def _folders(root: Path) -> Iterator[Path]:
    """What lies in a skills folder and has a skill.toml, or cannot be looked into: then loading it says why."""
    try:
        names = os.listdir(root)
    except OSError:  # no such folder, mostly: a user without skills of their own
        return
    yield from (root / name for name in names if _there(root / name / SPEC))


def _there(path: Path) -> bool:
    """Whether there is something at `path`, be it a folder, a broken link or what must not be looked at."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True


def read_spec(folder: Path, folders: SkillFolders | None = None) -> SkillSpec:
    """Read `folder/skill.toml`, and `folder/examples.txt` if it is there.

    Raises:
        SpecError: not TOML, an unknown key or a bad value; names the file, the key and the nearest valid key.
    """
    path = folder / SPEC
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
    messages = path.with_name(EXAMPLES)
    if path.name != SPEC or not _there(messages):
        return raw
    try:
        lines = read_whole(messages, MOST_BYTES).decode("utf-8-sig").splitlines()
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
        return tomllib.loads(read_whole(path, MOST_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # whatever it stumbles over: nested brackets, huge numbers
        raise SpecError(f"{path}: not valid TOML: {reason(error)}") from None


def _decode(path: Path, table: dict[str, Any]) -> Decode:
    try:
        return Decode().override(table)
    except ValueError as error:
        raise SpecError(f"{path}: [decode] {error}") from None


def explain(error: ValidationError, model: Any) -> str:
    """The first problem of a `model` as one sentence, with the nearest valid key for an unknown one."""
    problem = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(p) for p in problem["loc"])
    if problem["type"] == "extra_forbidden":
        *parents, key = problem["loc"]
        for parent in parents:
            annotation = model.model_fields[parent].annotation
            model = next((a for a in getattr(annotation, "__args__", ()) if a is not type(None)), annotation)
        known = [k for k in model.model_fields if k not in {"name", "folder"}]
        return f"unknown key `{shorten(where)}`; {nearest(str(key), known)}"
    if problem["type"] == "missing":
        return f"`{where}` is missing"
    return f"`{where}`: {problem['msg'].removeprefix('Value error, ')} (got {_shown(problem['input'])})"


def _shown(value: object) -> str:
    """A value as it is told in an error; a number of thousands of digits cannot be written out."""
    try:
        return shorten(repr(value))
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too large to show"
