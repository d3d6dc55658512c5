"""The turn, end to end: the only place where all rooms meet.

message -> 1 history -> 2 care, manager.pick -> 3 knowledge.retrieve -> 4 prompt -> 5 engine -> 6 reply -> 7 Reply
        -> 8 storage
"""

# Long: the public methods of a bot, each with what it takes and raises.

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from adapterbot.engine.request import Deadline
from adapterbot.engine.scheduler import Scheduler
from adapterbot.errors import AdapterbotError, AdapterError, InputError, KnowledgeError, kept_to
from adapterbot.facts import Fact
from adapterbot.history import READ, History
from adapterbot.home import Home
from adapterbot.knowledge import Opening, Source, given_facts, open_source, source_class
from adapterbot.manager.router import Manager
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.shelf import MOST
from adapterbot.network.backbone import Backbone, load_backbone
from adapterbot.pool import Pool, ReplyStream
from adapterbot.reply.answer import Answer, Prepared, Responder
from adapterbot.reply.care import region_here, region_named
from adapterbot.reply.features import Relevance
from adapterbot.reply.safety import Guard
from adapterbot.reply.stops import Stops, cut_answer, stops_of, until
from adapterbot.roster import Roster
from adapterbot.session import Session
from adapterbot.spec.mixing import name_of, parts_of
from adapterbot.spec.tables import FALLBACK, SkillSpec
from adapterbot.turn import Choice, Evidence, Reply

if TYPE_CHECKING:
    from adapterbot.storage.conversations import Store

