"""How good is a skill? Perplexity, word F1, BLEU and distinct-n on dialogues that it did not learn from."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import torch

from adapterbot.adapters import AdapterBank, Residual
from adapterbot.backbone import Backbone
from adapterbot.data.dialogue import Dialogue
from adapterbot.documents import Document
from adapterbot.errors import DataError, MissingPartError
from adapterbot.examples import Window, encode_windows, replies
from adapterbot.generate import Request, generate
from adapterbot.likelihood import reply_nats
from adapterbot.prompt import encode
from adapterbot.rerank import Relevance, best_first
from adapterbot.spec import SkillSpec
from adapterbot.turn import Prompt

TOKENS_PER_BATCH = 6000


@torch.inference_mode()
def perplexity(backbone: Backbone, adapters: Residual | None, rows: Sequence[Prompt]) -> float:
    """exp of the mean cross-entropy per reply token (the closing separator counts), in float32."""
    total, count = 0.0, 0
    for batch in _batches(rows):
        nats = reply_nats(backbone, adapters, batch)
        total, count = total + float(nats.sum()), count + len(nats)
    mean = total / max(count, 1)
    return math.exp(mean) if mean < 700 else math.inf  # exp(710) is beyond a float


@torch.inference_mode()
def bits_per_byte(backbone: Backbone, documents: Sequence[Document]) -> float:
    """Bits that the model needs per UTF-8 byte of the learnt utterances: comparable over vocabularies.

    A separator counts as one byte, the line break that it stands for. A document's very first token, which nothing
    precedes, counts neither as bits nor as bytes. A document that does not fit is scored in halves.

    Raises:
        DataError: no document fits into the backbone's positions.
    """
    bits, size, rows, waiting = 0.0, 0, list[Prompt](), list(documents)
    while waiting:
        d = waiting.pop()
        row = encode(backbone.tokenizer, d.facts, d.utterances, positions=backbone.positions, learn=d.learn)
        if row.dropped:
            waiting += d.halves()
        elif len(row.ids) > 1:
            rows.append(row)
            size += sum(len(d.utterances[i].encode("utf-8", "replace")) + 1 for i in d.learn)
            size -= 0 if d.facts or 0 not in d.learn else len(backbone.tokenizer.decode(row.ids[:1]).encode())
    if not rows:
        raise DataError(f"no document fits into {backbone.positions} positions")
    for batch in _batches(rows):
        bits += float(reply_nats(backbone, None, batch).sum()) / math.log(2)
    return bits / size


def _batches(rows: Sequence[Prompt]) -> list[list[Prompt]]:
    """Rows of like length together, each batch of about TOKENS_PER_BATCH."""
    grouped: list[list[Prompt]] = []
    for row in sorted(rows, key=lambda r: len(r.ids)):
        if not grouped or len(grouped[-1]) * len(row.ids) >= TOKENS_PER_BATCH:
            grouped.append([])
        grouped[-1].append(row)
    return grouped


def evaluate_skill(
    spec: SkillSpec,
    backbone: Backbone,
    bank: AdapterBank,
    dialogues: Sequence[Dialogue],
    *,
    ranker: Relevance | None = None,
    most: int = 200,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, float]:
    """Scores of one skill over at most `most` replies, spread evenly; the facts are those of the dialogues.

    Replies are sampled and chosen as in a chat: with the skill's own settings, its drafts ranked by `ranker`.

    Raises:
        DataError: no system reply to score.
    """
    every = [w for d in dialogues for w in replies(d, spec)]
    chosen = every[:: max(1, len(every) // most)][:most]
    rows = encode_windows(chosen, backbone.tokenizer, backbone.positions)
    if not rows:
        raise DataError(f"no system reply to score for skill {spec.name!r}")
    name = spec.name if spec.name in bank.rows else None
    answers = _answers(spec, backbone, bank, chosen, ranker, seed, advance)
    references = [w.utterances[-1] for w in chosen]
    return {
        "replies": len(chosen),
        "perplexity": perplexity(backbone, bank.select([name]), rows),
        "perplexity_backbone": perplexity(backbone, None, rows),
        "f1": 100 * sum(map(word_f1, answers, references)) / len(answers),
        "bleu": bleu(answers, references),
        "distinct_1": distinct(answers, 1),
        "distinct_2": distinct(answers, 2),
        "length_ratio": sum(len(a.split()) for a in answers) / max(1, sum(len(r.split()) for r in references)),
    }


def _answers(
    spec: SkillSpec,
    backbone: Backbone,
    bank: AdapterBank,
    chosen: Sequence[Window],
    ranker: Relevance | None,
    seed: int,
    advance: Callable[[int], None],
) -> list[str]:
    """One reply per window, in batches of 16."""
    name = spec.name if spec.name in bank.rows else None
    texts: list[str] = []
    for start in range(0, len(chosen), 16):
        part = chosen[start : start + 16]
        prompts = [
            encode(
                backbone.tokenizer,
                w.facts,
                w.utterances[:-1],
                positions=backbone.positions,
                reserve=spec.decode.max_tokens,
            )
            for w in part
        ]
        requests = [Request(p.ids, name, spec.decode, seed + start + i, p.facts) for i, p in enumerate(prompts)]
        made = generate(backbone, bank, requests)
        for drafts, w in zip(made, part, strict=True):
            facts = w.facts if spec.grounded else ()
            texts.append(best_first(drafts, w.utterances[:-1], ranker, facts)[0].text)
        advance(len(part))
    return texts


def words(text: str) -> list[str]:
    """Lower-cased words without punctuation and articles (ParlAI's normalisation)."""
    text = "".join(" " if c in string.punctuation else c for c in text.lower())
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def word_f1(answer: str, reference: str) -> float:
    """Harmonic mean of word precision and recall, 0 to 1 (ParlAI's F1)."""
    ours, theirs = Counter(words(answer)), Counter(words(reference))
    common = sum((ours & theirs).values())
    return 2 * common / (sum(ours.values()) + sum(theirs.values())) if common else 0.0


def distinct(texts: Sequence[str], n: int) -> float:
    """Distinct n-grams over all n-grams of all texts (Li et al. 2016)."""
    grams = [tuple(w[i : i + n]) for w in map(words, texts) for i in range(len(w) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def bleu(answers: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU-4 by sacrebleu, 0 to 100.

    Raises:
        MissingPartError: sacrebleu is not installed.
    """
    try:
        import sacrebleu
    except ImportError:
        raise MissingPartError("BLEU needs sacrebleu: pip install 'adapterbot[train]'") from None
    return float(sacrebleu.corpus_bleu(list(answers), [list(references)]).score)
