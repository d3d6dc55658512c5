"""The turn, end to end: the only place where all parts meet.

message -> 1 history -> 2 manager -> 3 knowledge -> 4 prompt -> 5 generate -> 6 safety, rerank -> 7 Reply -> 8 store
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from adapterbot.engine.generate import draft, generate, pieces, sample
from adapterbot.engine.request import Request
from adapterbot.errors import AdapterbotError, InputError, KnowledgeError, kept_to
from adapterbot.history import READ, History
from adapterbot.home import Home
from adapterbot.knowledge import Source, open_source
from adapterbot.manager.encoder import BACKBONE, Encoder
from adapterbot.manager.router import Manager
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import Backbone, load_backbone
from adapterbot.reply.grounding import Evidence
from adapterbot.reply.openings import request
from adapterbot.reply.prompt import encode
from adapterbot.reply.rerank import best_first
from adapterbot.reply.safety import Guard
from adapterbot.roster import Roster
from adapterbot.session import Session
from adapterbot.spec.tables import FALLBACK, SkillSpec
from adapterbot.turn import Choice, Draft, Fact, Prompt, Reply, given_facts

if TYPE_CHECKING:
    from adapterbot.storage.conversations import Store

ENCODED = ("passages", "claims")  # the sources that compare sentences
RETRIES = 2  # fresh samples when no draft is acceptable
REQUEST = ("message", "history", "skill", "seed", "facts")  # of one turn; any other name is a decode setting
Past = History | Sequence[object] | None


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn after stages 1 to 4: all that is known before the reply is generated."""

    history: History
    choice: Choice
    facts: tuple[Fact, ...]
    prompt: Prompt
    request: Request
    warnings: tuple[str, ...]
    timings: dict[str, float] = field(default_factory=dict)


