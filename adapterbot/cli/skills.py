"""`adapterbot skills`: every skill, what is wrong with it, and what of the user's own replaces what ships."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from adapterbot.cli.console import console
from adapterbot.cli.output import say, say_json
from adapterbot.spec.folders import PACKAGE_SKILLS

if TYPE_CHECKING:
    from adapterbot.bot import Bot
    from adapterbot.home import Home

PARTS = {"skill.toml": "skill.toml", "adapter": "adapter.safetensors"}  # what of a skill can be replaced


@dataclass(frozen=True, slots=True)
class Override:
    """Files in the user's folder that replace parts (see PARTS) of a skill that ships."""

    skill: str
    files: dict[str, Path]

    @property
    def undo(self) -> str:
        """The command that brings back what ships."""
        return shlex.join(["rm", *map(str, self.files.values())])

    def __str__(self) -> str:
        what = " and ".join(f"{part} {path}" for part, path in self.files.items())
        return f"{self.skill}: your {what} replace{'s' if len(self.files) == 1 else ''} what ships; undo: {self.undo}"


def overrides(home: Home, shipped: Path = PACKAGE_SKILLS) -> dict[str, Override]:
    """Skill -> what of it the user's folder replaces, for those that it replaces anything of."""
    found = {}
    for folder in sorted(shipped.glob("*/skill.toml")):
        name = folder.parent.name
        pairs = {part: (home.skills / name / file, shipped / name / file) for part, file in PARTS.items()}
        files = {part: own for part, (own, theirs) in pairs.items() if own.is_file() and theirs.is_file()}
        if files:
            found[name] = Override(name, files)
    return found


def list_skills(bot: Bot, as_json: bool) -> bool:
    """Print every skill; whether all are sound."""
    replaced = overrides(bot.home)
    rows = [_row(bot, name, replaced.get(name)) for name in sorted({*bot.specs, *bot.roster.problems})]
    faults = len(bot.roster.problems)
    if as_json:
        say_json(rows)
        return not faults
    table = Table("skill", "group", "adapter", "what it does")
    for row in rows:
        own = "yours" if row["overrides"] else row["adapter"]
        other = row["name"] in bot.roster.others and "its adapter is of another backbone"
        told = (row["problem"] and other) or row["problem"] or row["summary"]
        table.add_row(row["name"], row["group"], own, told, style="red" if row["problem"] else "")
    console.print(table)
    say(f"{len(rows) - faults} valid skills" + (f", {faults} with a fault" if faults else ""))
    for override in replaced.values():
        say(str(override))
    return not faults


def _row(bot: Bot, name: str, override: Override | None) -> dict[str, Any]:
    spec = bot.specs.get(name)
    adapter = "trained" if name in bot.bank.rows else "none"
    return {
        "name": name,
        "group": spec.group if spec else "",
        "summary": spec.summary if spec else "",
        "auto": bool(spec and spec.routing.auto),
        "adapter": "backbone alone" if spec and not spec.trainable else adapter,
        "folder": str(spec.folder) if spec else "",
        "problem": str(bot.roster.problems.get(name, "")),
        "overrides": {part: str(path) for part, path in override.files.items()} if override else {},
        "undo": override.undo if override else "",
    }
