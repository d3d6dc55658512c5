"""Work on the next items in other processes while this one uses the present item.

A GPU learns a packed pass in the time that one processor core needs to write it down several times over: with a few
cores more it need not wait.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess


class Prefetcher:
    """`work(n)` for n = 0 ... `last`, each in a process of its own, at most `workers` at a time ahead of the user.

    The processes are forks, so that they share what `work` holds; where there is no fork, or `workers` is 0, nothing
    is done ahead. `work` has to leave its result in a file, by rename: whoever finds no file does the work itself.
    """

    def __init__(self, work: Callable[[int], object], workers: int) -> None:
        self._work = work
        self._workers = workers if sys.platform == "linux" else 0
        self._running: dict[int, BaseProcess] = {}

    def need(self, number: int, last: int) -> None:
        """Wait until the work on `number`, if it has begun, has ended; begin with those after it."""
        if number in self._running:
            self._running.pop(number).join()
        for later in range(number + 1, min(number + self._workers, last) + 1):
            if later not in self._running:
                process = multiprocessing.get_context("fork").Process(target=self._work, args=(later,), daemon=True)
                process.start()
                self._running[later] = process

    def stop(self) -> None:
        """End what is still running."""
        for process in self._running.values():
            process.terminate()
            process.join()
        self._running.clear()


def spare_cores() -> int:
    """Processor cores beside the one that this process runs on."""
    return len(os.sched_getaffinity(0)) - 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) - 1