# Of one turn; any other name is a decode setting.
REQUEST = ("message", "history", "skill", "seed", "facts", "region", "stop", "deadline")
Past = History | Sequence[object] | None
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn after stages 1 to 4; `history` is the whole conversation, the newest message last."""

    history: History
    choice: Choice
    prepared: Prepared | Answer  # an Answer where a message got care
    warnings: tuple[str, ...]
    timings: dict[str, float] = field(default_factory=dict)
    stops: tuple[str, ...] = ()

    @property
    def ends_early(self) -> bool:
        """Whether its only draft need not be made to its end."""
        return bool(self.stops) and isinstance(self.prepared, Prepared) and self.prepared.request.decode.drafts == 1


class Bot:
    """A frozen backbone, the adapters of all skills, and the manager over them. Safe to call from several threads."""

    def __init__(
        self,
        backbone: Backbone,
        home: Home,
        *,
        log: bool = True,
        guard: Guard | None = None,
        demo: bool = False,
        place: str = "",
        region: str | None = None,
        store: str | None = None,
        adapters: int = MOST,
        pinned: Sequence[str] = (),
    ) -> None:
        """See `load`; `guard` checks what is said on both sides."""
        self.backbone = backbone
        self.home = home
        self.log = log
        self.demo = demo
        self.place = place
        self.region = region_here() if region is None else region_named(region)
        self.roster = Roster.load(backbone, home, adapters, pinned)
        self.guard = guard or Guard()
        self.scheduler = Scheduler(backbone)  # of all replies
        self.responder = self._responder(self.roster)
        self.pool = Pool()  # of the turns that asyncio programs wait for
        self._roster_lock = threading.Lock()  # over changes of the roster
        self._lock = threading.Lock()  # over the registers below, never held while something is opened
        self._manager_lock = threading.Lock()
        self._manager: list[tuple[Manager | None, str]] = []  # with what is wrong with it, once it has been read
        self._source_locks: dict[str, threading.Lock] = {}
        self._sources: dict[str, Source] = {}
        self._kept_in = (store or home.database) if log else ":memory:"
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
        demo: bool = False,
        place: str = "",
        region: str | None = None,
        store: str | None = None,
        adapters: int = MOST,
        pinned: Sequence[str] = (),
        announce: Callable[[str], None] = lambda line: None,
        begun: Callable[[str], None] = lambda part: None,
    ) -> Bot:
        """A bot on the default backbone (or a known name, folder, GGUF file or hub id) with all skills that fit it.

        `home` is the user's folder (default $ADAPTERBOT_HOME, else ~/.adapterbot), `device` where it answers ("cuda";
        default the processor); `log=False`: nothing is stored; `demo`: a sample forecast and a sample calendar where
        there is nothing real; `place`: where the user is, as a name; `region`: the country whose emergency numbers are
        named, as a code of two letters (default: the locale's); `store`: where sessions are kept, a file or a URL (see
        `Database`; default: a file in the home); `adapters`: how many are in memory at most, those of the skills
        `pinned` always (more are read when they are asked for); `announce` is told what takes time at a first start,
        `begun` which part is loaded next.

        Raises:
            BackboneError, MissingPartError, UnknownNameError: the backbone cannot be loaded (see `load_backbone`).
            SettingError: the region is no code of two letters, or the pinned adapters leave no room for others.
        """
        root = Home.at(home)
        begun("the language model")
        network = load_backbone(backbone, device, home=root, announce=announce)
        begun("the skills")
        return cls(
            network,
            root,
            log=log,
            demo=demo,
            place=place,
            region=region,
            store=store,
            adapters=adapters,
            pinned=pinned,
        )

    # -- one turn ---------------------------------------------------------------------------------------------------

    def respond(
        self,
        message: str,
        history: Past = None,
        *,
        skill: str | None = None,
        seed: int | None = None,
        facts: Sequence[str | Fact] | None = None,
        region: str | None = None,
        stop: Stops = None,
        deadline: Deadline | float | None = None,
        **decode: Any,
    ) -> Reply:
        """Answer `message`, said after `history`, with the named skill or the one that the manager picks. A stack
        (`empathetic+joy`) and a weighted average (`0.7*empathetic+0.3*joy`) are named like a skill.

        `facts` replace retrieval; `decode` overrides the skill's settings (see `turn.DECODE_SETTINGS`). A message that
        speaks of suicide, violence, an emergency and the like gets a fixed answer with the numbers of `region`, or else
        of the bot's, whatever the skill: see `Reply.care`. A reply ends before the first of the texts `stop`, but for
        such a fixed answer. What a model has not said by `deadline`, a time of `time.monotonic()`, is not waited for; a
        `Deadline` can be brought forward by whoever leaves.

        Raises:
            InputError: the message is empty or not text, or the history is not one.
            UnknownNameError: no such skill. AdapterError, SpecError: the skill cannot answer, and why.
            SettingError: a decode setting that does not exist or is out of range.
            BusyError: too many replies are waited for. LateError: the reply was not there by the deadline.
            ReplyError: it could not be computed.
        """
        turn = self._prepare(message, history, skill, seed, facts, region, decode, stop, deadline)
        return _drained(self._stream(turn)) if turn.ends_early else _sound(self._replies([turn])[0])

    def stream(
        self,
        message: str,
        history: Past = None,
        *,
        skill: str | None = None,
        seed: int | None = None,
        facts: Sequence[str | Fact] | None = None,
        region: str | None = None,
        stop: Stops = None,
        deadline: Deadline | float | None = None,
        beats: bool = False,
        **decode: Any,
    ) -> Generator[str, None, Reply]:
        """Like `respond`, but yields pieces of the reply as they come; the generator's return value is the Reply.

        Closing the generator stops the work. With `beats` there are empty pieces as well, one for each token that
        changes nothing to be seen, so that a reader can close it while drafts are made.
        """
        turn = self._prepare(message, history, skill, seed, facts, region, decode, stop, deadline)
        stream = self._stream(turn)
        return stream if beats else _without_beats(stream)

    async def arespond(self, message: str, history: Past = None, **request: Any) -> Reply:
        """`respond` for asyncio: takes and raises the same. It works in a thread, which a task that is cancelled frees.

        Raises:
            BusyError: as many turns as may wait for a thread already (see `pool`).
        """
        end = Deadline.of(request.pop("deadline", None))
        return await self.pool.run(lambda: self.respond(message, history, deadline=end, **request), end.leave)

    def astream(self, message: str, history: Past = None, **request: Any) -> ReplyStream:
        """`stream` for asyncio: the pieces by `async for`, then the Reply as `.reply`; `.aclose()` stops the work.

        Raises:
            BusyError: as many turns as may wait for a thread already (see `pool`).
        """
        end = Deadline.of(request.pop("deadline", None))
        return ReplyStream(
            self.pool, lambda: self.stream(message, history, beats=True, deadline=end, **request), end.leave
        )

    def respond_batch(self, requests: Sequence[Mapping[str, Any]]) -> list[Reply | AdapterbotError]:
        """Answer several requests, `{"message"}` and any other argument of `respond`, in one batch.

        Skills may differ from row to row. A row that cannot be answered holds its error; the others are served.
        """
        turns = [self._try_prepare(request) for request in requests]
        replies = iter(self._replies([turn for turn in turns if isinstance(turn, Turn)]))
        return [next(replies) if isinstance(turn, Turn) else turn for turn in turns]

    def pick(self, message: str, history: Past = None) -> Choice:
        """Which skill would answer, and why, without answering."""
        text = self.guard.message(message)[0]
        recent = History.of(history).shown(READ)
        carer = self.guard.carer
        return self._cared(text, recent, None) or self._choose(text, carer.texts.heard(recent), None)

    def session(self, id: str) -> Session:
        """A conversation that remembers, keeps its order, and is stored (unless `log=False`)."""
        with self._lock:
            return Session(self, id, self._session_locks.setdefault(id, threading.Lock()))

    def _prepare(
        self,
        message: str,
        history: Past,
        skill: str | None,
        seed: int | None,
        facts: Sequence[str | Fact] | None,
        region: str | None,
        decode: Mapping[str, Any],
        stop: Stops = None,
        deadline: Deadline | float | None = None,
    ) -> Turn:
        """Stages 1 to 4."""
        clock = _Clock()
        text, warnings = self.guard.message(message)
        past = History.of(history)
        recent = past.shown(READ)
        carer = self.guard.carer
        warnings = (*warnings, *past.notes, *filter(None, [carer.fault]))
        where = self.region if region is None else region_named(region)
        if cared := self._cared(text, recent, skill):
            clock.note("care")
            answer = Answer(carer.texts.answer(cared.care, recent, where), ())
            return Turn(past.add_user(text), cared, answer, warnings, clock.seconds)
        recent = carer.texts.heard(recent)
        clock.note("care")
        choice, faults = self._read_adapters(self._choose(text, recent, skill), skill)
        warnings += faults
        if skill is None and self.manager_fault:
            warnings = (*warnings, f"the manager cannot choose: {self.manager_fault}")
        spec = self.roster.spec(choice.skill)
        now = recent.add_user(text)
        settings = spec.decode.override({**decode, "seed": seed})
        clock.note("route")
        found = self.source(spec.name).retrieve(now) if facts is None else given_facts(facts, spec, now)
        clock.note("knowledge")
        prepared = self.responder.prepare(spec, now, found, settings, choice.skill, Deadline.of(deadline))
        clock.note("prompt")
        return Turn(past.add_user(text), choice, prepared, warnings, clock.seconds, stops_of(stop))

    def _try_prepare(self, request: Mapping[str, Any]) -> Turn | AdapterbotError:
        try:
            if not isinstance(request, Mapping) or "message" not in request:
                raise InputError('a request is an object with a "message"')
            given: dict[str, Any] = {key: request.get(key) for key in REQUEST}
            return self._prepare(**given, decode={k: v for k, v in request.items() if k not in REQUEST})
        except AdapterbotError as error:
            return error

    def _cared(self, message: str, history: History, skill: str | None) -> Choice | None:
        """Stage 2: that no skill answers, where the message needs care."""
        care = self.guard.carer.notice(message, history)
        if not care:
            return None
        if skill is not None and skill not in self.specs:
            self.roster.spec(skill)  # raises; a skill that cannot answer needn't
        reason = f"{self.guard.carer.texts.answers[care.kind].reason} ({care.probability:.2f})"
        return Choice(skill or FALLBACK, {}, "care", reason, care.kind)

    def _choose(self, message: str, history: History, skill: str | None) -> Choice:
        """Stage 2: the caller's skill always wins, then the manager's choice, then the fallback."""
        if skill is not None:
            self.roster.spec(skill)  # raises where it cannot answer
            return Choice(name_of(parts_of(skill)) or skill, {}, "forced", "the caller asked for it")
        if self.manager is None:
            return Choice(FALLBACK, dict.fromkeys(self.routable, 0.0), "only", self.manager_fault)
        return self.manager.pick(message, history, self.routable, self._known(history.add_user(message)))

    def _read_adapters(self, choice: Choice, asked: str | None) -> tuple[Choice, tuple[str, ...]]:
        """The choice, once its adapters are in memory, and no warning. A skill whose adapter cannot be read answers no
        more until it is loaded again: the fallback does, and says why; raises where the skill was `asked` for."""
        bank = self.bank
        for name in [part.skill for part in parts_of(choice.skill) if part.skill in bank.rows]:
            try:
                bank.file(name)
            except AdapterError as error:
                with self._roster_lock:
                    if self.roster.bank is bank:
                        self.roster = self.roster.failing(name, error)
                if asked is not None:
                    raise
                return Choice(FALLBACK, choice.scores, "fallback", f"{name} cannot answer"), (str(error),)
        return choice, ()

    def _known(self, history: History) -> dict[str, Evidence]:
        """What the sources of skills say of the newest message; a source that cannot be opened says nothing."""
        found = dict[str, Evidence]()
        for name in self.routable:
            if source_class(self.specs[name].knowledge.source).evidence is Source.evidence:
                continue
            with contextlib.suppress(KnowledgeError):
                if evidence := self.source(name).evidence(history):
                    found[name] = evidence
        return found

    def _replies(self, turns: Sequence[Turn]) -> list[Reply | AdapterbotError]:
        """Stages 5 to 7 for several turns at a time."""
        answers = iter(self.responder.attempts([t.prepared for t in turns if isinstance(t.prepared, Prepared)]))
        replies = list[Reply | AdapterbotError]()
        for turn in turns:
            answer = turn.prepared if isinstance(turn.prepared, Answer) else next(answers)
            if isinstance(answer, AdapterbotError):
                replies.append(answer)
            else:
                replies.append(_reply(turn, cut_answer(_sound(answer), turn.stops)))
        return replies

    def _stream(self, turn: Turn) -> Generator[str, None, Reply]:
        if isinstance(turn.prepared, Answer):
            yield turn.prepared.text
            return _reply(turn, turn.prepared)
        stream = self.responder.stream(turn.prepared)
        answer = yield from (until(stream, turn.stops) if turn.stops else stream)
        return _reply(turn, answer)

    # -- what it has ------------------------------------------------------------------------------------------------

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
        """The dialogue manager, loaded when it is first needed; None when it is damaged (see `manager_fault`)."""
        return self._read_manager()[0]

    @property
    def manager_fault(self) -> str:
        """What keeps the manager from choosing, empty when it is sound."""
        return self._read_manager()[1]

    def _read_manager(self) -> tuple[Manager | None, str]:
        with self._manager_lock:
            if not self._manager:
                self._manager.append(Manager.read(self.home))
            return self._manager[0]

    @property
    def store(self) -> Store:
        """Where sessions are kept, opened when it is first needed."""
        with self._lock:
            if self._store is None:
                from adapterbot.storage.conversations import Store  # a third of a second that only sessions pay for

                self._store = Store(self._kept_in)
            return self._store

    def load_skill(self, name: str) -> SkillSpec:
        """Read a skill anew from its folder, which may have come since; replies that are being made end as they began.

        Raises:
            UnknownNameError, SpecError, AdapterError, KnowledgeError: it cannot answer, and all stays as it was.
        """
        with self._roster_lock:
            known = name in self.specs
            roster = self.roster.renewed(name, self.backbone, self.home)
            self.responder = self._responder(roster)  # before the roster: no turn may miss its adapter
            self.roster = roster
            with self._lock:
                self._sources.pop(name, None)
            if not known:
                with self._manager_lock:
                    self._manager.clear()  # it reads the examples of skills that are new to it
            return roster.specs[name]

    def unload_skill(self, name: str) -> None:
        """Let a skill answer no more, until it is loaded again; raises as `Roster.without`."""
        with self._roster_lock:
            self.roster = self.roster.without(name)

    def source(self, skill: str) -> Source:
        """The knowledge source of a skill, opened when it is first needed."""
        with self._lock:
            lock = self._source_locks.setdefault(skill, threading.Lock())
        with lock:  # the turns of other skills go on meanwhile
            if skill not in self._sources:
                spec = self.specs[skill]
                with kept_to(f"skill {skill!r}", KnowledgeError):
                    compares = source_class(spec.knowledge.source).needs_encoder
                    similarity = self.manager.sentences if compares and self.manager else None
                    self._sources[skill] = open_source(Opening(spec, self.home, similarity, self.demo, self.place))
            return self._sources[skill]

    def _responder(self, roster: Roster) -> Responder:
        """What answers by the skills of a roster."""
        return Responder(
            self.backbone,
            roster.bank,
            ranker=self._ranker,
            heads=roster.heads,
            weights=roster.weights,
            guard=self.guard,
            scheduler=self.scheduler,
        )

    def reopen(self) -> None:
        """Have every source opened anew when it is next needed: the user's files have changed."""
        with self._lock:
            self._sources.clear()

    def _ranker(self) -> Relevance | None:
        """What chooses among drafts, where there is one."""
        return self.manager.ranker if self.manager else None


