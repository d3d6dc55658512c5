"""Every error that adapterbot raises on purpose. Each message says what is wrong, where, and what to do next.

AdapterbotError
├── InputError           a message, a history or a request that cannot be answered
│   └── TooLongError     ... since it has more tokens than the model reads
├── SettingError         a decode or training setting outside its range
├── UnknownNameError     no skill, source, corpus or command of that name (says the nearest ones)
├── SpecError            a skill.toml that is not valid
├── DataError            a dialogue file that cannot be used (file:line)
├── WeightsError         a weight file that is damaged, unsafe or made for something else
│   ├── BackboneError    ... of a backbone
│   └── AdapterError     ... of a skill's adapter
│       └── OtherBackboneError  ... that was trained on another backbone than this one
├── KnowledgeError       a knowledge source that cannot be read
├── StoreError           the conversation store cannot be opened or written
├── WriteError           a file cannot be written: the disk is full or read-only (an OSError as well)
├── BusyError            as much is waited for as fits; the same request later is answered
│   └── LateError        ... or the reply was not there by its deadline
├── ReplyError           a reply could not be computed: no memory, or no numbers
└── MissingPartError     something has to be installed or fetched first (says the command)
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator

LISTED = 60  # names in one message


class AdapterbotError(Exception):
    """Base of all errors raised on purpose; the command line prints its text as one line."""


class InputError(AdapterbotError, ValueError):
    """A message, history or request that cannot be answered."""


class TooLongError(InputError):
    """A text that has more tokens than the model reads."""


class SettingError(AdapterbotError, ValueError):
    """A decode or training setting outside its documented range."""


class UnknownNameError(AdapterbotError, LookupError):
    """A name that nothing has; the message lists the nearest valid names."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind = kind
        self.name = name
        super().__init__(f"unknown {kind} {shorten(name)!r}; {nearest(name, known)}")


class SpecError(AdapterbotError, ValueError):
    """A skill.toml that is not valid; the message names the file and the key."""


class DataError(AdapterbotError, ValueError):
    """A dialogue file that cannot be used; the message names file and line."""


class WeightsError(AdapterbotError, ValueError):
    """A weight file that is damaged, unsafe or made for something else."""


class BackboneError(WeightsError):
    """A backbone that cannot be loaded."""


class AdapterError(WeightsError):
    """An adapter file that does not fit this backbone or is damaged."""


class OtherBackboneError(AdapterError):
    """A sound adapter file that was trained on another backbone."""


class KnowledgeError(AdapterbotError):
    """A knowledge source that cannot be read."""


class StoreError(AdapterbotError):
    """The conversation store cannot be opened or written."""


class WriteError(AdapterbotError, OSError):
    """A file cannot be written; made like any OSError, of an error number, the reason and the file's name."""

    def __str__(self) -> str:
        return f"{self.filename} cannot be written: {self.strerror}"


class BusyError(AdapterbotError):
    """As many requests wait as may; the same one can be answered a little later."""


class LateError(BusyError):
    """A reply that was not there by its deadline; what there was of it is gone."""


class ReplyError(AdapterbotError):
    """A reply that could not be computed; those that were made at the same time are whole."""


class MissingPartError(AdapterbotError):
    """Something has to be installed or fetched first; the message says the command."""


@contextlib.contextmanager
def kept_to(where: object, kind: type[AdapterbotError]) -> Iterator[None]:
    """Whatever goes wrong in the block is raised as a `kind` that begins with `where`; our own errors stay.

    For what reads somebody else's files: no fault in one of them may reach what has nothing to do with it.
    """
    try:
        yield
    except AdapterbotError:
        raise
    except Exception as error:
        raise kind(f"{where}: {reason(error)}") from None


def reason(error: BaseException) -> str:
    """What an error of another library says, on one line and not too long, with its name where the text needs it."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    said = shorten(" ".join(said.split()), 200)
    plain = isinstance(error, (OSError, ValueError)) and said and " " in said
    return said if plain else f"{type(error).__name__}: {said}".removesuffix(": ")


def shorten(text: str, limit: int = 60) -> str:
    """`text`, cut to `limit` characters, so that a hostile name cannot flood a log."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def nearest(name: str, known: Iterable[str]) -> str:
    """'did you mean …?' when something is close, else the list of what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(shorten(name).lower(), names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(repr(n) for n in close)}?"
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"there {'is' if len(names) == 1 else 'are'}: {', '.join(names[:LISTED]) or 'none'}{more}"
