"""Memory with many skills beside the backbone alone, each in a process of its own: `python -m ... COUNT`."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from adapterbot.cli.bench import work
from adapterbot.cli.bench.results import Row
from adapterbot.cli.bench.setting import Setting, alternate
from adapterbot.evaluation import speed
from adapterbot.network.backbone import load_backbone

PAGES = Path("/proc/self/statm")  # of Linux: what is taken now; elsewhere the peak is all that is told
MB = 1e6


def measures(setting: Setting) -> Iterator[Row]:
    """Megabytes of a process that has answered by one of its skills, and of one that has the backbone alone."""
    count = setting.sizes.loaded
    there = f"backbone alone, and {count} adapters' bytes"
    contenders: dict[str, Callable[[int], float]] = {
        f"{count} skills": lambda n: taken(setting, n)[0],
        there: lambda n: taken(setting, 0)[0] + adapter_bytes(setting, n),
    }
    repeats = min(2, setting.sizes.repeats)
    found = alternate(setting, "memory", contenders, count, repeats=repeats, warm=0)
    yield found.row("memory", f"{count} skills loaded, one has answered", "MB", *contenders, at_most=1.05)


def adapter_bytes(setting: Setting, count: int) -> float:
    """Megabytes of the weights of so many skills, as they are kept."""
    return work.bank_of(setting.backbone, 1).nbytes * count / MB


def taken(setting: Setting, count: int) -> tuple[float, float]:
    """Megabytes of a new process with so many skills, and of their weights as it tells them."""
    environment = os.environ | {"ADAPTERBOT_HOME": str(setting.home.root), "OMP_NUM_THREADS": str(setting.few)}
    command = [sys.executable, "-m", __name__, str(count)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["taken"] / MB, found["adapters"] / MB


def _now() -> int:
    """Bytes of memory that this process has."""
    import resource  # of POSIX alone

    if PAGES.is_file():
        return int(PAGES.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(count: int) -> None:
    """Load so many skills, answer once, and print what it takes."""
    bank = work.bank_of(load_backbone(), count)
    speed.decode_rate(bank, work.mixed(min(count, 1), 1), 8, 4)
    gc.collect()
    print(json.dumps({"taken": _now(), "adapters": bank.nbytes, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
