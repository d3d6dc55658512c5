"""How good is a skill? How well it predicts replies that it did not learn from, and what its own are worth."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from adapterbot.data.dialogue import Dialogue, read_dialogues
from adapterbot.errors import DataError
from adapterbot.evaluation.metrics import Prediction, measures, require_libraries, spread, yardsticks
from adapterbot.knowledge import given_facts
from adapterbot.network.adapters import BatchAdapters
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import Backbone
from adapterbot.network.likelihood import perplexity_of, total_nats
from adapterbot.reply.answer import Responder
from adapterbot.spec.tables import SkillSpec
from adapterbot.training.corpus import load_corpus
from adapterbot.training.windows import Window, encode_windows, replies
from adapterbot.turn import Prompt

TOGETHER = 16  # replies that are generated in one batch


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Replies to be given, by a skill's settings: one per window; `dialogues` are the numbers of their dialogues."""

    spec: SkillSpec
    windows: Sequence[Window]
    dialogues: Sequence[int]
    seed: int = 0
    advance: Callable[[int], None] = lambda _: None

    @classmethod
    def of(cls, spec: SkillSpec, dialogues: Sequence[Dialogue], most: int) -> EvaluationSet:
        """At most `most` of the dialogues' replies, at even distances."""
        chosen = spread([(i, w) for i, d in enumerate(dialogues) for w in replies(d, spec)], most)
        return cls(spec, [w for _, w in chosen], [i for i, _ in chosen])


@dataclass(frozen=True, slots=True)
class SkillEvaluation:
    """The figures of one skill, what it was evaluated on, its replies, and in words where the dialogues are from."""

    figures: dict[str, float]
    evaluation_set: EvaluationSet
    predictions: list[Prediction]
    origin: str = ""


def likelihood_figures(
    backbone: Backbone, adapters: BatchAdapters | None, windows: Sequence[Window]
) -> dict[str, float]:
    """`perplexity` and `bits_per_byte` of the windows' replies, given their facts and what was said before.

    Bits per UTF-8 byte of the reply and one more for the separator that closes it. Replies that do not fit into the
    backbone's positions are left out; no figures when none fits.
    """
    rows = list[Prompt]()
    size = 0
    for window in windows:
        if row := encode_windows([window], backbone.tokenizer, backbone.positions):
            rows += row
            size += len(window.utterances[-1].encode("utf-8", "replace")) + 1
    if not rows:
        return {}
    total, count = total_nats(backbone, adapters, rows)
    return {"perplexity": perplexity_of(total, count), "bits_per_byte": total / math.log(2) / size}


def held_out_dialogues(spec: SkillSpec, data: str | None) -> tuple[SkillSpec, list[Dialogue], str]:
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


def evaluate_skill(
    spec: SkillSpec,
    responder: Responder,
    dialogues: Sequence[Dialogue],
    *,
    most: int = 200,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> SkillEvaluation:
    """Judge one skill by at most `most` replies, spread evenly; the facts are those of the dialogues.

    Replies are those of a chat: `responder` gives them, with the skill's own settings. Figures: `replies`, `parameters`
    of the adapter, those of `likelihood_figures` for the skill and with `_backbone` for the bare backbone,
    `seconds_per_reply` (wall time, TOGETHER at a time), and those of `metrics.measures` and `metrics.yardsticks`.

    Raises:
        DataError: no system reply to score. MissingPartError: a library that the measures need is not installed.
    """
    require_libraries()
    evaluation_set = replace(EvaluationSet.of(spec, dialogues, most), seed=seed, advance=advance)
    before = likelihood_figures(responder.backbone, None, evaluation_set.windows)
    if not before:
        raise DataError(f"no system reply to score for skill {spec.name!r}")
    figures, predictions = evaluate_replies(evaluation_set, responder)
    return SkillEvaluation(
        {"replies": len(predictions), "parameters": parameters(responder.bank, spec.name)}
        | figures
        | {f"{name}_backbone": value for name, value in before.items()}
        | yardsticks(predictions, grounded=spec.grounded, seed=seed),
        evaluation_set,
        predictions,
    )


def evaluate_replies(evaluation_set: EvaluationSet, responder: Responder) -> tuple[dict[str, float], list[Prediction]]:
    """The figures that depend on the model, and its replies; without an adapter in its bank, the backbone's own."""
    name = evaluation_set.spec.name if evaluation_set.spec.name in responder.bank.rows else None
    figures = likelihood_figures(responder.backbone, responder.bank.select([name]), evaluation_set.windows)
    began = time.perf_counter()
    texts = [
        text
        for start in range(0, len(evaluation_set.windows), TOGETHER)
        for text in _answers(evaluation_set, responder, start)
    ]
    figures["seconds_per_reply"] = (time.perf_counter() - began) / max(1, len(texts))
    nothing = (evaluation_set.spec.knowledge.when_empty,)  # the line that stands for "nothing was found" is no fact
    predictions = [
        Prediction(dialogue, () if w.facts == nothing else w.facts, w.utterances[:-1], w.utterances[-1], text)
        for dialogue, w, text in zip(evaluation_set.dialogues, evaluation_set.windows, texts, strict=True)
    ]
    return figures | measures(predictions, grounded=evaluation_set.spec.grounded, seed=evaluation_set.seed), predictions


def parameters(bank: AdapterBank, skill: str) -> int:
    """How many weights the skill's adapter has; 0 for the bare backbone."""
    return bank.parameters(skill)


def _answers(exam: EvaluationSet, responder: Responder, start: int) -> list[str]:
    """The replies to one batch of windows, from number `start` on."""
    spec = exam.spec
    part = exam.windows[start : start + TOGETHER]
    turns = []
    for seed, window in enumerate(part, exam.seed + start):
        history = window.history
        facts = given_facts(window.facts, spec, history)
        turns.append(responder.prepare(spec, history, facts, spec.decode.override({"seed": seed})))
    texts = [answer.text for answer in responder.answer(turns)]
    exam.advance(len(part))
    return texts