class Bot:
    """A frozen backbone, the adapters of all skills, and the manager over them. Safe to call from several threads."""

    def __init__(self, backbone: Backbone, home: Home, *, log: bool = True, guard: Guard | None = None) -> None:
        self.backbone, self.home, self.log = backbone, home, log
        self.roster, self.guard = Roster.load(backbone, home), guard or Guard()
        self._lock = threading.Lock()  # over the registers below, never held while something is opened
        self._manager_lock = threading.Lock()
        self._manager: list[tuple[Manager | None, str]] = []  # with what is wrong with it, once it has been read
        self._source_locks: dict[str, threading.Lock] = {}
        self._sources: dict[str, Source] = {}
        self._store: Store | None = None
        self._session_locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    @classmethod
    def load(
        cls,
        backbone: str | None = None,
        home: str | os.PathLike[str] | None = None,
        device: str | None = None,
        *,
        log: bool = True,
    ) -> Bot:
        """A bot on the embedded backbone (or a known name, folder or hub id) with all skills that fit it.

        `home` is the user's folder (default $ADAPTERBOT_HOME, else ~/.adapterbot), `device` where it answers ("cuda";
        default the processor); `log=False`: nothing is stored.

        Raises:
            BackboneError, MissingPartError, UnknownNameError: the backbone cannot be loaded (see `load_backbone`).
        """
        return cls(load_backbone(backbone, device), Home.at(home), log=log)

    def respond(
        self,
        message: str,
        history: Past = None,
        *,
        skill: str | None = None,
        seed: int | None = None,
        facts: Sequence[str] | None = None,
        **decode: Any,
    ) -> Reply:
        """Answer `message`, said after `history`, with the named skill or the one that the manager picks.

        `facts` replace retrieval; `decode` overrides the skill's settings (see `turn.DECODE_SETTINGS`).

        Raises:
            InputError: the message is empty or not text, or the history is not one.
            UnknownNameError: no such skill. AdapterError, SpecError: the skill cannot answer, and why.
            SettingError: a decode setting that does not exist or is out of range.
        """
        turn = self._prepare(message, history, skill, seed, facts, decode)
        started = time.perf_counter()
        drafts = generate(self.backbone, self.bank, [turn.request])[0]
        turn.timings["generate"] = time.perf_counter() - started
        return self._finish(turn, drafts)

    def stream(
        self,
        message: str,
        history: Past = None,
        *,
        skill: str | None = None,
        seed: int | None = None,
        facts: Sequence[str] | None = None,
        **decode: Any,
    ) -> Generator[str, None, Reply]:
        """Like `respond`, but yields pieces of the reply as they come; the generator's return value is the Reply.

        Closing the generator stops the work. With several drafts the best one comes word by word once it is chosen.
        """
        return self._stream(self._prepare(message, history, skill, seed, facts, decode))

    def respond_batch(self, requests: Sequence[Mapping[str, Any]]) -> list[Reply | AdapterbotError]:
        """Answer several requests, `{"message", "history", "skill", "facts", "seed", <decode settings>}`, in one batch.

        Skills may differ from row to row. A row that cannot be answered holds its error; the others are served.
        """
        turns = [self._try_prepare(request) for request in requests]
        ready = [turn for turn in turns if isinstance(turn, Turn)]
        started = time.perf_counter()
        drafts = iter(generate(self.backbone, self.bank, [turn.request for turn in ready]) if ready else [])
        for turn in ready:
            turn.timings["generate"] = time.perf_counter() - started
        return [self._finish(turn, next(drafts)) if isinstance(turn, Turn) else turn for turn in turns]

    def pick(self, message: str, history: Past = None) -> Choice:
        """Which skill would answer, and why, without answering."""
        return self._choose(self.guard.message(message)[0], History.of(history).window(READ), None)

    def session(self, id: str) -> Session:
        """A conversation that remembers, keeps its order, and is stored in the user's home (unless `log=False`)."""
        with self._lock:
            return Session(self, id, self._session_locks.setdefault(id, threading.Lock()))

    @property
    def bank(self) -> AdapterBank:
        """The adapters of all skills."""
        return self.roster.bank

    @property
    def specs(self) -> Mapping[str, SkillSpec]:
        """Every skill's spec, those that cannot answer included."""
        return self.roster.specs

    @property
    def skills(self) -> list[str]:
        """The skills that can answer, sorted."""
        return self.roster.skills

    @property
    def routable(self) -> list[str]:
        """The skills that the manager may choose."""
        return [name for name in self.skills if self.specs[name].routing.auto]

    @property
    def manager(self) -> Manager | None:
        """The dialogue manager, loaded when it is first needed; None when there is none for this backbone or it is
        damaged (see `manager_fault`)."""
        return self._read_manager()[0]

    @property
    def manager_fault(self) -> str:
        """What keeps the manager from choosing, empty when it is sound or there is none."""
        return self._read_manager()[1]

    def _read_manager(self) -> tuple[Manager | None, str]:
        with self._manager_lock:
            if not self._manager:
                self._manager.append(Manager.read(self.home, self.backbone))
            return self._manager[0]

    @property
    def store(self) -> Store:
        """Where sessions are kept, opened when it is first needed."""
        with self._lock:
            if self._store is None:
                from adapterbot.storage.conversations import Store  # a third of a second that only sessions pay for

                self._store = Store(self.home.database if self.log else ":memory:")
            return self._store

    def source(self, skill: str) -> Source:
        """The knowledge source of a skill, opened when it is first needed."""
        with self._lock:
            lock = self._source_locks.setdefault(skill, threading.Lock())
        with lock:  # the turns of other skills go on meanwhile
            if skill not in self._sources:
                spec = self.specs[skill]
                encoder = self._sentence_encoder() if spec.knowledge.source in ENCODED else None
                with kept_to(f"skill {skill!r}", KnowledgeError):
                    self._sources[skill] = open_source(spec, self.home, encoder)
            return self._sources[skill]

    def _sentence_encoder(self) -> Encoder | None:
        """The manager's encoder, if it can re-rank: pooled states of a language model are all alike."""
        manager = self.manager
        return manager.sentences if manager and manager.sentences.name != BACKBONE else None

    def _prepare(
        self,
        message: str,
        history: Past,
        skill: str | None,
        seed: int | None,
        facts: Sequence[str] | None,
        decode: Mapping[str, Any],
    ) -> Turn:
        """Stages 1 to 4."""
        clock = [time.perf_counter()]
        (text, warnings), past = self.guard.message(message), History.of(history)
        recent, warnings = past.window(READ), (*warnings, *past.notes)
        choice = self._choose(text, recent, skill)
        if skill is None and self.manager_fault:
            warnings = (*warnings, f"the manager cannot choose: {self.manager_fault}")
        spec, now, recent = self.roster.spec(choice.skill), past.add_user(text), recent.add_user(text)
        settings = spec.decode.override({**decode, "seed": seed})
        clock.append(time.perf_counter())
        found = self.source(spec.name).retrieve(recent) if facts is None else given_facts(facts)
        clock.append(time.perf_counter())
        size, lines, texts = self.backbone.positions, [fact.text for fact in found], spec.heard(recent)
        reserve = min(settings.max_tokens, size // 2)
        prompt = encode(self.backbone.tokenizer, lines, texts, positions=size, reserve=reserve)
        drawn = secrets.randbelow(2**31) if settings.seed is None else settings.seed
        asked = request(self.backbone.tokenizer, prompt, self.roster.row(spec.name), settings, drawn, lines, texts)
        clock.append(time.perf_counter())
        stages = zip(("route", "knowledge", "prompt"), clock, clock[1:], strict=False)
        return Turn(now, choice, tuple(found), prompt, asked, warnings, {name: b - a for name, a, b in stages})

    def _try_prepare(self, request: Mapping[str, Any]) -> Turn | AdapterbotError:
        try:
            if not isinstance(request, Mapping) or "message" not in request:
                raise InputError('a request is an object with a "message"')
            given: dict[str, Any] = {key: request.get(key) for key in REQUEST}
            return self._prepare(**given, decode={k: v for k, v in request.items() if k not in REQUEST})
        except AdapterbotError as error:
            return error

    def _choose(self, message: str, history: History, skill: str | None) -> Choice:
        """Stage 2: the caller's skill always wins, then the manager's choice, then the fallback."""
        if skill is not None:
            return Choice(self.roster.spec(skill).name, {}, "forced", "the caller asked for it")
        if self.manager is None:
            reason = self.manager_fault or "no manager was trained for this backbone: adapterbot train-manager"
            return Choice(FALLBACK, dict.fromkeys(self.routable, 0.0), "only", reason)
        return self.manager.pick(message, history, self.routable)

    def _stream(self, turn: Turn) -> Generator[str, None, Reply]:
        """Stage 5 in pieces, then 6 and 7."""
        started, shown = time.perf_counter(), ""
        for samples in sample(self.backbone, self.bank, [turn.request]):
            grown = samples[0]
            at_once = len(grown) == 1 and not self.specs[turn.choice.skill].strict
            piece = pieces(self.backbone, grown[0], shown) if at_once else ""
            if piece and self.guard.draft(shown + piece) is None:
                turn.timings.setdefault("first_token", time.perf_counter() - started)
                shown += piece
                yield piece
        turn.timings["generate"] = time.perf_counter() - started
        reply = self._finish(turn, [draft(self.backbone, s) for s in grown])
        if not shown:
            yield from re.findall(r"\S+\s*", reply.text)
        return reply

    def _finish(self, turn: Turn, drafts: Sequence[Draft]) -> Reply:
        """Stages 6 and 7: the best acceptable draft as a Reply."""
        started, warnings = time.perf_counter(), turn.warnings
        ranked, attempt = self._ranked(turn, drafts), 0
        while (best := self.guard.first(ranked)) is None and attempt < RETRIES:
            attempt += 1
            fresh = replace(turn.request, seed=turn.request.seed + attempt)
            ranked = self._ranked(turn, generate(self.backbone, self.bank, [fresh])[0])
        if best is None:
            best = replace(ranked[0], text=self.guard.masked(ranked[0].text))
            warnings = (*warnings, "no draft was acceptable; words were masked")
        turn.timings["rerank"] = time.perf_counter() - started
        total = sum(seconds for stage, seconds in turn.timings.items() if stage != "first_token")
        return Reply(
            text=best.text,
            skill=turn.choice.skill,
            scores=turn.choice.scores,
            routed_by=turn.choice.routed_by,
            reason=turn.choice.reason,
            facts=turn.facts,
            drafts=tuple(ranked),
            dropped=turn.prompt.dropped,
            warnings=warnings,
            timings={**turn.timings, "total": total},
            history=turn.history.add_bot(best.text, turn.choice.skill),
            seed=turn.request.seed,
        )

    def _ranked(self, turn: Turn, drafts: Sequence[Draft]) -> list[Draft]:
        """Drafts, best first; with several, by how well they go with what was said."""
        manager = self.manager if len(drafts) > 1 else None
        spec = self.specs[turn.choice.skill]
        evidence = Evidence.of(spec, (fact.text for fact in turn.facts), self.backbone.tokenizer.everyday)
        ranker, style = manager.ranker if manager else None, self.roster.style(spec)
        return best_first(drafts, turn.history.window(READ).texts, ranker, evidence, style)
