"""3 · Which sources take files of the user's own, by the name under which `knowledge add` and the app know them."""

from __future__ import annotations

from adapterbot.errors import UnknownNameError
from adapterbot.home import Home
from adapterbot.knowledge import Source, kinds, source_class
from adapterbot.spec.folders import SkillFolders


def taking_files(home: Home) -> dict[str, type[Source]]:
    """What files can be added to: the kinds of source that take some, and the skills that have files of their own."""
    shared = {kind: source for kind in kinds() if (source := source_class(kind)).files and not source.per_skill}
    specs = SkillFolders(home).load_all()
    of_skills = {skill: source_class(spec.knowledge.source) for skill, spec in specs.items()}
    return shared | {skill: source for skill, source in of_skills.items() if source.per_skill}


def source_taking(home: Home, name: str) -> type[Source]:
    """The source that `name` adds to.

    Raises:
        UnknownNameError: it is none that takes files, nor a skill that has files of its own.
    """
    sources = taking_files(home)
    if name not in sources:
        raise UnknownNameError("knowledge", name, sources)
    return sources[name]
