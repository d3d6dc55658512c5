"""4 to 6 · From a history and its facts to the text of a reply, in one place.

Chat, training's sample replies and evaluation all answer by a `Responder`, so that what is measured is what is served.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace

from adapterbot.engine.drafts import agreed_text, draft, pieces
from adapterbot.engine.request import Deadline, Reading, Request, Sample
from adapterbot.engine.scheduler import Scheduler
from adapterbot.errors import AdapterbotError
from adapterbot.facts import Fact, PersonaLine
from adapterbot.history import History
from adapterbot.manager.care import TURNS
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import Backbone
from adapterbot.reply.consistency import Consistency
from adapterbot.reply.features import Relevance, Situation
from adapterbot.reply.grounding import Evidence, told
from adapterbot.reply.prompt import encode
from adapterbot.reply.rerank import best_first, scored, tidied
from adapterbot.reply.safety import Guard
from adapterbot.reply.style_heads import StyleHeads
from adapterbot.reply.weights import RankWeights
from adapterbot.spec.tables import SkillSpec
from adapterbot.turn import Decode, Draft, Prompt

# Tokens after which the drafts go on from the best of their beginnings, so that the first words can be shown.
AGREED = 8
RETRIES = 2  # fresh samples when no draft is acceptable


@dataclass(frozen=True, slots=True)
class Prepared:
    """A turn after stage 4: all that is known before its reply is generated.

    `history` ends with the newest user message; `told` is the whole reply where the facts give it, so that no model
    words it.
    """

    spec: SkillSpec
    history: History
    facts: tuple[Fact, ...]
    prompt: Prompt
    request: Request
    situation: Situation
    told: str = ""

    @property
    def said(self) -> tuple[str, ...]:
        """What the user said, oldest first, the last turns of it."""
        return tuple(u.text for u in self.history if u.speaker == "user")[-TURNS:]


@dataclass(frozen=True, slots=True)
class Answer:
    """The chosen text, all drafts best first (none of a reply that is told), what people should know, and seconds per
    stage."""

    text: str
    drafts: tuple[Draft, ...]
    warnings: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)


def agrees(spec: SkillSpec, evidence: Evidence | None, facts: Sequence[Fact]) -> bool:
    """Whether the drafts of a reply agree on its beginning before they are whole.

    Not where a reply may turn out to be wrong as a whole: of a strict skill, of one that tells what was read, or of one
    with a persona. Nor where a style is chosen, which may stand in the last words.
    """
    held = any(isinstance(fact, PersonaLine) for fact in facts) or (evidence is not None and evidence.is_read)
    return not (spec.strict or spec.rerank or held)


class Responder:
    """Answers by the skills of `bank` over one backbone. Safe to use from several threads."""

    def __init__(
        self,
        backbone: Backbone,
        bank: AdapterBank,
        *,
        ranker: Callable[[], Relevance | None] = lambda: None,
        heads: StyleHeads | None = None,
        weights: RankWeights | None = None,
        guard: Guard | None = None,
        consistency: Consistency | None = None,
        scheduler: Scheduler | None = None,
    ) -> None:
        """`ranker` is asked for when there is more than one draft to choose from; `heads` tell of styles; `weights`
        choose; `consistency` holds drafts to a persona; `scheduler` is that of all who answer by this backbone, None:
        one of its own."""
        self.backbone = backbone
        self.bank = bank
        self.scheduler = scheduler or Scheduler(backbone)
        self.ranker = ranker
        self._heads = heads
        self._weights = weights or RankWeights()
        self._guard = guard or Guard()
        self._consistency = consistency or Consistency()

    def over(self, backbone: Backbone, bank: AdapterBank) -> Responder:
        """One that answers as this one does, by other weights."""
        return Responder(
            backbone,
            bank,
            ranker=self.ranker,
            heads=self._heads,
            weights=self._weights,
            guard=self._guard,
            consistency=self._consistency,
            scheduler=self.scheduler if backbone is self.backbone else None,
        )

    def prepare(
        self,
        spec: SkillSpec,
        history: History,
        facts: Iterable[Fact],
        decode: Decode | None = None,
        adapter: str | None = None,
        deadline: Deadline | None = None,
    ) -> Prepared:
        """Stage 4: the prompt for a reply to `history`, and what the engine is asked.

        `decode` are the settings, else those of the skill; without a seed one is drawn. `adapter` is the skill's, or a
        stack or an average (see `spec.mixing`). `deadline`: None is never.
        """
        facts = tuple(facts)
        decode = decode or spec.decode
        tokenizer = self.backbone.tokenizer
        positions = self.backbone.positions
        texts = spec.heard(history)
        reserve = min(decode.max_tokens, positions // 2)
        evidence = Evidence.of(spec, facts)
        style = self._heads.style(spec.rerank) if self._heads and spec.rerank else None
        situation = Situation(history.texts, spec.group, evidence, style)
        prompt = encode(tokenizer, [fact.line for fact in facts], texts, positions=positions, reserve=reserve)
        request = Request(
            ids=prompt.ids,
            adapter=self.bank.known(adapter or spec.name),
            decode=decode,
            seed=secrets.randbelow(2**31) if decode.seed is None else decode.seed,
            reply=prompt.reply,
            agree=AGREED if agrees(spec, evidence, facts) else 0,
            prefer=lambda going: self._scores(situation, going),
            deadline=deadline or Deadline(),
        )
        return Prepared(spec, history, facts, prompt, request, situation, told(facts))

    def answer(self, turns: Sequence[Prepared]) -> list[Answer]:
        """Stages 5 and 6 for several turns at a time, whatever their skills; `generate` is the time of them all.

        Raises:
            BusyError: too many replies are waited for. ReplyError: one could not be computed.
        """
        answers = list[Answer]()
        for answer in self.attempts(turns):
            if isinstance(answer, Exception):
                raise answer
            answers.append(answer)
        return answers

    def attempts(self, turns: Sequence[Prepared]) -> list[Answer | Exception]:
        """`answer`, with its error in place of the answer to a turn that could not be answered."""
        drafted = [turn.request for turn in turns if not turn.told]
        started = time.perf_counter()
        samples = iter(self.scheduler.attempts(self.bank, drafted))
        seconds = time.perf_counter() - started
        return [
            Answer(turn.told, ()) if turn.told else self._attempt(turn, next(samples), {"generate": seconds})
            for turn in turns
        ]

    def _attempt(
        self, turn: Prepared, samples: Sequence[Sample] | Exception, timings: dict[str, float]
    ) -> Answer | Exception:
        try:
            return samples if isinstance(samples, Exception) else self._chosen(turn, samples, timings)
        except AdapterbotError as error:
            return error

    def stream(self, turn: Prepared) -> Generator[str, None, Answer]:
        """Stage 5 in pieces, then 6; returns the Answer, whose text the pieces make up. Closing it stops the work.

        A single draft comes as it grows. Of several, the beginning on which they agree comes at once, and the rest when
        the best of them is known; where they do not agree (see `agrees`), all of it then. What is told comes whole.
        After a token that lets nothing be shown comes an empty piece, so that a reader may stop there.
        """
        if turn.told:
            yield turn.told
            return Answer(turn.told, ())
        started = time.perf_counter()
        shown = ""
        judged = False  # the beginning on which drafts agree does not change
        timings = dict[str, float]()
        with contextlib.closing(self.scheduler.stream(self.bank, turn.request)) as growing:
            for drafts in growing:
                piece = ""
                if len(drafts) == 1:
                    piece = self._grown(turn, drafts[0], shown)
                elif drafts[0].agreed and not judged:
                    judged = True
                    piece = self._begun(turn, drafts)
                if piece:
                    timings.setdefault("first_token", time.perf_counter() - started)
                    shown += piece
                yield piece
        timings["generate"] = time.perf_counter() - started
        answer = self._chosen(turn, drafts, timings)
        if answer.text.startswith(shown) and answer.text != shown:  # a single draft may have been refused half-way
            yield answer.text[len(shown) :]
        return answer

    def _grown(self, turn: Prepared, only: Sample, shown: str) -> str:
        """What a single draft has more to show."""
        piece = "" if turn.spec.strict else pieces(self.backbone, only, shown)
        return piece if piece and self._guard.draft(shown + piece, turn.said, turn.facts) is None else ""

    def _begun(self, turn: Prepared, drafts: Sequence[Sample]) -> str:
        """How every draft begins, as it is shown; empty where they did not agree, or where it must not be said."""
        text = tidied(agreed_text(self.backbone, drafts), whole=False)
        return text if text and self._guard.draft(text, turn.said, turn.facts) is None else ""

    def _chosen(self, turn: Prepared, samples: Sequence[Sample], timings: dict[str, float]) -> Answer:
        """Stage 6: the best acceptable draft; where none is, fresh ones, and at last a line that says so."""
        started = time.perf_counter()
        warnings = tuple[str, ...]()
        ranked = self._ranked(turn, samples)
        best = self._guard.first(ranked, turn.said, turn.facts)
        for attempt in range(1, RETRIES + 1):
            if best is not None:
                break
            again = replace(turn.request, seed=turn.request.seed + attempt, agree=0, reading=Reading())
            if self._begun(turn, samples):  # it may be on the screen
                again = replace(again, start=samples[0].ids[: samples[0].agreed])
            ranked = self._ranked(turn, self.scheduler.grow(self.bank, [again])[0])
            best = self._guard.first(ranked, turn.said, turn.facts)
        if best is None:
            best = replace(ranked[0], text=self._guard.carer.texts.refused)
            warnings = ("no draft was acceptable",)
        timings["rerank"] = time.perf_counter() - started
        return Answer(best.text, tuple(ranked), warnings, timings)

    def _scores(self, situation: Situation, begun: Sequence[Sample]) -> list[float]:
        """How good the drafts are so far."""
        drafts = [draft(self.backbone, grown) for grown in begun]
        return [one.score for one in scored(drafts, situation, self._weights, self.ranker())]

    def _ranked(self, turn: Prepared, samples: Sequence[Sample]) -> list[Draft]:
        drafts = [draft(self.backbone, grown) for grown in samples]
        several = len(drafts) > 1
        ranked = best_first(drafts, turn.situation, self._weights, self.ranker() if several else None)
        return self._consistency.first(ranked, turn.facts, turn.history) if several else ranked
