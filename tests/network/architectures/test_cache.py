"""Rows of their own length, on any device and of any type: with a cache as without one, alone as in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import pytest
import torch
from conftest import PLACES, Place, placed
from drafts import forked
from torch import Tensor

from adapterbot.network.architectures.cache import Cache
from adapterbot.network.backbone import Backbone

NEAR = {torch.float32: 1e-4, torch.bfloat16: 0.15}


@pytest.fixture(params=PLACES, ids=str)
def backbone(request: pytest.FixtureRequest, tiny: Backbone) -> Backbone:
    """The tiny backbone on every device and in every type that it answers in."""
    place: Place = request.param
    return placed(tiny, place)


def drawn(backbone: Backbone, *lengths: int, seed: int = 0) -> list[Tensor]:
    """Random sequences of these lengths."""
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(2, 8192, (n,), generator=draw).to(backbone.device) for n in lengths]


def cache_of(backbone: Backbone, rows: int, capacity: int) -> Cache:
    return Cache(backbone.shape, rows, capacity, device=backbone.device, dtype=backbone.dtype)


def padded(rows: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=1)


def logits(backbone: Backbone, hidden: Tensor) -> Tensor:
    return backbone.decoder.logits(hidden).float()


def alone(backbone: Backbone, row: Tensor) -> Tensor:
    """Logits of one sequence, without a cache and without padding."""
    return logits(backbone, backbone.decoder(row[None]))[0]


def near(backbone: Backbone, ours: Tensor, theirs: Tensor) -> None:
    assert theirs.std() > 0.5, "the comparison needs logits that differ"
    assert (ours - theirs).abs().max() < NEAR[backbone.dtype]


@torch.inference_mode()
@pytest.mark.parametrize("steps", [[12], [1] * 12, [5, 1, 1, 4, 1], [1, 11]])
def test_a_cache_changes_nothing(backbone: Backbone, steps: list[int]) -> None:
    rows = drawn(backbone, 12, 12)
    cache = cache_of(backbone, 2, 12)
    parts = [backbone.decoder(part, None, cache) for part in torch.stack(rows).split(steps, 1)]
    for row, hidden in zip(rows, torch.cat(parts, 1), strict=True):
        near(backbone, logits(backbone, hidden), alone(backbone, row))
    assert cache.lengths == [12, 12]


@torch.inference_mode()
@pytest.mark.parametrize("steps", [[(9, 4, 1), (1, 1, 1), (3, 3, 3)], [(2, 7, 5), (4, 1, 3), (0, 2, 1), (1, 1, 1)]])
def test_rows_of_their_own_length_are_what_they_are_alone(backbone: Backbone, steps: list[tuple[int, ...]]) -> None:
    """Padded at the right at every step; the cache is exactly as large as the longest row becomes."""
    lengths = [sum(row) for row in zip(*steps, strict=True)]
    whole = drawn(backbone, *lengths)
    cache = cache_of(backbone, 3, max(lengths))
    starts = [0, 0, 0]
    for new in steps:
        part = [row[start : start + n] for row, start, n in zip(whole, starts, new, strict=True)]
        found = logits(backbone, backbone.decoder(padded(part), None, cache, new))
        for b, row in enumerate(whole):
            wanted = alone(backbone, row[: starts[b] + new[b]])[starts[b] :] if new[b] else found[b, :0]
            if new[b]:
                near(backbone, found[b, : new[b]], wanted)
        starts = [start + n for start, n in zip(starts, new, strict=True)]
        assert cache.lengths == starts


@torch.inference_mode()
def test_rows_do_not_influence_one_another(backbone: Backbone) -> None:
    """Bit for bit: whatever another row of the same length holds, and whatever the padding holds."""
    first, second, third = drawn(backbone, 6, 4, 4)

    def last(other: Tensor, fill: int) -> Tensor:
        ids = torch.nn.utils.rnn.pad_sequence([first, other], batch_first=True, padding_value=fill)
        cache = cache_of(backbone, 2, 8)
        hidden = [backbone.decoder(ids, None, cache, [6, 4])[0, 5]]
        for token in (7, 8):
            more = torch.tensor([[token], [fill]], device=backbone.device)
            hidden.append(backbone.decoder(more, None, cache)[0, 0])
        return torch.stack(hidden)

    assert torch.equal(last(second, 1), last(third, 500))


@torch.inference_mode()
def test_forks_share_a_prefix_and_go_on_independently(backbone: Backbone) -> None:
    prompts = drawn(backbone, 3, 5)
    cache = cache_of(backbone, 2, 5)
    backbone.decoder(padded(prompts), None, cache, [3, 5])
    before = cache.kv.clone()
    owners = [1, 0, 1, 1]
    fork = forked(cache, owners, room=2)
    more = drawn(backbone, 2, 2, 2, 2, seed=1)
    found = logits(
        backbone, torch.cat([backbone.decoder(part, None, fork) for part in torch.stack(more).split(1, 1)], 1)
    )
    for b, owner in enumerate(owners):
        near(backbone, found[b], alone(backbone, torch.cat([prompts[owner], more[b]]))[-2:])
    assert fork.lengths == [7, 5, 7, 7]
    assert cache.lengths == [3, 5]
    assert torch.equal(cache.kv, before), "the prompts' cache stays as it is"
    again = forked(cache, [0], room=2)  # and can be gone on from once more
    near(backbone, logits(backbone, backbone.decoder(more[1][None], None, again))[0], found[1])


def test_rows_are_put_in_place_of_others(backbone: Backbone) -> None:
    prompts = drawn(backbone, 4, 3, 5)
    cache = cache_of(backbone, 3, 8)
    with torch.inference_mode():
        backbone.decoder(padded(prompts), None, cache, [4, 3, 5])
        fork = forked(cache, [2, 0, 2], room=3)
        cache.copy(0, [1])
        cache.copy(2, [0])
        assert cache.lengths == fork.lengths == [5, 4, 5]
        more = torch.stack(drawn(backbone, 2, 2, 2, seed=1))
        near(backbone, backbone.decoder(more, None, cache), backbone.decoder(more, None, fork))


@torch.inference_mode()
def test_rows_come_and_go(backbone: Backbone) -> None:
    """The last row takes the place of one that goes, and of what was no number nothing is left."""
    prompts = drawn(backbone, 4, 3, 70)
    cache = cache_of(backbone, 0, 0)
    for prompt in prompts:
        one = cache_of(backbone, 1, len(prompt))
        backbone.decoder(prompt[None], None, one)
        cache.add(one, room=2)
    assert cache.lengths == [4, 3, 70]
    cache.memory[:, :, 0] = torch.nan
    cache.remove(0, clean=True)
    assert cache.lengths == [70, 3]
    assert bool(cache.memory.isfinite().all())
    more = torch.stack(drawn(backbone, 2, 2, seed=1))
    found = logits(backbone, backbone.decoder(more, None, cache))
    near(backbone, found[0], alone(backbone, torch.cat([prompts[2], more[0]]))[-2:])
    near(backbone, found[1], alone(backbone, torch.cat([prompts[1], more[1]]))[-2:])
    cache.remove(1)
    cache.remove(0)
    assert cache.lengths == []


def test_keys_are_of_the_type_and_the_place_of_the_backbone(backbone: Backbone) -> None:
    cache = cache_of(backbone, 2, 4)
    assert (cache.kv.device.type, cache.kv.dtype) == (backbone.device.type, backbone.dtype)
    with torch.inference_mode():
        hidden = backbone.decoder(torch.stack(drawn(backbone, 4, 4)), None, cache)
    assert hidden.dtype == forked(cache, [1], 1).kv.dtype == backbone.dtype


def test_a_full_cache_says_so_and_stays_as_it_is(tiny: Backbone) -> None:
    cache = cache_of(tiny, 2, 4)
    ids = torch.ones(2, 3, dtype=torch.long)
    tiny.decoder(ids, None, cache, [3, 1])
    with pytest.raises(ValueError, match="no room for 3 after 3"):
        tiny.decoder(ids, None, cache)
    assert cache.lengths == [3, 1]
    tiny.decoder(ids, None, cache, [1, 3])
    assert cache.lengths == [4, 4]


def test_positions_go_on_where_a_row_ended(tiny: Backbone) -> None:
    cache = cache_of(tiny, 3, 140)
    starts = (2, 120, 126)
    ids = torch.ones(3, 126, dtype=torch.long)
    with torch.inference_mode():
        tiny.decoder(ids, None, cache, starts)
    layout = cache.layout(4)
    wanted = [[min(at, 127) for at in accumulate([start, 1, 1, 1])] for start in starts]
    assert layout.positions.tolist() == wanted, "beyond the last position there is none"
