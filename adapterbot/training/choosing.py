"""Fit the weights by which drafts are chosen, from what a person replied where the skill drafts replies.

Drafts are sampled for validation dialogues as the bot samples them, and the features of the person's reply are computed
in the same way, its likelihood by a forward pass. Two kinds of pairs are learnt from: the person's reply is better than
a draft, and of two drafts the one that is clearly closer to it in words and meaning. Some features can be learnt from
the second kind alone (OF_DRAFTS): at a temperature below 1 every draft is likelier than what people say, whatever it
says; and what the facts do not hold a person may know, but a model makes up. The fit is a logistic regression on
differences of features (pairwise, the linear case of Burges et al. 2005, RankNet). P pairs, N drafts, F features, G
groups of skills.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from adapterbot.data.dialogue import Dialogue
from adapterbot.engine.drafts import draft
from adapterbot.errors import DataError
from adapterbot.knowledge import given_facts
from adapterbot.language.words import word_f1
from adapterbot.manager.encoder import minilm
from adapterbot.network.likelihood import mean_logprob
from adapterbot.reply.answer import Prepared, Responder
from adapterbot.reply.features import FEATURES, features
from adapterbot.reply.weights import ALONE, RERANK, RankWeights
from adapterbot.spec.tables import SkillSpec
from adapterbot.training.corpus import load_corpus
from adapterbot.training.windows import Window, encode_windows, replies
from adapterbot.turn import Draft

TURNS = 60  # of each skill
DRAFTS = 8  # of each turn
TOGETHER = 4  # turns whose drafts are sampled in one batch
HELD = 4  # every so manieth turn is held out while it is measured how good the weights are
CLEARLY = 0.1  # by how much one draft is closer than another that is worse
PULL = 30.0  # towards zero: the regression's 1 / C
LEAST = 1e-9  # deviation of a feature that varies
STYLE = 50.0  # for each nat of a style that is asked for: all else decides among drafts that are alike in style
OF_DRAFTS = ("likelihood", "strayed")
KINDS = ("people", "drafts")  # of pairs
NUMBERS = (1, 2, 4, 8)  # of drafts to choose among
HALF = 0.5  # of a reply's content words

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Contest:
    """One turn of a dialogue: rows [1 + N, F] of a person's reply and of the drafts that ended by themselves.

    Of each draft and the person's reply: `f1` [N] their word F1, `close` [N] its mean with the cosine of their vectors.
    """

    skill: str
    group: str
    rows: Floats
    f1: Floats
    close: Floats


def contests(
    responder: Responder,
    spec: SkillSpec,
    dialogues: Sequence[Dialogue],
    *,
    most: int = TURNS,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> Iterator[Contest]:
    """At most `most` turns of the dialogues, at even distances, with the drafts that the skill makes there.

    `advance` is told of how many more turns the drafts are made.
    """
    every = [window for dialogue in dialogues for window in replies(dialogue, spec)]
    chosen = [every[i * len(every) // most] for i in range(most)] if len(every) > most else every
    for start in range(0, len(chosen), TOGETHER):
        part = chosen[start : start + TOGETHER]
        turns = [_prepared(responder, spec, window, seed + start + i) for i, window in enumerate(part)]
        sampled = responder.scheduler.grow(responder.bank, [turn.request for turn in turns])
        for window, turn, samples in zip(part, turns, sampled, strict=True):
            ended = [draft(responder.backbone, sample) for sample in samples if sample.finished]
            if contest := _contest(responder, turn, window.utterances[-1], ended):
                yield contest
        advance(len(part))


def _prepared(responder: Responder, spec: SkillSpec, window: Window, seed: int) -> Prepared:
    """A turn as the bot prepares it, with DRAFTS drafts that need not agree on a beginning."""
    decode = spec.decode.override({"drafts": DRAFTS, "seed": seed})
    turn = responder.prepare(spec, window.history, given_facts(window.facts, spec), decode)
    return replace(turn, request=replace(turn.request, agree=0))


def _contest(responder: Responder, turn: Prepared, reply: str, drafts: Sequence[Draft]) -> Contest | None:
    """None where the person's reply does not fit into the positions, or there is no draft."""
    others = [one for one in drafts if one.text.strip()]
    said = turn.spec.heard(turn.history)
    replied = Window(tuple(fact.line for fact in turn.facts), (*said, reply))
    rows = encode_windows([replied], responder.backbone.tokenizer, responder.backbone.positions)
    if not rows or not others:
        return None
    person = Draft(reply, mean_logprob(responder.backbone, responder.bank.select([turn.request.adapter]), rows[0]))
    measured = features([person, *others], turn.situation, responder.ranker())
    table = np.array([[row[name] for name in FEATURES] for row in measured])
    f1 = np.array([word_f1(one.text, reply) for one in others])
    vectors = minilm().encode([reply, *(one.text for one in others)])  # [1 + N, w]
    return Contest(turn.spec.name, turn.spec.group, table, f1, (f1 + (vectors[1:] @ vectors[0]).numpy()) / 2)


