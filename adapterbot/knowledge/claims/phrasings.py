"""3 · The file of claims: what is known of each, and the ways to say it that the evidence has a verdict on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Label
from adapterbot.knowledge.claims.statements import Statement, read
from adapterbot.knowledge.lines import read_json

KINDS: Mapping[str, Label] = {"true": "supported", "false": "contradicted", "open": "not known"}
LABELS: Mapping[str, Label] = {label: label for label in KINDS.values()}
OPPOSITE: Mapping[Label, Label] = {
    "supported": "contradicted",
    "contradicted": "supported",
    "not known": "not known",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known about one thing."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Phrasing:
    """One way to say something that the claim's evidence has a verdict on."""

    claim: Claim
    label: Label
    said: Statement

    @property
    def affirmed(self) -> Label:
        """The verdict on its words without the "not" of a denied one."""
        return OPPOSITE[self.label] if self.said.denied else self.label


def read_claims(path: Path) -> Iterator[Phrasing]:
    """The phrasings of a JSONL file of claims `{"title", "text", "true": [...], "false": [...], "open"?: [...]}`.

    Raises:
        KnowledgeError: the first bad line, as `file:line: what is wrong`.
    """
    try:
        with path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                if raw.strip(b"\xef\xbb\xbf \t\r\n"):
                    yield from _parse(raw, f"{path}:{number}")
    except OSError as error:
        raise KnowledgeError(f"{path}: cannot be read: {error.strerror}") from None


def _parse(raw: bytes, where: str) -> Iterator[Phrasing]:
    item = read_json(raw, where)
    title, text = (_line(item.get(key)) if isinstance(item, dict) else "" for key in ("title", "text"))
    if not title or not text:
        raise KnowledgeError(
            f'{where}: a claim is an object {{"title", "text", "true", "false"}} with a title and a text'
        )
    said: list[tuple[Statement, Label]] = []
    for key, verdict in KINDS.items():
        phrasings = item.get(key, [])
        if not isinstance(phrasings, list) or not all(map(_line, phrasings)):
            raise KnowledgeError(f'{where}: "{key}" is a list of texts, none of them empty')
        said += [(read(_line(phrasing)), verdict) for phrasing in phrasings]
    if not said:
        raise KnowledgeError(f'{where}: a claim needs a phrasing in "true", "false" or "open"')
    claim = Claim(title, text)
    yield from (Phrasing(claim, verdict, statement) for statement, verdict in said)


def _line(value: object) -> str:
    """A text on one line; "" for what is no text."""
    return " ".join(value.split()).encode("utf-8", "replace").decode() if isinstance(value, str) else ""
