"""Sampling: every setting does what it says, and no request can change another's reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from conftest import random_adapter
from drafts import generate

from adapterbot.engine.drafts import draft, pieces
from adapterbot.engine.request import ENOUGH, Request, Sample, drop_stragglers
from adapterbot.engine.sampling import next_tokens
from adapterbot.engine.scheduler import Scheduler
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import load_adapter
from adapterbot.network.backbone import Backbone
from adapterbot.turn import Decode

PLAIN = Decode(temperature=1.0, top_p=1.0, repetition_penalty=1.0, no_repeat_ngram=0, min_tokens=0, max_tokens=12)
GREEDY = replace(PLAIN, temperature=0.0)
SEP = 1
PROMPT = (300, 301, 302, 1)


@pytest.fixture(scope="module")
def bank(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> AdapterBank:
    """Two adapters with different replies."""
    files = {}
    for seed, name in enumerate("ab"):
        path = tmp_path_factory.mktemp(name) / "adapter.safetensors"
        random_adapter(tiny, path, seed)
        files[name] = load_adapter(path, tiny.shape, tiny.fingerprint)
    return AdapterBank(tiny, files)


def request(decode: Decode = PLAIN, adapter: str | None = "a", seed: int = 0, ids: Sequence[int] = PROMPT) -> Request:
    return Request(ids, adapter, decode, seed)


def grown(backbone: Backbone, bank: AdapterBank, wanted: Request) -> Sample:
    """The one sample of a request, finished."""
    return Scheduler(backbone).grow(bank, [wanted])[0][0]


def hand_made(decode: Decode, rows: int = 1, seed: int = 0, ids: Sequence[int] = ()) -> list[Sample]:
    """Samples for logits written by hand."""
    return [
        Sample(request(decode), torch.Generator().manual_seed(seed + i), decode.max_tokens, list(ids))
        for i in range(rows)
    ]


def drawn(logits: Sequence[float], decode: Decode, rows: int = 600, ids: Sequence[int] = ()) -> set[int]:
    """What `rows` independent draws from `logits` give."""
    samples = hand_made(decode, rows, ids=ids)
    next_tokens(torch.tensor([logits]).expand(rows, -1), samples, SEP)
    return {SEP if s.finished else s.ids[-1] for s in samples}


def test_greedy_is_the_argmax_computed_without_a_cache(tiny: Backbone, bank: AdapterBank) -> None:
    for adapter in ("a", "b", None):
        ids = list(PROMPT)
        with torch.inference_mode():
            while len(ids) < len(PROMPT) + 12:
                hidden = tiny.decoder(torch.tensor([ids]), bank.select([adapter]))
                token = int(tiny.decoder.logits(hidden[0, -1]).argmax())
                if token == SEP:
                    break
                ids.append(token)
        assert grown(tiny, bank, request(GREEDY, adapter)).ids == ids[len(PROMPT) :]


@pytest.mark.parametrize("decode", [replace(PLAIN, top_k=1), replace(PLAIN, temperature=1e-5)])
def test_one_choice_left_is_greedy(tiny: Backbone, bank: AdapterBank, decode: Decode) -> None:
    wanted = grown(tiny, bank, request(GREEDY)).ids
    assert grown(tiny, bank, request(decode, seed=5)).ids == wanted


def test_the_same_seed_gives_the_same_text_alone_or_among_others(tiny: Backbone, bank: AdapterBank) -> None:
    requests = [
        request(PLAIN, "a", 1),
        request(replace(PLAIN, temperature=0.3, max_tokens=40), "b", 2, (500, 1)),
        request(replace(PLAIN, top_k=3, drafts=3), None, 3, tuple(range(400, 440))),
        request(GREEDY, "a", 4, (77,)),
        request(replace(PLAIN, max_tokens=1), "b", 5, tuple(range(200, 320))),
    ]
    together = generate(tiny, bank, requests)
    assert [len(drafts) for drafts in together] == [1, 1, 3, 1, 1]
    for wanted, drafts in zip(requests, together, strict=True):
        alone = generate(tiny, bank, [wanted])[0]
        assert [d.text for d in drafts] == [d.text for d in alone]
        assert [d.logprob for d in drafts] == pytest.approx([d.logprob for d in alone], abs=1e-4)
    reverse = generate(tiny, bank, requests[::-1])[::-1]
    assert [[d.text for d in row] for row in reverse] == [[d.text for d in row] for row in together]


def test_another_seed_gives_another_text(tiny: Backbone, bank: AdapterBank) -> None:
    assert len({generate(tiny, bank, [request(seed=seed)])[0][0].text for seed in range(5)}) > 1


def test_drafts_differ_and_do_not_depend_on_how_many_there_are(tiny: Backbone, bank: AdapterBank) -> None:
    few = generate(tiny, bank, [request(replace(PLAIN, drafts=2))])[0]
    many = generate(tiny, bank, [request(replace(PLAIN, drafts=5))])[0]
    assert [d.text for d in many[:2]] == [d.text for d in few]
    assert len({d.text for d in many}) > 1


def test_a_long_prompt_that_ends_early_does_not_stop_a_short_one(tiny: Backbone, bank: AdapterBank) -> None:
    long = request(replace(PLAIN, max_tokens=4), "a", 0, tuple(range(200, 320)))  # 120 of 128 positions
    short = request(replace(PLAIN, max_tokens=100, min_tokens=100), "b", 0)
    drafts = generate(tiny, bank, [long, short])
    assert drafts[1][0].tokens == 100
    assert drafts[0][0].text == generate(tiny, bank, [long])[0][0].text


@pytest.mark.parametrize("length", [100, 127, 128])
def test_a_reply_ends_where_the_positions_end(tiny: Backbone, bank: AdapterBank, length: int) -> None:
    wanted = request(replace(PLAIN, max_tokens=512, min_tokens=512), ids=tuple(range(200, 200 + length)))
    assert len(grown(tiny, bank, wanted).ids) == max(1, 128 - length)


# -- settings, on logits written by hand ------------------------------------------------------------------------------


def test_the_nucleus_holds_exactly_the_likeliest_tokens_of_that_mass() -> None:
    logits = torch.tensor([0.5, 0.25, 0.15, 0.07, 0.03]).log().tolist()
    for top_p, wanted in ((0.4, {0}), (0.6, {0, 1}), (0.8, {0, 1, 2}), (0.95, {0, 1, 2, 3}), (1.0, {0, 1, 2, 3, 4})):
        assert drawn(logits, replace(PLAIN, top_p=top_p)) == wanted, top_p


def test_rounding_never_leaves_the_nucleus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda *_, **__: torch.ones(1))
    assert drawn([3.0, 0.0, 2.0, 1.0, 0.0], replace(PLAIN, top_p=0.6), rows=1) == {0}
    assert drawn([3.0, 0.0, 2.0, 1.0, 0.0], replace(PLAIN, min_tokens=1), rows=1) == {4}


def test_top_k_keeps_k_tokens() -> None:
    logits = [0.0, 0.1, 0.4, 0.3, 0.2]
    assert drawn(logits, replace(PLAIN, top_k=2)) == {2, 3}
    assert drawn(logits, replace(PLAIN, top_k=1_000_000)) == {0, 1, 2, 3, 4}


def test_the_shares_are_those_of_the_softmax_at_the_temperature() -> None:
    logits, rows = torch.tensor([[1.0, -50.0, 0.0]]), 1500
    for temperature in (0.5, 1.0, 2.0):
        samples = hand_made(replace(PLAIN, temperature=temperature), rows)
        next_tokens(logits.expand(rows, -1), samples, SEP)
        share = sum(s.ids == [0] for s in samples) / rows
        assert share == pytest.approx(float(torch.sigmoid(torch.tensor(1 / temperature))), abs=0.05)


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-9, 1e-4, 5.0])
def test_extreme_temperatures_draw_a_real_token(temperature: float) -> None:
    found = drawn([80.0, -80.0, 79.0, -1e30], replace(PLAIN, temperature=temperature), rows=50)
    assert found <= ({0, 2} if temperature == 5.0 else {0})


def test_the_repetition_penalty_looks_at_the_reply_alone() -> None:
    logits = [2.0, -5.0, 1.9, -1.0]
    penalty = replace(GREEDY, repetition_penalty=1.5)
    assert drawn(logits, penalty, 1) == {0}
    assert drawn(logits, penalty, 1, ids=[0]) == {2}
    assert drawn([-1.0, -5.0, -1.2], penalty, 1, ids=[0]) == {2}, "negative logits are pushed down too"
    wanted = [Sample(request(penalty, ids=(0, 0, 0)), torch.Generator(), 5)]
    next_tokens(torch.tensor([logits]), wanted, SEP)
    assert wanted[0].ids == [0], "the prompt's tokens are not penalised"


def test_no_ngram_appears_twice(tiny: Backbone, bank: AdapterBank) -> None:
    def ngrams(ids: list[int], n: int) -> list[tuple[int, ...]]:
        return [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]

    few = replace(PLAIN, top_k=2, max_tokens=60, min_tokens=60)
    for n in (1, 2, 3):
        ids = grown(tiny, bank, request(replace(few, no_repeat_ngram=n))).ids
        assert len(ids) == 60
        assert len(set(ngrams(ids, n))) == len(ngrams(ids, n))
    assert drawn([9.0, 0.0, 8.0, 7.0], replace(GREEDY, no_repeat_ngram=2), 1, ids=[3, 0, 3]) == {2}
    assert drawn([9.0, 0.0, 8.0, 7.0], replace(GREEDY, no_repeat_ngram=0), 1, ids=[3, 0, 3]) == {0}


def test_the_end_comes_not_before_min_and_not_after_max_tokens(tiny: Backbone, bank: AdapterBank) -> None:
    assert drawn([0.0, 9.0, 1.0], replace(GREEDY, min_tokens=3), 1, ids=[2, 2]) == {2}
    assert drawn([0.0, 9.0, 1.0], replace(GREEDY, min_tokens=2), 1, ids=[2, 2]) == {SEP}
    for low, high in ((0, 1), (5, 5), (3, 9)):
        found = grown(tiny, bank, request(replace(PLAIN, min_tokens=low, max_tokens=high)))
        assert low <= len(found.ids) <= high


def test_an_end_at_once_is_an_empty_finished_draft(tiny: Backbone) -> None:
    samples = hand_made(replace(GREEDY, min_tokens=0))
    tokens = next_tokens(torch.tensor([[0.0, 9.0, 0.0]]), samples, SEP)
    assert tokens.tolist() == [SEP]
    assert samples[0].done
    assert samples[0].finished
    made = draft(tiny, samples[0])
    assert (made.text, made.tokens, made.finished) == ("", 0, True)


def test_a_finished_row_is_left_alone() -> None:
    samples = hand_made(GREEDY, 2)
    samples[0].finished = True
    assert next_tokens(torch.tensor([[9.0, 0.0, 0.0]] * 2), samples, SEP).tolist() == [SEP, 0]
    assert samples[0].ids == []


def test_the_logprob_is_the_mean_under_the_model_itself() -> None:
    samples = hand_made(replace(GREEDY, temperature=0.2, top_k=1))
    logits = torch.tensor([[2.0, 0.0, 1.0]])
    for _ in range(2):
        next_tokens(logits, samples, SEP)
    assert samples[0].logprob / samples[0].steps == pytest.approx(float(torch.log_softmax(logits[0], 0)[0]))


# -- streaming -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_streamed_pieces_make_the_text(tiny: Backbone, bank: AdapterBank, seed: int) -> None:
    """Random weights give spaces, bytes and halves of characters in plenty."""
    shown = ""
    for samples in Scheduler(tiny).stream(bank, request(replace(PLAIN, max_tokens=40), seed=seed)):
        shown += pieces(tiny, samples[0], shown)
    assert shown == draft(tiny, samples[0]).text


def test_half_a_character_waits_for_its_other_half(tiny: Backbone) -> None:
    ids, shown, steps = tiny.tokenizer.encode("so 😀 good "), "", []
    for n in range(1, len(ids) + 1):
        partial = Sample(request(), torch.Generator(), 99, ids[:n])
        steps.append(pieces(tiny, partial, shown))
        shown += steps[-1]
    assert shown == "so 😀 good"
    assert not any("\ufffd" in step for step in steps)


def test_what_drafts_start_with_is_no_choice_of_theirs(tiny: Backbone, bank: AdapterBank) -> None:
    """What follows is as likely as after a prompt that ends with the start."""
    start = (40, 41, 42)
    wanted = replace(request(replace(PLAIN, drafts=3, max_tokens=9)), start=start)
    samples = Scheduler(tiny).grow(bank, [wanted])
    assert [tuple(s.ids[:3]) for s in samples[0]] == [start] * 3
    assert all(s.steps == len(s.ids) - 3 + s.finished for s in samples[0])
    greedy = replace(GREEDY, max_tokens=9)
    begun = grown(tiny, bank, replace(request(greedy), start=start))
    after = grown(tiny, bank, request(replace(greedy, max_tokens=6), ids=(*PROMPT, *start)))
    assert begun.ids == [*start, *after.ids]
    assert begun.logprob == pytest.approx(after.logprob, abs=1e-3)


def test_the_last_drafts_end_once_enough_have_finished(tiny: Backbone) -> None:
    bank = AdapterBank(tiny)
    request = Request(tiny.tokenizer.encode("hello"), None, Decode(drafts=8, max_tokens=60, temperature=1.5), 3)
    samples = Scheduler(tiny).grow(bank, [request])
    finished = [s for s in samples[0] if s.finished]
    rest = [s for s in samples[0] if not s.finished]
    assert len(finished) >= ENOUGH * 8 or all(len(s.ids) == 60 for s in rest)
    long = [Sample(request, torch.Generator(), 60, ids=[5] * n, finished=n < 9) for n in range(3, 11)]
    drop_stragglers(long)
    assert all(s.done for s in long)
    few = [Sample(request, torch.Generator(), 60, ids=[5] * n, finished=n < 8) for n in range(3, 11)]
    drop_stragglers(few)
    assert sum(not s.done for s in few) == 3


@pytest.mark.parametrize("preferred", [0, 2])
def test_drafts_go_on_from_the_beginning_that_is_preferred(tiny: Backbone, bank: AdapterBank, preferred: int) -> None:
    settings = replace(PLAIN, drafts=4, min_tokens=8, max_tokens=12)
    alone = list(Scheduler(tiny).grow(bank, [request(settings)])[0])
    seen = list[list[int]]()

    def prefer(begun: Sequence[Sample]) -> list[float]:
        seen.extend(list(draft.ids) for draft in begun)
        return [100.0 * (i == preferred) for i in range(len(begun))]

    drafts = Scheduler(tiny).grow(bank, [replace(request(settings), agree=3, prefer=prefer)])[0]
    assert seen == [draft.ids[:3] for draft in alone]
    assert {tuple(draft.ids[:3]) for draft in drafts} == {tuple(alone[preferred].ids[:3])}
    assert all(draft.agreed == 3 for draft in drafts)
    assert len({tuple(draft.ids) for draft in drafts}) > 1, "each goes its own way again"