def fit(contests: Sequence[Contest]) -> dict[str, dict[str, float]]:
    """For each group of skills the weight of each feature: what all groups have in common, and what is its own.

    Both parts are drawn towards zero, so that a group with few turns goes by the others.
    """
    from sklearn.linear_model import LogisticRegression

    groups = sorted({contest.group for contest in contests})
    pairs = [(contest.group, rows) for contest in contests for rows in _pairs(contest) if len(rows)]
    scale = np.concatenate([rows for _, rows in pairs]).std(0)
    scale[scale < LEAST] = np.inf  # what never differs gets no weight
    wide = np.concatenate([_wide(rows / scale, group, groups) for group, rows in pairs])
    turn = np.concatenate([np.full(len(rows), 1 / len(rows)) for _, rows in pairs])  # counts the same for either kind
    better = np.concatenate([np.ones(len(wide)), np.zeros(len(wide))])
    model = LogisticRegression(C=1 / PULL, fit_intercept=False, max_iter=1000)
    model.fit(np.concatenate([wide, -wide]), better, sample_weight=np.concatenate([turn, turn]))
    common, *own = model.coef_.reshape(1 + len(groups), len(FEATURES)) / scale
    rows = ((common + mine).round(4).tolist() for mine in own)
    return {group: dict(zip(FEATURES, row, strict=True)) for group, row in zip(groups, rows, strict=True)}


def _pairs(contest: Contest) -> tuple[Floats, Floats]:
    """By how much the better reply of each pair has more of each feature: of KINDS, [P, F] each."""
    person, drafts = contest.rows[0], contest.rows[1:]
    learnable = np.array([name not in OF_DRAFTS for name in FEATURES])
    better, worse = np.nonzero(contest.close[:, None] > contest.close[None, :] + CLEARLY)
    return (person - drafts) * learnable, drafts[better] - drafts[worse]


def _wide(rows: Floats, group: str, groups: Sequence[str]) -> Floats:
    """Rows [P, F] beside themselves at the place of their group and zeros at those of the others: [P, (1 + G) * F]."""
    return np.concatenate([rows, *(rows * (name == group) for name in groups)], 1)


def judged(contests: Sequence[Contest], weights: RankWeights) -> dict[str, dict[str, float]]:
    """What the weights are worth on contests that they were not fitted on, by group of skills.

    `people` and `drafts`: the share of pairs of either kind whose better reply scores higher; `f1 of N`: the word F1 of
    the best of the first N drafts and the person's reply, 0 to 100; `reused of N`: the share of these of whose content
    words half or more stand in the message; `reused by people`: that of the persons' replies.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for contest in contests:
        mine = found.setdefault(contest.group, {})
        row = weights.groups.get(contest.group, ALONE)
        table = np.array([row.get(name, 0.0) for name in FEATURES])
        for kind, rows in zip(KINDS, _pairs(contest), strict=True):
            if len(rows):
                mine.setdefault(kind, []).append(float((rows @ table > 0).mean()))
        scores, reused = contest.rows @ table, contest.rows[:, FEATURES.index("reused")] >= HALF
        mine.setdefault("reused by people", []).append(float(reused[0]))
        for number in NUMBERS:
            best = int(scores[1 : number + 1].argmax())
            mine.setdefault(f"f1 of {number}", []).append(100 * float(contest.f1[best]))
            mine.setdefault(f"reused of {number}", []).append(float(reused[1 + best]))
    return {group: {name: float(np.mean(of)) for name, of in rows.items()} for group, rows in found.items()}


def train_weights(
    responder: Responder,
    specs: Iterable[SkillSpec],
    data: str | None,
    out: Path,
    *,
    turns: int = TURNS,
    seed: int = 0,
    quiet: bool = False,
) -> dict[str, Any]:
    """Fit the weights on at most `turns` turns of each skill and write rerank.json into `out`.

    Skills of style choose as those of conversation do, among drafts that are alike in style. `data` is a folder of
    corpora, as in `load_corpus`. Returns how many turns of each skill there were, and what the weights are worth on
    held-out turns, by weights that were fitted on the others.

    Raises:
        DataError: no skill with dialogues and drafts to learn from.
    """
    met = list[Contest]()
    with Progress(disable=quiet) as bar:
        for spec in specs:
            if spec.group != "style":
                task = bar.add_task(spec.name, total=turns)
                valid = load_corpus(spec, data).valid
                met += contests(responder, spec, valid, most=turns, seed=seed, advance=partial(bar.advance, task))
    kept = [contest for i, contest in enumerate(met) if i % HELD]
    if not kept:
        raise DataError("no skill has drafts of validation dialogues to learn from; train skills first")
    counted = {name: sum(contest.skill == name for contest in met) for name in sorted({c.skill for c in met})}
    report = {"turns": counted, "held_out": judged(met[::HELD], RankWeights(fit(kept)))}
    groups = fit(met)
    if "conversation" in groups:
        groups["style"] = groups["conversation"] | {"style": STYLE}
    RankWeights(groups, report).save(out / RERANK)
    return report
