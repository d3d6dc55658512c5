"""What is computed on: a GPU where there is one, else the processor, and how many of its cores."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from adapterbot.errors import MissingPartError


def mixed_precision() -> AbstractContextManager[object]:
    """bf16 matrix products where the GPU or the processor has them in hardware (about twice as fast), else float32."""
    return torch.autocast(fastest(), torch.bfloat16, enabled=has_bf16())


def training_type() -> torch.dtype:
    """The type of frozen weights that a training is fastest with: bf16 where it is in hardware, else float32."""
    return torch.bfloat16 if has_bf16() else torch.float32


def has_bf16() -> bool:
    """Whether the GPU, or the processor where there is none, has bf16 in hardware."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@runtime_checkable
class Movable(Protocol):
    """A module, or anything else that can be moved in place."""

    def to(self, device: str, /) -> object: ...


def fastest() -> str:
    """The device that a training runs on."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def on_fastest(*parts: object) -> Iterator[None]:
    """The parts on a GPU while the block runs, where there is one, and on the processor again afterwards.

    A part that cannot be moved stays where it is.
    """
    movable = [part for part in parts if isinstance(part, Movable)]
    try:
        for part in movable:
            part.to(fastest())
        yield
    finally:
        for part in movable:
            part.to("cpu")


def accelerator_here() -> Any:
    """This process's part of a training: bf16 on a GPU and on processors that have it, else float32.

    Raises:
        MissingPartError: accelerate is not installed.
    """
    try:
        import accelerate
    except ImportError:
        raise MissingPartError("pretraining needs accelerate: pip install 'adapterbot[train]'") from None
    return accelerate.Accelerator(mixed_precision="bf16" if has_bf16() else "no", cpu=not torch.cuda.is_available())


THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_THREAD_LIMIT")  # by which a user says how many


def limit_threads(
    wanted: int | None = None, *, cores: int | None = None, environment: Mapping[str, str] = os.environ
) -> int:
    """Let torch use no more threads than `free_cores`; returns how many it uses now.

    Threads without a core of their own wait for one another at every operation: beside other jobs a reply took fifty
    times as long. Never more threads than before, and what the user has chosen stays: an environment variable, or more
    threads than torch would take by itself. `wanted` overrides all of it.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    now = torch.get_num_threads()
    if wanted is None and (now > usable or any(environment.get(name) for name in THREADS)):
        return now
    threads = max(1, wanted if wanted is not None else min(now, free_cores() if cores is None else cores))
    if threads != now:
        torch.set_num_threads(threads)
    return threads


def free_cores(
    affinity: Collection[int] | None = None,
    *,
    topology: Path = Path("/sys/devices/system/cpu"),
    cgroups: Path = Path("/sys/fs/cgroup"),
    membership: Path = Path("/proc/self/cgroup"),
) -> int:
    """How many physical cores this process may use: of its affinity mask, and of the quota of its control group.

    The hyper-threads of a core count once, where the kernel tells which they are.
    """
    if affinity is None:
        many = hasattr(os, "sched_getaffinity")
        affinity = os.sched_getaffinity(0) if many else range(os.cpu_count() or 1)
    cores = {_core(cpu, topology) for cpu in affinity}
    return max(1, math.floor(min(len(cores), _quota(cgroups, membership))))


def _core(cpu: int, topology: Path) -> str:
    """The hyper-threads that share a core with `cpu`, as the kernel lists them; `cpu` alone where it does not."""
    for name in ("core_cpus_list", "thread_siblings_list"):
        if listed := _read(topology / f"cpu{cpu}" / "topology" / name):
            return listed
    return str(cpu)


def _quota(cgroups: Path, membership: Path) -> float:
    """Processors that the control groups of this process grant at once, by version 2 or 1; infinite where none does."""
    quotas = [math.inf]
    for line in _read(membership).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups if not controllers else cgroups / "cpu"
        place = root / group.lstrip("/")
        # In a container the group's own path is often not there: its limits then lie at the root.
        for folder in {root, *(p for p in (place, *place.parents) if p.is_relative_to(root))}:
            quotas.append(_granted(folder))
    return min(quotas)


def _granted(folder: Path) -> float:
    """Quota over period of one control group."""
    quota, _, period = _read(folder / "cpu.max").partition(" ")  # version 2: "max 100000" or "150000 100000"
    if not quota:
        # version 1; -1: none
        quota = _read(folder / "cpu.cfs_quota_us")
        period = _read(folder / "cpu.cfs_period_us")
    try:
        granted = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return math.inf
    return granted if granted > 0 else math.inf


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
