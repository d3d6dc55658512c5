"""How large an adapter of each type may be: the size that takes a given share of the backbone's parameters."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from functools import cache

from torch._subclasses.fake_tensor import FakeTensorMode

from adapterbot.errors import AdapterError, SettingError, shorten
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.architectures.shape import Shape
from adapterbot.spec.tables import AdapterTable

# Type -> the setting that grows with the budget; what is not here has one size.
SIZES = {
    "residual": "bottleneck",
    "houlsby": "bottleneck",
    "pfeiffer": "bottleneck",
    "parallel": "bottleneck",
    "lora": "rank",
    "prefix": "length",
    "mam": "bottleneck",
    "pals": "bottleneck",
    "k_adapter": "bottleneck",
}
IN_HEADS = ("pals", "k_adapter")  # whose bottleneck is split into heads
PREFIX_SHARE = 0.25  # of what a MAM adapter has: He et al. 2022, section 4.6, keep the prefix short
PREFIX_LENGTH = 30  # at most, as there
TOLERANCE = 0.2  # of the budget: a size that is farther away is none of it


@dataclass(frozen=True, slots=True)
class Sizing:
    """An adapter of a type as large as a budget allows; `budget` and `share` are parts of the backbone's parameters.

    `budget` is None for a type that has one size.
    """

    budget: float | None
    table: AdapterTable
    parameters: int
    share: float


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A budget that a type cannot have, and why."""

    type: str
    budget: float
    why: str

    @property
    def told(self) -> str:
        """For people."""
        return f"{self.type} cannot have {percent(self.budget)} of the backbone's parameters: {self.why}"


def percent(share: float) -> str:
    """A share as it is written: 0.005 as 0.5%."""
    return f"{100 * share:.6g}%"


def share_of(text: str) -> float:
    """The share that a text such as "0.5%" names: 0.005.

    Raises:
        SettingError: it is none; the message says how one is written.
    """
    number = text.strip().removesuffix("%").strip()
    try:
        value = float(number)
    except ValueError:
        raise SettingError(f"budget {shorten(text)!r} is no share: write one as 0.5%, several as 0.5%,1%,3%") from None
    if not text.strip().endswith("%"):
        raise SettingError(f"budget {shorten(text)!r} has no %: did you mean {value:g}% of the backbone's parameters?")
    if not 0 < value <= 100:
        raise SettingError(f"budget {shorten(text)!r} is no share of the backbone: above 0% and at most 100%")
    return value / 100


def sized(type: str, budget: float, shape: Shape, parameters: int) -> Sizing | Unreachable:
    """The adapter of a type whose size comes nearest to a budget, on a backbone of so many parameters.

    Raises:
        AdapterError: the backbone cannot have this type.
    """
    if type not in SIZES:
        only = AdapterTable(type=type)
        count = count_of(only, shape)
        return Sizing(None, only, count, count / parameters)
    wanted = budget * parameters
    name = SIZES[type]
    step = AdapterTable().heads if type in IN_HEADS else 1
    base = _base(type, wanted, shape)
    largest = min(_largest(name), shape.positions if name == "length" else _largest(name)) // step

    def table(size: int) -> AdapterTable:
        return base.model_copy(update={name: size * step})

    above = bisect.bisect_left(range(1, largest + 1), wanted, key=lambda size: count_of(table(size), shape)) + 1
    near = [table(size) for size in (above - 1, above) if 1 <= size <= largest]
    best = min(near, key=lambda one: abs(count_of(one, shape) - wanted))
    count = count_of(best, shape)
    if abs(count - wanted) > TOLERANCE * wanted:
        end = {step: "smallest", largest * step: "largest"}.get(getattr(best, name), "nearest")
        return Unreachable(type, budget, f"its {end} is {best.told}: {count:,} parameters, {count / parameters:.3%}")
    return Sizing(budget, best, count, count / parameters)


@cache
def count_of(table: AdapterTable, shape: Shape) -> int:
    """How many parameters an adapter of this table has in its file; nothing is drawn for it.

    Raises:
        AdapterError: the backbone cannot have it; the message begins with the type.
    """
    try:
        with FakeTensorMode():
            return Adapter(shape, table).parameter_count
    except AdapterError as error:
        raise AdapterError(f"{table.type} on this backbone: {error}") from None


def _base(type: str, wanted: float, shape: Shape) -> AdapterTable:
    """What of a type's table does not grow with the budget."""
    if type != "mam":
        return AdapterTable(type=type)
    token = count_of(AdapterTable(type="prefix", length=1), shape)
    length = min(PREFIX_LENGTH, shape.positions, int(PREFIX_SHARE * wanted / token))
    return AdapterTable(type=type, length=max(1, length))


def _largest(name: str) -> int:
    """The highest value that skill.toml allows for a setting."""
    return next(int(rule.le) for rule in AdapterTable.model_fields[name].metadata if hasattr(rule, "le"))
