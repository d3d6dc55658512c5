"""How good is a backbone? Bits per byte, how varied its replies are, and whether it uses the names in its facts.

`data/judgement/` holds what every backbone is asked: fixed prompts, and cases of the copy test, whose made-up names
stand in the facts alone, so that a reply can only have them from there.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from adapterbot.bot import Bot
from adapterbot.data.corpora import load_path
from adapterbot.data.dialogue import Dialogue
from adapterbot.errors import AdapterbotError, DataError
from adapterbot.evaluation.metrics import distinct
from adapterbot.home import DATA
from adapterbot.language.words import words
from adapterbot.network.backbone import Backbone
from adapterbot.spec.tables import FALLBACK
from adapterbot.training.bits_per_byte import bits_per_byte
from adapterbot.training.documents import find_corpora, validation_documents
from adapterbot.training.recipe import MixtureTable, read_recipe

FOLDER = DATA / "judgement"
BARE = "backbone"  # who replies when no adapter does
BATCH = 8  # requests that are answered together
SPOKEN = {"sampled": {}, "greedy": {"temperature": 0.0, "drafts": 1}}  # two ways to reply, as decode settings
Item = TypeVar("Item")
Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a case of the copy test, by the case's skill or by BARE."""

    skill: str
    by: str
    message: str
    expected: tuple[str, ...]
    reply: str

    @property
    def right(self) -> bool:
        """Whether the reply holds one of the expected names."""
        return holds_name(self.reply, self.expected)


def evaluate_backbone(
    bot: Bot,
    data: Path | None,
    *,
    mixture: MixtureTable | None = None,
    most: int = 100,
    seed: int = 0,
    advance: Advance = lambda done, total: None,
) -> dict[str, Any]:
    """The report on the backbone of `bot`; without `data` it lacks bits per byte.

    - `bits_per_byte`: by corpus, on at most `most` validation dialogues of each, and `bits_per_byte_mean` over the
      corpora. Those that `mixture` (by default the shipped recipe's) leaves out are left out.
    - `prompts`: `{"prompt", "history", "sampled", "greedy"}`, answered by the backbone alone. Over these replies, for
      sampled and greedy ones: `distinct_1`, `distinct_2`, `repetition_rate` and `mean_length` in words.
    - `copying`: the share of replies with a name from the facts, by skill, and `<skill>, bare` for the backbone alone
      with the same facts; `copy_failures`: all other replies.

    `advance` is told how many steps were just done, and how many there are in all.

    Raises:
        DataError: no corpus in `data`, or the first bad line as file:line.
    """
    corpora = read_validation(data, (mixture or read_recipe().mixture).leave_out) if data else {}
    prompts = _read("prompts.json")
    tries = _tries(bot)
    total = len(corpora) + len(SPOKEN) * len(prompts) + len(tries)

    def told(steps: int) -> None:
        advance(steps, total)

    backbone = bot.backbone
    report = {
        "backbone": backbone.name,
        "fingerprint": backbone.fingerprint,
        "parameters": backbone.parameter_count,
        **(_bits(backbone, corpora, most, told) if corpora else {}),
    }
    return report | _replies(bot, prompts, seed, told) | _copying(bot, tries, seed, told)


def read_validation(folder: Path, leave_out: Iterable[str] = ()) -> dict[str, list[Dialogue]]:
    """The validation dialogues of every corpus in a folder (or of a single corpus or file), as they are.

    Raises:
        DataError: no corpus there, none with a validation dialogue, or the first bad line as file:line.
    """
    found = {name: load_path(path)["valid"] for name, path in find_corpora(folder, leave_out).items()}
    held = {name: dialogues for name, dialogues in found.items() if dialogues}
    if not held:
        raise DataError(f"{folder}: no corpus has a validation dialogue to measure on")
    return held


def holds_name(reply: str, names: Iterable[str]) -> bool:
    """Whether one of `names` stands in `reply` as whole words, whatever its case ("Orrelvo's" holds Orrelvo)."""
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", reply, re.IGNORECASE) for name in names)


