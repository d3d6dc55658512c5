"""How good is a skill? How well it predicts replies that it did not learn from, and what its own are worth."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from adapterbot.adapters import AdapterBank, Residual
from adapterbot.backbone import Backbone
from adapterbot.data.dialogue import Dialogue, read_dialogues
from adapterbot.documents import Document
from adapterbot.errors import DataError
from adapterbot.examples import Window, encode_windows, load_corpus, replies
from adapterbot.generate import Request, generate
from adapterbot.likelihood import reply_nats
from adapterbot.prompt import encode
from adapterbot.rerank import Relevance, Style, best_first
from adapterbot.scores import Answered, measures, require_libraries, spread, yardsticks
from adapterbot.spec import SkillSpec
from adapterbot.support import Evidence
from adapterbot.turn import Prompt

TOKENS_PER_BATCH = 6000
TOGETHER = 16  # replies that are generated in one batch


@dataclass(frozen=True, slots=True)
class Exam:
    """Replies to be given, by a skill's settings: one per window; `dialogues` are the numbers of their dialogues."""

    spec: SkillSpec
    windows: Sequence[Window]
    dialogues: Sequence[int]
    ranker: Relevance | None = None
    style: Style | None = None
    seed: int = 0
    advance: Callable[[int], None] = lambda _: None

    @classmethod
    def of(cls, spec: SkillSpec, dialogues: Sequence[Dialogue], most: int) -> Exam:
        """At most `most` of the dialogues' replies, at even distances."""
        chosen = spread([(i, w) for i, d in enumerate(dialogues) for w in replies(d, spec)], most)
        return cls(spec, [w for _, w in chosen], [i for i, _ in chosen])


@dataclass(frozen=True, slots=True)
class Judged:
    """The figures of one skill, what was asked, what it said, and in words where the dialogues are from."""

    figures: dict[str, float]
    exam: Exam
    said: list[Answered]
    origin: str = ""


def perplexity(backbone: Backbone, adapters: Residual | None, rows: Sequence[Prompt]) -> float:
    """exp of the mean cross-entropy per reply token (the closing separator counts), in float32."""
    return _exp(*_nats(backbone, adapters, rows))


@torch.inference_mode()
def _nats(backbone: Backbone, adapters: Residual | None, rows: Sequence[Prompt]) -> tuple[float, int]:
    """Cross-entropy summed over all labels, and how many they are."""
    total, count = 0.0, 0
    for batch in _batches(rows):
        nats = reply_nats(backbone, adapters, batch)
        total, count = total + float(nats.sum()), count + len(nats)
    return total, count


def bits_per_byte(backbone: Backbone, documents: Sequence[Document]) -> float:
    """Bits that the model needs per UTF-8 byte of the learnt utterances: comparable over vocabularies.

    A separator counts as one byte, the line break that it stands for. A document's very first token, which nothing
    precedes, counts neither as bits nor as bytes. A document that does not fit is scored in halves.

    Raises:
        DataError: no document fits into the backbone's positions.
    """
    size, rows, waiting = 0, list[Prompt](), list(documents)
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
    return _nats(backbone, None, rows)[0] / math.log(2) / size


def _exp(total: float, count: int) -> float:
    mean = total / max(count, 1)
    return math.exp(mean) if mean < 700 else math.inf  # exp(710) is beyond a float


def _batches(rows: Sequence[Prompt]) -> list[list[Prompt]]:
    """Rows of like length together, each batch of about TOKENS_PER_BATCH."""
    grouped: list[list[Prompt]] = []
    for row in sorted(rows, key=lambda r: len(r.ids)):
        if not grouped or len(grouped[-1]) * len(row.ids) >= TOKENS_PER_BATCH:
            grouped.append([])
        grouped[-1].append(row)
    return grouped


def predicted(backbone: Backbone, adapters: Residual | None, windows: Sequence[Window]) -> dict[str, float]:
    """`perplexity` and `bits_per_byte` of the windows' replies, given their facts and what was said before.

    Bits per UTF-8 byte of the reply and one more for the separator that closes it. Replies that do not fit into the
    backbone's positions are left out; no figures when none fits.
    """
    rows, size = list[Prompt](), 0
    for window in windows:
        if row := encode_windows([window], backbone.tokenizer, backbone.positions):
            rows += row
            size += len(window.utterances[-1].encode("utf-8", "replace")) + 1
    if not rows:
        return {}
    total, count = _nats(backbone, adapters, rows)
    return {"perplexity": _exp(total, count), "bits_per_byte": total / math.log(2) / size}


