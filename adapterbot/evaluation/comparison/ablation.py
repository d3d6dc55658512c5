"""How good a trained adapter is without some of its layers, as in Houlsby et al. 2019, figure 6: nothing is trained
again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from adapterbot.network.adapters import BatchAdapters
from adapterbot.network.architectures import Prefix
from adapterbot.network.architectures.cache import Layout
from adapterbot.training.objective import Objective

BANDS = 10  # of layers, which are taken out together where there are more
TOKENS = 2000  # of replies, about, that each span is scored on
UNFIT = ("k_adapter",)  # types whose layers read one another


class Ablated(BatchAdapters):
    """Adapters without those of the layers `out`, which are the backbone's alone."""

    def __init__(self, adapters: BatchAdapters, out: range) -> None:
        super().__init__(adapters.parts, adapters.replies_only)
        self.out = out

    def after_attention(self, layer: int, x: Tensor) -> Tensor:
        """See `AdapterKind`."""
        return x if layer in self.out else super().after_attention(layer, x)

    def after_mlp(self, layer: int, x: Tensor) -> Tensor:
        """See `AdapterKind`."""
        return x if layer in self.out else super().after_mlp(layer, x)

    def beside_mlp(self, layer: int, x: Tensor) -> Tensor | float:
        """See `AdapterKind`."""
        return 0.0 if layer in self.out else super().beside_mlp(layer, x)

    def after_block(self, layer: int, x: Tensor) -> Tensor:
        """See `AdapterKind`."""
        return x if layer in self.out else super().after_block(layer, x)

    def around_block(self, layer: int, before: Tensor, x: Tensor, layout: Layout) -> Tensor:
        """See `AdapterKind`."""
        return x if layer in self.out else super().around_block(layer, before, x, layout)

    def delta(self, linear: str, layer: int, x: Tensor) -> Tensor | float:
        """See `AdapterKind`."""
        return 0.0 if layer in self.out else super().delta(linear, layer, x)

    def prefix(self, layer: int) -> Prefix | None:
        """See `AdapterKind`."""
        return None if layer in self.out else super().prefix(layer)


@dataclass(frozen=True, slots=True)
class Span:
    """Bits per byte without the adapters of layers `first` to `last`, both counted."""

    first: int
    last: int
    bits_per_byte: float


@dataclass(frozen=True, slots=True)
class Ablation:
    """All spans of the bands of layers of one adapter, and what is to be compared with on the same replies."""

    whole: float  # bits per byte with all of the adapter
    bare: float  # and of the backbone alone
    spans: tuple[Span, ...]


def ablate(objective: Objective, layers: int, advance: Callable[[int, int], None] = lambda *_: None) -> Ablation:
    """Take each span of layers out of a trained adapter; `advance` is told how many are done, and of how many."""
    trees = objective.valid[:: max(1, sum(len(tree.labels) for tree in objective.valid) // TOKENS)]
    bands = bands_of(layers)
    pairs = [(first, last) for i, first in enumerate(bands) for last in bands[i:]]
    spans = []
    for done, (first, last) in enumerate(pairs):
        without = Ablated(objective.adapters, range(first.start, last.stop))
        spans.append(Span(first.start, last.stop - 1, objective.score(without, trees).bits_per_byte))
        advance(done + 1, len(pairs))
    whole, bare = (objective.score(adapters, trees).bits_per_byte for adapters in (objective.adapters, None))
    return Ablation(whole, bare, tuple(spans))


def bands_of(layers: int, most: int = BANDS) -> Sequence[range]:
    """The layers 0 to `layers` - 1 in at most so many bands of as nearly the same size as may be."""
    count = min(layers, most)
    ends = [round(i * layers / count) for i in range(count + 1)]
    return [range(start, end) for start, end in pairwise(ends)]