def repetition_rate(replies: Sequence[str]) -> float:
    """The share of replies in which some three words in a row stand twice (words as in `scores.words`)."""

    def repeats(reply: str) -> bool:
        said = words(reply)
        return any(count > 1 for count in Counter(zip(said, said[1:], said[2:], strict=False)).values())

    return sum(map(repeats, replies)) / max(1, len(replies))


def _read(name: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return items


def _tries(bot: Bot) -> list[tuple[dict[str, Any], str]]:
    """Every case of the copy test with who is to reply: its skill, if that has an adapter, and the bare backbone."""
    able = {*bot.bank.rows, BARE}
    return [(case, by) for case in _read("copying.json") for by in (case["skill"], BARE) if by in able]


def _spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of the items, at even distances."""
    kept = min(most, len(items))
    return [items[i * len(items) // kept] for i in range(kept)]


def _bits(
    backbone: Backbone, corpora: Mapping[str, Sequence[Dialogue]], most: int, told: Callable[[int], None]
) -> dict[str, Any]:
    scores = {}
    for name, dialogues in corpora.items():
        try:
            documents = validation_documents(name, _spread(dialogues, most), backbone.positions)
            scores[name] = bits_per_byte(backbone, documents)
        except DataError as error:
            raise DataError(f"corpus {name}: {error}") from None
        told(1)
    return {"bits_per_byte": scores, "bits_per_byte_mean": sum(scores.values()) / len(scores)}


def _replies(bot: Bot, prompts: Sequence[Mapping[str, Any]], seed: int, told: Callable[[int], None]) -> dict[str, Any]:
    asked = [{"message": p["prompt"], "history": p.get("history"), "skill": FALLBACK} for p in prompts]
    made = {how: list(_answers(bot, [a | decode for a in asked], seed, told)) for how, decode in SPOKEN.items()}
    return {
        "distinct_1": {how: distinct(texts, 1) for how, texts in made.items()},
        "distinct_2": {how: distinct(texts, 2) for how, texts in made.items()},
        "repetition_rate": {how: repetition_rate(texts) for how, texts in made.items()},
        "mean_length": {how: sum(len(t.split()) for t in texts) / len(texts) for how, texts in made.items()},
        "prompts": [dict(p) | {how: texts[i] for how, texts in made.items()} for i, p in enumerate(prompts)],
    }


def _copying(
    bot: Bot, tries: Sequence[tuple[Mapping[str, Any], str]], seed: int, told: Callable[[int], None]
) -> dict[str, Any]:
    requests = [
        {"message": case["message"], "facts": case["facts"], "skill": FALLBACK if by == BARE else by}
        for case, by in tries
    ]
    attempts = [
        Attempt(case["skill"], by, case["message"], tuple(case["expected"]), reply)
        for (case, by), reply in zip(tries, _answers(bot, requests, seed, told), strict=True)
    ]
    groups: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        bare = "" if attempt.by == attempt.skill else ", bare"
        groups.setdefault(attempt.skill + bare, []).append(attempt)
    return {
        "copying": {name: sum(a.right for a in group) / len(group) for name, group in groups.items()},
        "copy_failures": [
            {"skill": a.skill, "by": a.by, "message": a.message, "expected": list(a.expected), "reply": a.reply}
            for a in attempts
            if not a.right
        ],
    }


def _answers(bot: Bot, requests: Sequence[Mapping[str, Any]], seed: int, told: Callable[[int], None]) -> Iterator[str]:
    """The replies in order, request i with seed `seed` + i. Raises what keeps a skill from answering."""
    seeded = [{**request, "seed": seed + i} for i, request in enumerate(requests)]
    for start in range(0, len(seeded), BATCH):
        replies = bot.respond_batch(seeded[start : start + BATCH])
        for reply in replies:
            if isinstance(reply, AdapterbotError):
                raise reply
            yield reply.text
        told(len(replies))
