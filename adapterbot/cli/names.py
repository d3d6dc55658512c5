"""Names that a command was given, checked before a model is loaded: that takes seconds, this does not."""

from __future__ import annotations

from pathlib import Path

from adapterbot.errors import UnknownNameError
from adapterbot.home import Home


def check_skill(name: str | None) -> None:
    """Raises UnknownNameError with the nearest names for a skill that is not there; SpecError for no possible name."""
    if name is not None:
        from adapterbot.spec.folders import SkillFolders

        SkillFolders(Home.at()).folder(name)


def check_answering(name: str | None) -> None:
    """Raises as `check_skill` for a part of a stack or an average, and SettingError for one that makes no sense."""
    if name is not None:
        from adapterbot.spec.mixing import parts_of

        for part in parts_of(name):
            check_skill(part.skill)


def check_targets(names: list[str], others: list[str]) -> None:
    """Raises as `check_skill` for a name that is neither a skill nor one of `others`, which are offered as well."""
    from adapterbot.spec.folders import SkillFolders

    folders = SkillFolders(Home.at())
    for name in names:
        if name in others:
            continue
        try:
            folders.folder(name)
        except UnknownNameError:
            raise UnknownNameError("skill or target", name, [*folders.names(), *others]) from None


def check_session(name: str | None) -> None:
    """Raises InputError for what cannot name a conversation."""
    if name is not None:
        from adapterbot.storage.conversations import check_session_id

        check_session_id(name)


def check_store(place: str | None) -> None:
    """Makes the store that was asked for; raises StoreError or MissingPartError where it cannot be used."""
    if place is not None:
        from adapterbot.storage.conversations import Store

        Store(place).prepare()


def check_data(data: str | None) -> None:
    """Raises DataError for a --data that is neither there nor of the hub."""
    from adapterbot.errors import DataError

    if data is not None and not data.startswith("hub:") and not Path(data).expanduser().exists():
        raise DataError(f"{data} does not exist; --data takes a dialogue file, a folder of corpora, or hub:NAME")


def check_backbone(name: str | None) -> None:
    """Raises UnknownNameError for a backbone (left out: the one of $ADAPTERBOT_BACKBONE) that can be nowhere."""
    from adapterbot.network.names import find_backbone, wanted_backbone

    find_backbone(wanted_backbone(name))
