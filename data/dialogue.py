"""The dialogue form: JSONL, one dialogue a line. Reads the forms of other programs as well.

{"id", "turns": [{"speaker": "user" | "system", "text", "knowledge"?: [str], "label"?}],
 "context"?: [str], "domain"?, "label"?}

{"meta": [str, ...], "dialogue": [[user, system], ...], "id"?}      the original Adapter-Bot's
{"messages": [{"role": "user" | "assistant" | ..., "content"}]}     OpenAI's; instructions and tools are left out
{"conversations": [{"from": "human" | "gpt" | ..., "value"}]}       ShareGPT's, likewise

An object of each a line, or a JSON list of them; or a CSV file with a message and its reply in each row.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from adapterbot.errors import DataError, InputError, reason, shorten
from adapterbot.history import History
from adapterbot.home import bounded_lines, opened, read_most

SPEAKERS = {"user": "user", "system": "system", "bot": "system", "assistant": "system"}
MOST_BYTES = 512 * 2**20  # of a .json file, which is read at once
LINE = 16 * 2**20  # bytes of a line
MAX_TURN = 100_000  # characters; a longer turn is a broken file, not a dialogue
FORM = 'a dialogue is an object {"turns": [{"speaker": "user" | "system", "text": "..."}, ...]}'
FORMS = f"{FORM}; dialogue, messages and conversations are read too (docs/formats.md)"
# Who talks in ShareGPT's files, by the names of chat APIs.
SHARERS = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant"}
SHARERS |= {"bard": "assistant", "model": "assistant", "assistant": "assistant", "system": "system", "tool": "tool"}
SHARERS |= {"function_call": "tool", "observation": "tool", "function": "tool"}
# What the two columns of a CSV file may be called in a first line.
ASKED = frozenset({"message", "user", "question", "prompt", "input", "instruction", "utterance"})
REPLIED = frozenset({"reply", "system", "bot", "assistant", "answer", "response", "output", "completion"})


@dataclass(frozen=True, slots=True)
class DialogueTurn:
    """One utterance; `knowledge` is what a system reply was based on."""

    speaker: str
    text: str
    knowledge: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns in order; `context` grounds the whole dialogue (persona lines, rows)."""

    id: str
    turns: tuple[DialogueTurn, ...]
    context: tuple[str, ...] = ()
    domain: str = ""
    label: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """What was said, in order."""
        return tuple(turn.text for turn in self.turns)


def read_dialogues(path: Path) -> Iterator[Dialogue]:
    """Dialogues of a .jsonl, .jsonl.gz, .json or .csv file.

    Raises:
        DataError: the first line that is not a dialogue, as `file:line: what is wrong`.
    """
    seen: dict[str, int] = {}
    for line, item in _rows(path) if path.name.removesuffix(".gz").endswith(".csv") else objects(path):
        try:
            dialogue = parse(item, default_id=f"{path.stem}-{line}")
        except DataError as error:
            raise DataError(f"{path}:{line}: {error}") from None
        if dialogue.id in seen:
            raise DataError(f"{path}:{line}: id {dialogue.id!r} was already used on line {seen[dialogue.id]}")
        seen[dialogue.id] = line
        yield dialogue


def parse(item: object, default_id: str = "") -> Dialogue:
    """One JSON object as a Dialogue; raises DataError saying what is wrong with it."""
    if not isinstance(item, Mapping):
        raise DataError(FORMS)
    if "turns" not in item:
        for key, form in (("dialogue", _original_form), ("messages", _messages), ("conversations", _shared)):
            if key in item:
                return form(item, default_id)
    turns = item.get("turns")
    if not isinstance(turns, list) or not turns:
        raise DataError(f'"turns" is missing or empty; {FORMS}')
    parsed = tuple(_turn(i, t) for i, t in enumerate(turns))
    return Dialogue(
        id=default_id if item.get("id") is None else str(item["id"]),
        turns=parsed,
        context=_strings(item, "context"),
        domain=str(item.get("domain") or ""),
        label=str(item.get("label") or ""),
    )


def in_validation(dialogue_id: str, share: float = 0.1) -> bool:
    """Whether a dialogue belongs to the validation part of an unsplit file (by hash of its id)."""
    return int(hashlib.sha256(dialogue_id.encode("utf-8", "replace")).hexdigest()[:8], 16) < share * 2**32