def _drained(stream: Generator[str, None, Reply]) -> Reply:
    """What a stream returns."""
    while True:
        try:
            next(stream)
        except StopIteration as end:
            reply: Reply = end.value
            return reply


def _sound(made: T | Exception) -> T:
    """What was made; raises what is an error."""
    if isinstance(made, Exception):
        raise made
    return made


def _without_beats(stream: Generator[str, None, Reply]) -> Generator[str, None, Reply]:
    with contextlib.closing(stream):
        while True:
            try:
                piece = next(stream)
            except StopIteration as end:
                reply: Reply = end.value
                return reply
            if piece:
                yield piece


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.seconds = dict[str, float]()

    def note(self, stage: str) -> None:
        """The stage has ended."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


def _reply(turn: Turn, answer: Answer) -> Reply:
    """Stage 7."""
    timings = turn.timings | answer.timings
    total = sum(seconds for stage, seconds in timings.items() if stage != "first_token")
    choice = turn.choice
    prepared = turn.prepared if isinstance(turn.prepared, Prepared) else None
    return Reply(
        text=answer.text,
        skill=choice.skill,
        scores=choice.scores,
        routed_by=choice.routed_by,
        reason=choice.reason,
        care=choice.care,
        facts=prepared.facts if prepared else (),
        drafts=answer.drafts,
        dropped=prepared.prompt.dropped if prepared else (),
        warnings=(*turn.warnings, *answer.warnings),
        timings={**timings, "total": total},
        history=turn.history.add_bot(answer.text, choice.skill),
        seed=prepared.request.seed if prepared else None,
        prompt_tokens=len(prepared.prompt.ids) if prepared else 0,
        cached_tokens=prepared.request.reading.cached if prepared else 0,
    )
