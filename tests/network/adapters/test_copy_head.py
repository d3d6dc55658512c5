"""The copy head: what it mixes, by row, in training as in generation, and that it learns to copy what it never saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import fresh_adapter
from drafts import generate
from torch import Tensor

from adapterbot.engine.request import Request
from adapterbot.errors import AdapterError
from adapterbot.network.adapters import Rows
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.copy_head import CopyHead, CopyMemory, drawn, sizes
from adapterbot.network.adapters.file import AdapterFile, load_adapter, save_adapter
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.backbone import Backbone
from adapterbot.network.likelihood import reply_nats
from adapterbot.reply.prompt import encode
from adapterbot.training.frames import frame_dialogues
from adapterbot.training.objective import reply_loss
from adapterbot.turn import Decode, Prompt

WIDTH, ATTENTION = 8, 4
SHAPE = Shape(vocab=20, positions=16, width=WIDTH, layers=1, heads=2, inner=16)
ALL = Rows([0, 0])


def weights_of(seed: int = 0, attention: int = ATTENTION, gate: float = 0.0) -> dict[str, Tensor]:
    weights = drawn(WIDTH, attention, torch.Generator().manual_seed(seed))
    weights["copy.bias"] = torch.tensor([gate, -1.0])
    return weights


def head(gate: float = 0.0) -> CopyHead:
    return CopyHead([weights_of(gate=gate)], SHAPE)


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def states(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def memory_of(copy: CopyHead, lengths: list[int], rows: Rows = ALL) -> CopyMemory:
    ids = torch.tensor([[5, 6, 7], [6, 6, 9]])
    return copy.read(states(2, 3, WIDTH), states(2, 3, WIDTH, seed=1), ids, ids + 10, lengths, rows)


def test_the_mixture_is_a_distribution_and_both_ways_to_compute_it_agree() -> None:
    copy, logits = head(), states(2, 4, 20, seed=2)
    memory = memory_of(copy, [3, 2])
    hidden, embedded = states(2, 4, WIDTH, seed=3), states(2, 4, WIDTH, seed=4)
    plain, capital = copy.attend(hidden, embedded, memory, ALL)
    assert plain[1, :, 2].max() == capital[1, :, 2].max() == 0  # padding
    mixed = copy.output(logits, hidden, embedded, memory, ALL)
    close(mixed.exp().sum(-1), torch.ones(2, 4))
    everywhere = torch.ones(2, 4, dtype=torch.bool)
    for token in (0, 6, 9, 16):
        labels = torch.full((8,), token)
        nats = copy.nats(logits.flatten(0, 1), labels, hidden, embedded, memory, everywhere, ALL)
        close(nats, -mixed[..., token].flatten())
    some = torch.tensor([[False, True, False, True], [True, False, False, False]])
    close(
        copy.nats(logits[some], torch.tensor([5, 6, 9]), hidden, embedded, memory, some, ALL),
        -mixed[some][torch.arange(3), torch.tensor([5, 6, 9])],
    )


def test_the_gate_opens_to_the_facts_and_to_their_capitals() -> None:
    copy = head(gate=20.0)
    memory = memory_of(copy, [3, 3])
    likely = copy.output(torch.zeros(2, 1, 20), states(2, 1, WIDTH), states(2, 1, WIDTH), memory, ALL).exp()[0, 0]
    close(likely[[5, 6, 7]].sum(), torch.tensor(1.0).sigmoid())
    close(likely[[15, 16, 17]].sum(), torch.tensor(-1.0).sigmoid())


def test_a_row_without_facts_and_a_row_without_a_head_keep_their_distribution() -> None:
    copy, logits, given = head(gate=5.0), states(2, 1, 20), (states(2, 1, WIDTH), states(2, 1, WIDTH))
    close(copy.output(logits, *given, memory_of(copy, [0, 2]), ALL)[0].exp(), logits[0].softmax(-1))
    first = Rows([0, None])
    memory = memory_of(copy, [3, 2], first)
    mixed = copy.output(logits, *given, memory, first)
    assert torch.equal(mixed[1], logits[1])
    assert not torch.equal(mixed[0], logits[0])
    close(mixed[0], copy.output(logits, *given, memory_of(copy, [3, 2]), ALL)[0])
    at = torch.ones(2, 1, dtype=torch.bool)
    nats = copy.nats(logits[:, 0], torch.tensor([5, 6]), *given, memory, at, first)
    close(nats[1], F.cross_entropy(logits[1], torch.tensor([6])))
    close(nats[0], -mixed[0, 0, 5])


def test_heads_of_different_widths_each_answer_for_their_own_rows() -> None:
    wide, narrow = weights_of(1, 6, gate=2.0), weights_of(2, 3, gate=1.0)
    logits, given = states(2, 1, 20), (states(2, 1, WIDTH, seed=3), states(2, 1, WIDTH, seed=4))
    both, rows = CopyHead([wide, narrow], SHAPE), Rows([1, 0])
    mixed = both.output(logits, *given, memory_of(both, [3, 2], rows), rows)
    for row, weights in enumerate((narrow, wide)):
        alone = CopyHead([weights], SHAPE)
        close(mixed[row], alone.output(logits, *given, memory_of(alone, [3, 2]), ALL)[row])


def test_an_untrained_head_looks_where_the_last_token_stands_in_the_facts() -> None:
    weights = drawn(256, 64, torch.Generator().manual_seed(1))
    copy, tokens, rows = CopyHead([weights], replace(SHAPE, width=256)), states(1, 6, 256), Rows([0])
    memory = copy.read(tokens * 0, tokens, torch.arange(6)[None], torch.arange(6)[None], [6], rows)
    plain, capital = copy.attend(tokens * 0, tokens, memory, rows)
    assert (plain + capital)[0, :5].argmax(-1).tolist() == [1, 2, 3, 4, 5]


# -- with a backbone -------------------------------------------------------------------------------------------------


def trained(backbone: Backbone, seed: int, copy: int, gate: float = 0.0) -> AdapterFile:
    adapter = fresh_adapter(backbone, 4, seed=seed, copying=copy)
    with torch.no_grad():
        adapter.tensors()["up.weight"].normal_(0.0, 0.3, generator=torch.Generator().manual_seed(seed))
        if copy:
            adapter.tensors()["copy.bias"][0] = gate
    return adapter.file()


def prompt_of(backbone: Backbone, facts: list[str], message: str = "Who is it?") -> Prompt:
    return encode(backbone.tokenizer, facts, [message], positions=backbone.positions, reserve=8)


def test_rows_of_one_batch_are_answered_as_one_by_one(tiny: Backbone) -> None:
    files = {
        "wide": trained(tiny, 1, 8, gate=2.0),
        "narrow": trained(tiny, 2, 4, gate=1.0),
        "none": trained(tiny, 3, 0),
    }
    bank = AdapterBank(tiny, files)
    decode = Decode(temperature=0.9, drafts=2, max_tokens=8)
    facts = {"wide": ["It is Pim Wendle."], "narrow": ["name: zorrab", "age: 90"], "none": ["It is Pim."], None: []}
    requests = []
    for i, (name, known) in enumerate(facts.items()):
        prompt = prompt_of(tiny, known)
        requests.append(Request(prompt.ids, name, decode, i, prompt.facts))
    together = generate(tiny, bank, requests)
    for drafts, request in zip(together, requests, strict=True):
        for ours, theirs in zip(drafts, generate(tiny, bank, [request])[0], strict=True):
            assert ours.text == theirs.text
            assert ours.logprob == pytest.approx(theirs.logprob, abs=1e-5)
    alone = AdapterBank(tiny, {"none": files["none"]})
    assert generate(tiny, alone, [requests[2]]) == generate(tiny, bank, [requests[2]])


def test_what_is_sampled_is_what_training_scores(tiny: Backbone) -> None:
    bank = AdapterBank(tiny, {"a": trained(tiny, 1, 8, gate=1.0)})
    prompt = prompt_of(tiny, ["It is Pim Wendle, of Orrab."])
    request = Request(prompt.ids, "a", Decode(temperature=0.0, max_tokens=6, min_tokens=6), 0, prompt.facts)
    draft = generate(tiny, bank, [request])[0][0]
    ids = tiny.tokenizer.encode(draft.text)
    row = Prompt((*prompt.ids, *ids), (*[-100] * len(prompt.ids), *ids), facts=prompt.facts)
    if len(ids) == draft.tokens:  # the text reads back as the tokens that were sampled
        nats = reply_nats(tiny, bank.select(["a"]), [row])
        assert -float(nats.mean()) == pytest.approx(draft.logprob, abs=1e-3)
    closed = AdapterBank(tiny, {"a": trained(tiny, 1, 0)})
    assert reply_nats(tiny, closed.select(["a"]), [row]).mean() != pytest.approx(-draft.logprob, abs=1e-3)


def test_a_copy_head_learns_to_copy_names_that_it_never_saw(tiny: Backbone) -> None:
    def rows(seed: int, count: int) -> list[Prompt]:
        made = []
        for d in frame_dialogues(count, seed, ["fact"]):
            question, answer = d.turns
            texts = (question.text, answer.text)
            made.append(encode(tiny.tokenizer, answer.knowledge, texts, positions=tiny.positions, learn=(1,)))
        return [row for row in made if len(row.ids) <= tiny.positions and max(row.labels) >= 0]

    def learn(copy: int) -> float:
        adapter = fresh_adapter(tiny, 8, seed=0, copying=copy)
        optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-2)
        train = rows(1, 240)
        for step in range(60):
            loss = reply_loss(tiny, adapter, train[step * 4 % len(train) :][:4])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            return float(reply_nats(tiny, adapter.adapters(), rows(2, 40)).mean())

    assert learn(8) < 0.85 * learn(0)


def test_a_copy_head_is_read_back_and_checked(tiny: Backbone, tmp_path: Path) -> None:
    file = trained(tiny, 1, 8)
    metadata = {"type": "residual", "backbone": tiny.fingerprint}
    path = tmp_path / "adapter.safetensors"
    save_adapter(path, file.tensors, metadata)
    assert set(load_adapter(path, tiny.shape, tiny.fingerprint).tensors) >= set(sizes(tiny.width, 8))
    for name, broken in (
        ("copy.query", torch.zeros(3, 8)),
        ("copy.gates", torch.full((2 * tiny.width, 2), float("nan"))),
    ):
        save_adapter(path, {**file.tensors, name: broken}, metadata)
        with pytest.raises(AdapterError, match=name):
            load_adapter(path, tiny.shape, tiny.fingerprint)
    save_adapter(path, {n: t for n, t in file.tensors.items() if n != "copy.bias"}, metadata)
    with pytest.raises(AdapterError, match=r"missing: \['copy.bias'\]"):
        load_adapter(path, tiny.shape, tiny.fingerprint)
