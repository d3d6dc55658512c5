"""Do style skills have their style? Judged by a classifier that saw none of the labels by which they were made.

The rank heads and the selection of the training replies rest on GoEmotions, SST-2, AG News, the acts and domains of
DailyDialog and the topics of Self-Dialogue (`data.attributes`). The judge learnt from other labels: it is a logistic
regression on the sentence encoder's vectors, taught by the emotions that DailyDialog and EmpatheticDialogues are
annotated with, and by the subjects of Topical-Chat and of service talk. It shares its encoder with the selection, and
`sci_tech` is selected by words (`TECHNICAL_WORDS`) of which its subjects have some: it flatters that style above all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapterbot.bot import Bot
from adapterbot.data.attributes import balanced
from adapterbot.data.corpora import load_path
from adapterbot.data.dialogue import objects
from adapterbot.errors import AdapterbotError, DataError
from adapterbot.history import History
from adapterbot.manager.encoder import minilm
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.likelihood import perplexity
from adapterbot.spec.tables import FALLBACK
from adapterbot.training.logistic import TextClassifier
from adapterbot.training.windows import Window, encode_windows

TEXTS = 6_000  # that one judge learns from
MESSAGES = "dailydialog"  # whose validation openings are answered
BATCH = 8
WAYS: Mapping[str, Mapping[str, Any]] = {"bare": {"drafts": 1}, "1 draft": {"drafts": 1}, "10 drafts": {"drafts": 10}}
EMOTIONS = {
    "joy": ("happiness", "joyful", "excited", "proud", "grateful", "content"),
    "sadness": ("sadness", "sad", "lonely", "devastated", "disappointed"),
    "anger": ("anger", "angry", "furious", "annoyed"),
    "fear": ("fear", "afraid", "terrified", "anxious"),
    "surprise": ("surprise", "surprised"),
    "neutral": ("no emotion",),
}
SENTIMENTS = {
    "positive": EMOTIONS["joy"],
    "negative": (*EMOTIONS["sadness"], *EMOTIONS["anger"], "disgust", "disgusted"),
}
SENTIMENTS["neutral"] = EMOTIONS["neutral"]
SUBJECTS = {
    "business": ("finance", "insurance", "balance", "interest_rate", "income", "taxes", "rate"),
    "sport": ("Football", "National Football League", "Quarterback", "Basketball", "Baseball", "Golf", "Tennis"),
    "sci_tech": ("Computer", "Internet", "Computer science", "Physics", "Scientist", "Technology", "Robot", "Moon"),
    "other": ("Music", "Film", "Drama", "Clothing", "Bird", "airline", "fastfood", "recipe", "weather", "translate"),
}


def evaluate_styles(
    bot: Bot,
    corpora: Path,
    names: Sequence[str] = (),
    *,
    most: int = 100,
    seed: int = 0,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, dict[str, float]]:
    """For each style skill and each of WAYS the share of `most` replies that the judge finds in style, and `fluency`:
    the perplexity of these replies under the plain backbone.

    Raises:
        DataError: a corpus that a judge learns from is missing.
    """
    wanted = {n: s.rerank for n in (names or bot.skills) if (s := bot.specs[n]).rerank}
    if not wanted:
        return {}
    messages = _messages(corpora, most)
    judges = {a: _judge(a, corpora, seed) for a in {w.partition(":")[0] for w in wanted.values()} - {"question"}}
    bare = _bare_answers(bot, messages, seed)
    report: dict[str, dict[str, float]] = {}
    for done, (name, rerank) in enumerate(wanted.items()):
        attribute, _, label = rerank.partition(":")
        told = {"bare": bare} | {w: _answers(bot, name, messages, seed, WAYS[w]) for w in list(WAYS)[1:]}
        report[name] = {}
        for way, replies in told.items():
            right = [r.rstrip().endswith("?") for r in replies]
            if attribute in judges:
                right = [g == label for g in judges[attribute].guess(replies)]
            report[name][way] = sum(right) / len(right)
            report[name][f"fluency, {way}"] = _fluency(bot, messages, replies)
        advance(done + 1, len(wanted))
    return report


def _messages(corpora: Path, most: int) -> list[str]:
    """Opening messages of validation dialogues, evenly spread."""
    openings = [d.turns[0].text for d in load_path(corpora / MESSAGES)["valid"]]
    return openings[:: max(1, len(openings) // most)][:most]


def _answers(bot: Bot, name: str, messages: Sequence[str], seed: int, way: Mapping[str, Any]) -> list[str]:
    texts: list[str] = []
    for start in range(0, len(messages), BATCH):
        part = messages[start : start + BATCH]
        asked = [{"message": m, "skill": name, "seed": seed + start + i, **way} for i, m in enumerate(part)]
        for reply in bot.respond_batch(asked):
            if isinstance(reply, AdapterbotError):
                raise reply
            texts.append(reply.text)
    return texts


def _bare_answers(bot: Bot, messages: Sequence[str], seed: int) -> list[str]:
    """What the backbone says without any adapter, by the settings of the fallback."""
    responder = bot.responder.over(bot.backbone, AdapterBank(bot.backbone))
    spec = bot.specs[FALLBACK]
    texts: list[str] = []
    for start in range(0, len(messages), BATCH):
        decodes = [spec.decode.override({"seed": seed + start + i, **WAYS["bare"]}) for i in range(BATCH)]
        part = zip(messages[start : start + BATCH], decodes, strict=False)
        turns = [responder.prepare(spec, History().add_user(message), (), decode) for message, decode in part]
        texts += [answer.text for answer in responder.answer(turns)]
    return texts


def _fluency(bot: Bot, messages: Sequence[str], replies: Sequence[str]) -> float:
    windows = [Window((), (m, r)) for m, r in zip(messages, replies, strict=True) if r.strip()]
    return perplexity(bot.backbone, None, encode_windows(windows, bot.backbone.tokenizer, bot.backbone.positions))


@dataclass(slots=True)
class _Pool:
    """(text, label) pairs as an attribute names its labels."""

    names: Mapping[str, Sequence[str]]
    pairs: list[tuple[str, str]] = field(default_factory=list)

    def take(self, text: str, label: str) -> None:
        """Keep a text whose label is one of the attribute's."""
        self.pairs += [(text, ours) for ours, theirs in self.names.items() if label in theirs]