def objects(path: Path) -> Iterator[tuple[int, Any]]:
    """(line, JSON value) of a .jsonl, .jsonl.gz or .json file; raises DataError as `file:line: what is wrong`."""
    try:
        with opened(path) as file, _unpacked(path, file) as stream:
            if path.name.removesuffix(".gz").endswith(".json"):
                yield from _json_list(path, read_most(stream, MOST_BYTES, ""))
                return
            for number, raw in bounded_lines(stream, LINE):
                if raw.strip(b"\xef\xbb\xbf \t\r\n"):
                    yield number, _json(path, number, raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None


def _unpacked(path: Path, file: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(file)) if path.suffix == ".gz" else file


def _json_list(path: Path, raw: bytes) -> Iterator[tuple[int, Any]]:
    items = _json(path, 1, raw)
    yield from enumerate(items if isinstance(items, list) else [items], 1)


def _json(path: Path, number: int, raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{number}: not UTF-8 (byte {error.start}); convert the file to UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}:{number}: not JSON: {error}") from None


def _turn(index: int, item: object) -> DialogueTurn:
    if not isinstance(item, Mapping):
        raise DataError(f'turns[{index}] is not an object {{"speaker", "text"}}')
    speaker = SPEAKERS.get(str(item.get("speaker")))
    text = item.get("text")
    if speaker is None:
        raise DataError(f'turns[{index}] has speaker {item.get("speaker")!r}; use "user" or "system"')
    if not isinstance(text, str) or not text.strip():
        raise DataError(f'turns[{index}] has no "text"')
    if len(text) > MAX_TURN:
        raise DataError(f"turns[{index}] has {len(text):,} characters; at most {MAX_TURN:,} are taken")
    return DialogueTurn(speaker, text, _strings(item, "knowledge"), str(item.get("label") or ""))


def _strings(item: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = item.get(key) or []
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise DataError(f'"{key}" is a list of texts')
    return tuple(value)


def _original_form(item: Mapping[str, Any], default_id: str) -> Dialogue:
    pairs = item["dialogue"]
    if not isinstance(pairs, list) or not all(isinstance(p, list) and len(p) == 2 for p in pairs):
        raise DataError('"dialogue" is a list of [user, system] pairs')
    turns = [{"speaker": s, "text": t} for pair in pairs for s, t in zip(("user", "system"), pair, strict=True) if t]
    return parse({"id": item.get("id"), "turns": turns, "context": item.get("meta")}, default_id)


def _messages(item: Mapping[str, Any], default_id: str) -> Dialogue:
    """OpenAI's form, that of its fine-tuning files too. What a program said or was told is no utterance."""
    try:
        history = History.from_list(item["messages"])
    except InputError as error:
        raise DataError(str(error).replace("history[", "messages[", 1)) from None
    turns = [{"speaker": u.speaker, "text": u.text} for u in history if u.text.strip()]
    return parse({"id": item.get("id"), "turns": turns}, default_id)


def _shared(item: Mapping[str, Any], default_id: str) -> Dialogue:
    """ShareGPT's form."""
    said = item["conversations"]
    if not isinstance(said, list) or not all(isinstance(s, Mapping) for s in said):
        raise DataError('"conversations" is a list of {"from": "human" | "gpt", "value": "..."}')
    for i, one in enumerate(said):
        if str(one.get("from")) not in SHARERS:
            raise DataError(f'conversations[{i}] is from {shorten(repr(one.get("from")))}; use "human" or "gpt"')
    messages = [{"role": SHARERS[str(one["from"])], "content": one.get("value")} for one in said]
    return _messages({"id": item.get("id"), "messages": messages}, default_id)


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """(line, dialogue of two turns) of a CSV file; a first line that names the columns is none."""
    try:
        with opened(path) as file, _unpacked(path, file) as stream:
            text = read_most(stream, MOST_BYTES, "").decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        for number, row in enumerate(reader):
            cells = [cell.strip() for cell in row]
            heads = len(cells) == 2 and cells[0].lower() in ASKED and cells[1].lower() in REPLIED
            if not any(cells) or (number == 0 and heads):
                continue
            if len(cells) != 2 or not all(cells):
                raise DataError(
                    f"{path}:{reader.line_num}: a line has two cells, a message and its reply: {shorten(repr(row))}"
                )
            turns = [{"speaker": s, "text": t} for s, t in zip(("user", "system"), cells, strict=True)]
            yield reader.line_num, {"turns": turns}
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 (byte {error.start}); convert the file to UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV: {error}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None
