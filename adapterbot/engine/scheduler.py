"""5 · One thread for the model, and all requests through it: they are read and grow together, whoever asked.

At each step some tokens of the prompts that wait are read, the oldest first, and every draft gets a token (continuous
batching: Yu et al. 2022, Orca; chunked prefill: Agrawal et al. 2023, SARATHI). Requests of any skills, lengths and
settings join and leave between two steps; none changes what another is answered (docs/structure.md).
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Generator, Sequence

import torch

from adapterbot.engine.batch import Batch, Job
from adapterbot.engine.prefill import Prefill
from adapterbot.engine.prefix_cache import PrefixCache
from adapterbot.engine.request import LATE, Request, Sample
from adapterbot.errors import AdapterbotError, BusyError, LateError
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.backbone import Backbone

LINE = 1024  # requests that wait
ROWS = 64  # drafts that grow at the same time
MEMORY = 2**30  # bytes of their keys and values; a single request may have more
READ = 128  # tokens of prompts at a step: for so long those that grow wait
ALONE = 512  # where nobody does


class Scheduler:
    """Answers requests by one backbone. Safe to use from several threads; its own lives as long as there is work."""

    def __init__(self, backbone: Backbone, prefixes: PrefixCache | None = None, *, line: int = LINE) -> None:
        self.backbone = backbone
        self.prefixes = prefixes or PrefixCache()
        self.line = line
        self._lock = threading.Lock()  # over what follows
        self._waiting: deque[Job] = deque()
        self._thread: threading.Thread | None = None
        self._reading: deque[Job] = deque()  # of the thread alone from here on
        self._batches: list[Batch] = []  # one for each bank, and for those that failed together

    def stream(self, bank: AdapterBank, request: Request) -> Generator[list[Sample], None, None]:
        """The drafts of a request after every token. Closing it stops the work.

        Raises:
            BusyError: too many wait already. LateError: its deadline has passed.
            AdapterError: its adapter cannot be read. ReplyError: it could not be computed.
        """
        job = self._submit(bank, request, watched=True)
        try:
            while (samples := job.next()) is not None:
                yield samples
        finally:
            job.cancelled = True

    def grow(self, bank: AdapterBank, requests: Sequence[Request]) -> list[list[Sample]]:
        """All drafts of all requests, in order, grown to their ends; raises as `stream`."""
        grown = list[list[Sample]]()
        for samples in self.attempts(bank, requests):
            if isinstance(samples, Exception):
                raise samples
            grown.append(samples)
        return grown

    def attempts(self, bank: AdapterBank, requests: Sequence[Request]) -> list[list[Sample] | Exception]:
        """`grow`, with its error in place of the drafts of a request that could not be answered."""
        jobs = list[Job]()
        made = list[list[Sample] | Exception]()
        try:
            for i, request in enumerate(requests):
                if i >= ROWS:  # as many of one's own at a time as grow together: the line is for everyone
                    made.append(_end(jobs[i - ROWS]))
                jobs.append(self._submit(bank, request))
            made += [_end(job) for job in jobs[len(made) :]]
        finally:
            for job in jobs:
                job.cancelled = True
        return made

    def _submit(self, bank: AdapterBank, request: Request, watched: bool = False) -> Job:
        job = Job(self.backbone, bank, request, watched)
        try:
            job.adapters = bank.hold(request.adapter)  # here: the model's thread waits for no disk
        except AdapterbotError as error:
            job.fail(error)
            return job
        with self._lock:
            if len(self._waiting) >= self.line:
                raise BusyError(f"{len(self._waiting)} replies are waited for already; try again shortly")
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="adapterbot model")
                thread.start()
                self._thread = thread
            self._waiting.append(job)
        return job

    @torch.inference_mode()
    def _work(self) -> None:
        """In the thread: step by step, until nobody waits."""
        try:
            while self._step():
                pass
        except BaseException as error:  # a fault of ours: nobody may wait for ever
            with self._lock:
                jobs = [*self._waiting, *self._reading, *(job for batch in self._batches for job in batch.jobs)]
                self._waiting.clear()
                self._reading.clear()
                self._batches.clear()
                self._thread = None
            for job in jobs:
                job.fail(error)

    def _step(self) -> bool:
        """Whether there was anything to do."""
        if not self._admit():
            return False
        self._read()
        for batch in list(self._batches):
            self._grow(batch)
        return True

    def _admit(self) -> bool:
        """Let those in who waited longest, as many as fit, and drop who is not waited for any more; False: nobody."""
        ends = not threading.main_thread().is_alive()  # the program: nobody waits any more
        now = math.inf if ends else time.monotonic()
        for batch in self._batches:
            batch.remove([job for job in batch.jobs if self._is_off(job, now)])
        self._batches = [batch for batch in self._batches if len(batch)]
        self._reading = deque(job for job in self._reading if not self._is_off(job, now))
        with self._lock:
            self._waiting = deque(job for job in self._waiting if not self._is_off(job, now))
            while self._waiting and self._fits(self._waiting[0]):
                self._reading.append(self._waiting.popleft())
            if self._reading or self._batches:
                return True
            self._thread = None
            return False

    def _is_off(self, job: Job, now: float) -> bool:
        if not job.cancelled and now >= job.request.deadline.at:
            job.cancelled = True
            job.fail(LateError(LATE))
        return job.cancelled

    def _fits(self, job: Job) -> bool:
        """Whether there is room for the drafts of one request more; for a single one there always is."""
        jobs = [job, *self._reading, *(other for batch in self._batches for other in batch.jobs)]
        rows = sum(len(job.samples) for job in jobs)
        longest = max(len(job.request.ids) + job.room for job in jobs)
        shape = self.backbone.shape
        token = 2 * shape.layers * shape.kv_heads * shape.head_width * self.backbone.dtype.itemsize
        return len(jobs) == 1 or (rows <= ROWS and rows * longest * token <= MEMORY)

    def _read(self) -> None:
        """Read some tokens of the prompts; who has read all of its own joins those that grow."""
        left = READ if self._batches else ALONE
        while self._reading and left > 0:
            job = self._reading[0]
            try:
                if job.prefill is None:
                    job.prefill = Prefill(self.backbone, job.bank, job.request, self.prefixes)
                    job.request.reading.cached = job.prefill.found
                left -= job.prefill.read(left)
                if job.prefill.logits is not None:
                    batch = next((b for b in self._batches if b.bank is job.bank), Batch(self.backbone, job.bank))
                    batch.join(job, job.prefill.cache, job.prefill.logits)
                    job.prefill = None
                    self._reading.popleft()
                    if batch not in self._batches:
                        self._batches.append(batch)
            except Exception as error:
                self._reading.popleft()
                job.fail(error)

    def _grow(self, batch: Batch) -> None:
        """A token more for all; where that fails, each of them goes on by itself, so that only one is lost."""
        try:
            batch.step()
        except Exception as error:
            self._batches.remove(batch)
            jobs = batch.jobs
            if len(jobs) == 1:
                jobs[0].fail(error)
                return
            for job in jobs:
                try:
                    self._batches.append(batch.alone(job))
                except Exception as other:
                    job.fail(other)


def _end(job: Job) -> list[Sample] | Exception:
    """Wait for the drafts of a request, or for what ended it."""
    try:
        job.next()
    except Exception as error:
        return error
    return job.samples
