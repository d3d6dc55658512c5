"""How many cores torch takes: those that the kernel and the control groups leave to us, each once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from adapterbot.network.device import free_cores, limit_threads


class Machine:
    """A machine of four cores with two hyper-threads each, in files as the kernel shows them."""

    def __init__(self, folder: Path) -> None:
        self.topology = folder / "cpu"
        self.cgroups = folder / "cgroup"
        self.membership = folder / "self"
        self.write("self", "0::/user/bot\n")
        for cpu in range(8):
            self.write(f"cpu/cpu{cpu}/topology/thread_siblings_list", f"{cpu % 4},{cpu % 4 + 4}\n")

    def write(self, name: str, text: str) -> None:
        path = self.topology.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def cores(self, *affinity: int) -> int:
        places = {"topology": self.topology, "cgroups": self.cgroups, "membership": self.membership}
        return free_cores(affinity or range(8), **places)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_hyper_threads_count_once(machine: Machine) -> None:
    assert machine.cores() == 4
    assert machine.cores(0, 4) == 1
    assert machine.cores(0, 1, 2) == 3
    for cpu in range(8):
        machine.write(f"cpu/cpu{cpu}/topology/core_cpus_list", f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}\n")
    assert machine.cores(0, 1) == 1, "the newer name of the same list comes first"


def test_without_a_topology_every_cpu_counts(machine: Machine, tmp_path: Path) -> None:
    machine.topology = tmp_path / "nowhere"
    assert machine.cores() == 8
    assert machine.cores(3) == 1


@pytest.mark.parametrize(
    ("where", "quota", "wanted"),
    [
        ("user/bot", "200000 100000", 2),
        ("user", "100000 100000", 1),
        ("", "300000 100000", 3),
        ("user/bot", "50000 100000", 1),
        ("user/bot", "250000 100000", 2),
        ("user/bot", "max 100000", 4),
        ("user/bot", "9900000 100000", 4),
        ("user/bot", "nonsense", 4),
        ("elsewhere", "100000 100000", 4),
    ],
)
def test_the_quota_of_a_group_or_of_one_above_it_counts(machine: Machine, where: str, quota: str, wanted: int) -> None:
    machine.write(f"cgroup/{where}/cpu.max", quota + "\n")
    assert machine.cores() == wanted


@pytest.mark.parametrize(("quota", "wanted"), [("200000", 2), ("-1", 4), ("50000", 1)])
def test_version_1_of_control_groups(machine: Machine, quota: str, wanted: int) -> None:
    machine.write("self", "11:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n")
    machine.write("cgroup/cpu/cpu.cfs_quota_us", quota)  # a container sees its own group at the root
    machine.write("cgroup/cpu/cpu.cfs_period_us", "100000")
    machine.write("cgroup/memory/docker/x/cpu.max", "100000 100000")  # of another controller
    assert machine.cores() == wanted


def test_this_machine_has_at_least_one() -> None:
    assert free_cores() >= 1


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
def test_torch_takes_the_free_cores_and_what_the_user_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert limit_threads(cores=6, environment={}) == torch.get_num_threads() == 4, "never more than before"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        assert limit_threads(cores=2, environment={name: "4"}) == torch.get_num_threads() == 4
    assert limit_threads(cores=2, environment={}) == torch.get_num_threads() == 2
    assert limit_threads(3, cores=2, environment={"OMP_NUM_THREADS": "1"}) == torch.get_num_threads() == 3
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert limit_threads(cores=1, environment={}) == 3, "more threads than torch takes by itself are a choice"