def held_out(spec: SkillSpec, data: str | None) -> tuple[SkillSpec, list[Dialogue], str]:
    """The dialogues to judge `spec` on, where they are from in words, and the spec that reads their facts.

    A dialogue file is taken as it is, with every dialogue in it; of a folder, a hub dataset or the skill's own corpus
    it is the validation part. Where a file gives no facts of the kind that the skill reads but others, those are read.

    Raises:
        DataError: no dialogue there; file and line where one is at fault.
    """
    path = Path(data).expanduser() if data and not data.startswith("hub:") else None
    if path is None or not path.is_file():
        corpus = load_corpus(spec, data)
        return spec, corpus.valid, corpus.origin
    dialogues = list(read_dialogues(path))
    if not dialogues:
        raise DataError(f"{path} holds no dialogue")
    given = {
        "context": any(d.context for d in dialogues),
        "knowledge": any(t.knowledge for d in dialogues for t in d.turns),
    }
    if not given.get(spec.data.facts, True) and any(given.values()):
        spec = spec.model_copy(update={"data": spec.data.model_copy(update={"facts": "auto"})})
    return spec, dialogues, f"{path} ({len(dialogues):,} dialogues, all of them)"


def judge_skill(
    spec: SkillSpec,
    backbone: Backbone,
    bank: AdapterBank,
    dialogues: Sequence[Dialogue],
    *,
    ranker: Relevance | None = None,
    style: Style | None = None,
    most: int = 200,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> Judged:
    """Judge one skill by at most `most` replies, spread evenly; the facts are those of the dialogues.

    Replies are sampled and chosen as in a chat: with the skill's own settings, its drafts ranked by `ranker` and
    `style`. Figures: `replies`, `parameters` of the adapter, those of `predicted` for the skill and with `_backbone`
    for the bare backbone, `seconds_per_reply` (wall time, TOGETHER at a time), and those of `scores.measures` and
    `scores.yardsticks`.

    Raises:
        DataError: no system reply to score. MissingPartError: a library that the measures need is not installed.
    """
    require_libraries()
    exam = replace(Exam.of(spec, dialogues, most), ranker=ranker, style=style, seed=seed, advance=advance)
    before = predicted(backbone, None, exam.windows)
    if not before:
        raise DataError(f"no system reply to score for skill {spec.name!r}")
    figures, said = sit(exam, backbone, bank)
    return Judged(
        {"replies": len(said), "parameters": parameters(bank, spec.name)}
        | figures
        | {f"{name}_backbone": value for name, value in before.items()}
        | yardsticks(said, grounded=spec.grounded, seed=seed),
        exam,
        said,
    )


def sit(exam: Exam, backbone: Backbone, bank: AdapterBank) -> tuple[dict[str, float], list[Answered]]:
    """The figures that depend on the model, and its replies; without an adapter in `bank`, the backbone's own."""
    name = exam.spec.name if exam.spec.name in bank.rows else None
    figures = predicted(backbone, bank.select([name]), exam.windows)
    began = time.perf_counter()
    texts = [text for start in range(0, len(exam.windows), TOGETHER) for text in _answers(exam, backbone, bank, start)]
    figures["seconds_per_reply"] = (time.perf_counter() - began) / max(1, len(texts))
    nothing = (exam.spec.knowledge.when_empty,)  # the line that stands for "nothing was found" is no fact
    said = [
        Answered(dialogue, () if w.facts == nothing else w.facts, w.utterances[:-1], w.utterances[-1], text)
        for dialogue, w, text in zip(exam.dialogues, exam.windows, texts, strict=True)
    ]
    return figures | measures(said, grounded=exam.spec.grounded, seed=exam.seed), said


def parameters(bank: AdapterBank, skill: str) -> int:
    """How many weights the skill's adapter has; 0 for the bare backbone."""
    residual = bank.select([skill]) if skill in bank.rows else None
    if residual is None:
        return 0
    layers = [layer for layer in residual.layers if layer[0].any()]  # the bank fills those without an adapter with 0
    head = residual.copy
    return sum(t.numel() for layer in layers for t in layer) + (
        sum(t.numel() for t in (head.key, head.query, head.gates, head.bias)) if head else 0
    )


def _answers(exam: Exam, backbone: Backbone, bank: AdapterBank, start: int) -> list[str]:
    """The replies to one batch of windows, from number `start` on."""
    spec, part = exam.spec, exam.windows[start : start + TOGETHER]
    name, size = spec.name if spec.name in bank.rows else None, backbone.positions
    reserve = min(spec.decode.max_tokens, size // 2)
    requests, texts = list[Request](), list[str]()
    for i, w in enumerate(part, exam.seed + start):
        prompt = encode(backbone.tokenizer, w.facts, w.utterances[:-1], positions=size, reserve=reserve)
        requests.append(Request.of(backbone.tokenizer, prompt, name, spec.decode, i, w.facts, w.utterances[:-1]))
    made = generate(backbone, bank, requests)
    for drafts, w in zip(made, part, strict=True):
        evidence = Evidence.of(spec, w.facts, backbone.tokenizer.everyday)
        texts.append(best_first(drafts, w.utterances[:-1], exam.ranker, evidence, exam.style)[0].text)
    exam.advance(len(part))
    return texts
