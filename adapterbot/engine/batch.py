"""5 · Drafts that grow side by side, one token each at a step: requests join and leave between the steps.

B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue

import torch
from torch import Tensor

from adapterbot.engine.prefill import Prefill
from adapterbot.engine.request import Request, Sample, agreement, drop_stragglers, samples_of
from adapterbot.engine.sampling import next_tokens
from adapterbot.errors import AdapterbotError, ReplyError
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile
from adapterbot.network.architectures.cache import Cache
from adapterbot.network.backbone import Backbone

NO_NUMBERS = "the model gave no numbers for this reply; is its adapter damaged? `adapterbot skills --check` looks"
NO_MEMORY = "there is not enough memory for this reply: ask for fewer drafts, or after a shorter history"


class Job:
    """A request on its way through the engine. Whoever asked reads what comes, or the error that ended it."""

    def __init__(self, backbone: Backbone, bank: AdapterBank, request: Request, watched: bool = False) -> None:
        """`watched`: what is there after every token is told, not the end alone."""
        self.bank = bank
        self.request = request
        self.adapters: tuple[AdapterFile, ...] = ()  # which stay as they are to its end
        self.samples = samples_of(backbone, request)
        self.prefill: Prefill | None = None
        self.cancelled = False
        self._watched = watched
        self._told: list[Sample] = []
        self._steps = 0
        self._events: SimpleQueue[list[Sample] | BaseException | None] = SimpleQueue()

    @property
    def room(self) -> int:
        """Tokens that a draft may have."""
        return max(draft.limit for draft in self.samples)

    @property
    def over(self) -> bool:
        """Whether nothing more will be added to any draft."""
        return all(draft.done for draft in self.samples)

    @property
    def undecided(self) -> bool:
        """Whether its drafts may still go on from one beginning, those as well that have ended."""
        return self._steps < self.request.agree and not self.over

    def next(self) -> list[Sample] | None:
        """Wait for what comes next; None: nothing more. Raises what ended it."""
        event = self._events.get()
        if isinstance(event, BaseException):
            raise event
        return event

    def step(self) -> int | None:
        """Each draft has a token more. Returns the draft from whose beginning all go on now, if they do so now.

        Raises:
            Exception: whatever `Request.prefer` raises.
        """
        self._steps += 1
        leader = agreement(self.samples) if self._steps == self.request.agree else None
        if leader is not None:
            for draft in self.samples:
                draft.go_on_from(self.samples[leader])
                draft.agreed = self._steps
        drop_stragglers(self.samples)
        return leader

    def tell(self) -> None:
        """Hand over what is there: a copy, as the drafts grow on. Of several, nothing new is there but when they agree
        and at the end."""
        if self._watched:
            if self.over:
                self._told = self.samples
            elif len(self.samples) == 1 or not self._told or self._steps == self.request.agree:
                self._told = [replace(draft, ids=[*draft.ids]) for draft in self.samples]
            self._events.put(self._told)
        if self.over:
            self._events.put(None)

    def fail(self, error: BaseException) -> None:
        """End it with an error."""
        self.cancelled = True
        self._events.put(_plain(error))


@dataclass(slots=True)
class Row:
    """A draft in the batch, and its newest token, which is not in the cache yet."""

    job: Job
    draft: Sample
    token: int = 0


class Batch:
    """The drafts of the requests to one bank of adapters, and their keys and values."""

    def __init__(self, backbone: Backbone, bank: AdapterBank) -> None:
        self.bank = bank
        self._backbone = backbone
        self._cache = Cache(backbone.shape, 0, 0, device=backbone.device, dtype=backbone.dtype)
        self._rows: list[Row] = []  # B, in the order of the cache
        self._names: list[str | None] = []
        self._adapters = bank.select([])

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def jobs(self) -> list[Job]:
        """Its requests, in no order that matters."""
        return list(dict.fromkeys(row.job for row in self._rows))

    def join(self, job: Job, prompt: Cache, logits: Tensor) -> None:
        """Take a request in whose prompt has been read, and draw the first token of each draft from logits [1, V]."""
        self._cache.add(prompt, copies=len(job.samples), room=job.room)
        rows = [Row(job, draft) for draft in job.samples]
        self._rows += rows
        self._draw(rows, logits.expand(len(rows), -1))

    def step(self) -> None:
        """One token more for every row.

        Raises:
            Exception: what the forward pass raises; all is as it was before.
        """
        names = [row.job.request.adapter for row in self._rows]
        if names != self._names:
            self._names, self._adapters = names, self.bank.select(names)
        decoder, lengths = self._backbone.decoder, self._cache.lengths
        try:
            tokens = torch.tensor([row.token for row in self._rows], device=self._backbone.device)
            hidden = decoder(tokens[:, None], self._adapters, self._cache)
            logits = decoder.logits(hidden[:, -1]).float().cpu()
        except Exception:
            self._cache.lengths = lengths
            raise
        self._draw(self._rows, logits)

    def remove(self, jobs: Collection[Job], clean: bool = False) -> None:
        """Let the rows of these requests go; `clean` as `Cache.remove`."""
        self._keep([row.job not in jobs for row in self._rows], clean)

    def alone(self, job: Job) -> Batch:
        """A request of this batch in a batch of its own; this one stays as it is."""
        other = Batch(self._backbone, self.bank)
        for i, row in enumerate(self._rows):
            if row.job is job:
                other._cache.add(self._cache, i, room=job.room)
                other._rows.append(row)
        return other

    def _draw(self, rows: Sequence[Row], logits: Tensor) -> None:
        """Draw a token for each of these rows from logits [len(rows), V]; whose reply has ended leaves."""
        sound = logits.sum(-1).isfinite().tolist()
        tokens = next_tokens(logits, [row.draft for row in rows], self._backbone.tokenizer.separator).tolist()
        for row, token in zip(rows, tokens, strict=True):
            row.token = token
        broken = {row.job for row, fine in zip(rows, sound, strict=True) if not fine}
        failed = list[Job]()
        for job in dict.fromkeys(row.job for row in rows):
            try:
                if job in broken:
                    raise ReplyError(NO_NUMBERS)
                self._follow(job, job.step())
                job.tell()
            except Exception as error:
                failed.append(job)
                job.fail(error)
        self.remove(failed, clean=True)
        self._keep([row.job.undecided or not row.draft.done for row in self._rows])

    def _follow(self, job: Job, leader: int | None) -> None:
        """Have all rows of a request go on from that of one draft."""
        if leader is not None:
            mine = [i for i, row in enumerate(self._rows) if row.job is job]
            first = next(i for i in mine if self._rows[i].draft is job.samples[leader])
            self._cache.copy(first, [i for i in mine if i != first])
            for i in mine:
                self._rows[i].token = self._rows[first].token

    def _keep(self, kept: Sequence[bool], clean: bool = False) -> None:
        """Let all other rows go; the last one takes the place of each."""
        for i in reversed(range(len(kept))):
            if not kept[i]:
                self._cache.remove(i, clean)
                last = self._rows.pop()
                if i < len(self._rows):
                    self._rows[i] = last


def _plain(error: BaseException) -> BaseException:
    """The error as whoever asked should see it."""
    memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)
    if memory and not isinstance(error, AdapterbotError):
        return ReplyError(NO_MEMORY)
    return error
