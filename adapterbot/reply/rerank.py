"""6 · Choose among drafts: those that may not be shown go, the best of the others is what the learnt weights find."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from adapterbot.knowledge.query import asks
from adapterbot.language.sentences import detokenized, split_sentences
from adapterbot.language.text import Text
from adapterbot.reply.faithfulness import faithful, invented
from adapterbot.reply.features import Relevance, Situation, features
from adapterbot.reply.grounding import AFTER_ALL, IGNORANCE, Evidence, read_out
from adapterbot.reply.weights import RankWeights
from adapterbot.turn import Draft

# The first letter of a sentence, not behind "p.m.", and "i" for oneself.
BEGINNING = re.compile(r"^\w|(?<!\.\w\.\s)(?<=[.!?]\s)\w|\bi\b(?!\.)")


def best_first(
    drafts: Sequence[Draft],
    situation: Situation,
    weights: RankWeights,
    ranker: Relevance | None = None,
) -> list[Draft]:
    """The drafts with their `score`, best first, `tidied`; a single one is left as it is.

    Where the evidence is strict, drafts without any unsupported value come first, where it was read, those that are
    faithful; where there is none, the facts are read out, or a sentence of what was read.
    """
    evidence = situation.evidence
    ranked = list(drafts)
    if len(drafts) > 1:
        ranked = by_score(scored(drafts, situation, weights, ranker), situation)
        ranked = [replace(draft, text=tidied(draft.text, whole=draft.finished)) for draft in ranked]
    if not evidence or not (evidence.strict or (evidence.is_read and len(ranked) > 1)):
        return ranked
    sound = [draft for draft in ranked if draft.finished and is_sound(Text(draft.text), situation)]
    if not sound:
        text = _instead(evidence, situation, ranker)
        sound = [Draft(text)] if text else []
    return [*sound, *(draft for draft in ranked if draft not in sound)]


def scored(
    drafts: Sequence[Draft], situation: Situation, weights: RankWeights, ranker: Relevance | None
) -> list[Draft]:
    """The drafts with their `score`."""
    rows = features(drafts, situation, ranker)
    return [replace(draft, score=weights.score(situation.group, row)) for draft, row in zip(drafts, rows, strict=True)]


def by_score(drafts: Sequence[Draft], situation: Situation) -> list[Draft]:
    """Drafts by their score, highest first.

    Drafts that repeat a sentence go after all that do not (people hardly ever do, so that no dialogue of theirs tells
    what it costs), drafts that were cut off after all that ended by themselves, drafts without any word or with half a
    character last; ties keep their order, so the answer never depends on luck.
    """

    def place(draft: Draft) -> tuple[bool, bool, bool, float]:
        return _readable(draft.text), draft.finished, not situation.repeated(Text(draft.text)), draft.score

    return sorted(drafts, key=place, reverse=True)


def is_sound(draft: Text, situation: Situation) -> bool:
    """Whether a reply may be shown, or, if only read, shown before others."""
    evidence, said = situation.evidence, situation.said
    if evidence is None:
        return True
    if evidence.strict:
        return not evidence.against(draft, said)
    if not evidence.found:  # who asks is told that nothing was found, and not what the model makes up
        asked = asks(" ".join(text.text for text in said[-1:]))
        return not asked or bool(IGNORANCE.search(draft.text) and not AFTER_ALL.search(draft.text))
    if not evidence.passages:
        whole = " ".join(draft.tokens)
        asked = all(" ".join(Text(name).tokens) in whole for name in evidence.asked)
        return asked and not invented(draft, [*evidence.lines, *said])
    repeated = bool(draft.repeatable) and draft.repeatable <= situation.sentences
    return not repeated and faithful(draft, evidence.lines, evidence.passages, said)


def quotable(situation: Situation) -> list[str]:
    """The sentences of passages that were read and not said yet: what is read out where no draft is sound."""
    if situation.evidence is None or not situation.evidence.is_read:
        return []
    sentences = (s for passage in situation.evidence.passages for s in split_sentences(detokenized(passage.text)))
    return [s for s in sentences if situation.sentences.isdisjoint(Text(s).repeatable)]


def _instead(evidence: Evidence, situation: Situation, ranker: Relevance | None) -> str:
    """What is said where no draft is sound: the facts, or that there are none; "" where they were all said before."""
    if evidence.strict or not evidence.found or evidence.asked:
        return read_out(evidence.facts)
    left = quotable(situation)
    fits = ranker.relevance(situation.utterances, left) if ranker and left else [0.0] * len(left)
    return max(zip(fits, left, strict=True), key=lambda pair: pair[0])[1] if left else ""


def tidied(text: str, whole: bool = True) -> str:
    """The text with capitals where sentences begin and for "I", without marks at its start; if it is `whole`, with one
    at its end.
    """
    text = re.sub(r"^[\s,.;:!?)]+(?=\w)", "", text.rstrip())
    text = BEGINNING.sub(lambda letter: letter[0].upper(), text)
    return text + "." if whole and re.search(r"\w$", text) else text


def _readable(text: str) -> bool:
    return "\ufffd" not in text and bool(re.search(r"\w", text))