def _judge(attribute: str, corpora: Path, seed: int) -> TextClassifier:
    pool = _Pool({"emotion": EMOTIONS, "sentiment": SENTIMENTS, "topic": SUBJECTS}[attribute])
    for text, label in (_subjects if attribute == "topic" else _feelings)(corpora):
        pool.take(text, label)
    pairs = balanced(pool.pairs, TEXTS, f"{seed} judge {attribute}")
    if not pairs:
        raise DataError(f"{corpora} has no texts with a label of {attribute!r} to judge by")
    return TextClassifier.learnt(minilm(), pairs, tuple(pool.names), seed)


def _feelings(corpora: Path) -> Iterator[tuple[str, str]]:
    for dialogue in load_path(corpora / "dailydialog")["train"]:
        yield from ((t.text, t.label.partition("/")[0]) for t in dialogue.turns)
    for dialogue in load_path(corpora / "ed")["train"]:
        yield from ((t.text, dialogue.label) for t in dialogue.turns if t.speaker == "user")


def _subjects(corpora: Path) -> Iterator[tuple[str, str]]:
    """Turns of chats on two topics of one subject, and requests to services."""
    for dialogue in load_path(corpora / "topicalchat")["train"]:
        topics = dialogue.context[0].removeprefix("topics: ").split(", ") if dialogue.context else []
        for names in SUBJECTS.values():
            about = [topic for topic in topics if topic in names]
            yield from ((t.text, about[0]) for t in dialogue.turns if len(about) > 1)
    for corpus, key in (("multidogo", "domain"), ("clinc_oos", "label")):
        for _, item in objects(next((corpora / corpus).glob("train.jsonl*"))):
            yield item["text"], str(item.get(key))
