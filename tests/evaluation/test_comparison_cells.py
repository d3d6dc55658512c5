"""One cell of a comparison: what is measured of an adapter, that it stays, and what its layers are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from haiku import write_skill

from adapterbot.evaluation.comparison import cells
from adapterbot.evaluation.comparison.ablation import UNFIT, ablate, bands_of
from adapterbot.evaluation.comparison.budget import Sizing, count_of
from adapterbot.evaluation.comparison.cells import Bench, Cell, CellStore, Job, cell_of, rate_of, update_bytes
from adapterbot.evaluation.comparison.plan import Plan
from adapterbot.home import Home
from adapterbot.network.adapters.kinds import kind_of
from adapterbot.network.backbone import Backbone
from adapterbot.spec.adapters import ADAPTERS
from adapterbot.spec.tables import AdapterTable
from adapterbot.training.adapter import AdapterTraining
from adapterbot.training.corpus import load_corpus
from adapterbot.training.objective import Trees
from adapterbot.training.windows import training_trees, validation_trees

SMALL: dict[str, dict[str, Any]] = {
    "lora": {"rank": 2},
    "prefix": {"length": 4},
    "mam": {"length": 2, "bottleneck": 4},
    "k_adapter": {"bottleneck": 8, "depth": 1},
    "full": {},
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "ROUNDS", 1)
    monkeypatch.setattr(cells, "TOKENS", 4)


def job(home: Home, backbone: Backbone, type: str, seed: int = 0, lines: int = 24, **settings: Any) -> Job:
    """A cell of the tests' own skill."""
    spec = write_skill(home, lines=lines)
    table = AdapterTable(type=type, **{**SMALL.get(type, {"bottleneck": 8}), **settings})
    count = count_of(table, backbone.shape)
    sizing = Sizing(0.01, table, count, count / backbone.parameter_count)
    return Job(spec, load_corpus(spec), sizing, seed, 0.01)


def training_of(job: Job, backbone: Backbone, home: Home) -> AdapterTraining:
    """As a cell prepares it."""
    spec = job.learner
    trees = Trees(
        training_trees(job.corpus, spec, backbone.tokenizer, backbone.positions, job.seed),
        validation_trees(job.corpus.valid, spec, backbone.tokenizer, backbone.positions, 300),
        job.corpus.digest,
    )
    return AdapterTraining.prepare(spec, backbone, trees, home.training / "t", spec.train.epochs, job.seed)


@pytest.fixture(scope="module")
def made(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cell]:
    """A cell of each of three types."""
    home = Home(tmp_path_factory.mktemp("cells"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "ROUNDS", 1)
        patch.setattr(cells, "TOKENS", 4)
        bench = Bench(tiny, tiny, home)
        jobs = [job(home, tiny, type) for type in ("residual", "lora", "full")]
        return {cell.type: cell for cell in bench.cells(jobs)}


def test_types_learn_the_same_in_as_many_updates(made: dict[str, Cell], tiny: Backbone) -> None:
    assert len({(cell.tokens, cell.steps, cell.bare_bits_per_byte) for cell in made.values()}) == 1
    for cell in made.values():
        assert cell.bits_per_byte < 0.95 * cell.bare_bits_per_byte
        assert cell.perplexity < cell.bare_perplexity
        assert cell.share == cell.parameters / tiny.parameter_count
        assert min(cell.training_rate, cell.decoding_rate, cell.decoding_ratio) > 0
    for cell in made.values():
        assert cell.parameters <= cell.memory < 2 * cell.parameters  # a byte a weight, and the scales
    assert made["lora"].training_memory < made["full"].training_memory


def test_a_cell_scores_what_the_file_would(tiny: Backbone, home: Home, made: dict[str, Cell]) -> None:
    """The same training by hand, rounded as the file is, has the cell's bits per byte."""
    training = training_of(job(home, tiny, "lora"), tiny, home)
    training.fit(True, 60.0)
    before, after = training.finish()
    assert after.bits_per_byte == pytest.approx(made["lora"].bits_per_byte, rel=1e-5)
    assert before.bits_per_byte == pytest.approx(made["lora"].bare_bits_per_byte, rel=1e-5)


def test_a_cell_that_is_done_is_not_made_again(tiny: Backbone, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = job(home, tiny, "residual")
    (first,) = Bench(tiny, tiny, home).cells([wanted])
    assert not (home.training / "compare").exists() or not any((home.training / "compare").iterdir())

    def never(*_: object) -> Cell:
        raise AssertionError("made again")

    monkeypatch.setattr(Bench, "made", never)
    assert list(Bench(tiny, tiny, home).cells([wanted])) == [first]
    other = replace(wanted, sizing=replace(wanted.sizing, budget=0.02))  # the same size for another budget
    assert next(Bench(tiny, tiny, home).cells([other])).budget == 0.02
    (file,) = home.comparisons.iterdir()
    file.write_text(file.read_text()[:-40])
    with pytest.raises(AssertionError, match="made again"):
        list(Bench(tiny, tiny, home).cells([wanted]))


CHANGES: dict[str, Callable[[Job], Job]] = {
    "seed": lambda one: replace(one, seed=1),
    "rate": lambda one: replace(one, rate=0.02),
    "tokens": lambda one: replace(one, tokens=10),
    "size": lambda one: replace(one, sizing=replace(one.sizing, table=AdapterTable(bottleneck=9))),
    "corpus": lambda one: replace(one, corpus=replace(one.corpus, train=one.corpus.train[1:])),
    "facts": lambda one: replace(
        one, spec=one.spec.model_copy(update={"knowledge": one.spec.knowledge.model_copy(update={"limit": 1})})
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_a_cell_changes_its_name(name: str, tiny: Backbone, home: Home) -> None:
    wanted = job(home, tiny, "residual")
    assert CHANGES[name](wanted).key(tiny) != wanted.key(tiny)
    assert wanted.key(replace(tiny, fingerprint="other")) != wanted.key(tiny)


def test_ctrl_c_loses_the_running_cell_alone(tiny: Backbone, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [job(home, tiny, "residual", seed) for seed in (0, 1)]
    begun = list[int]()

    def stop(one: Job) -> None:
        begun.append(one.seed)
        if one.seed == 1 and begun.count(1) == 1:
            raise KeyboardInterrupt

    found = list[Cell]()
    with pytest.raises(KeyboardInterrupt):
        found.extend(cell for cell in Bench(tiny, tiny, home).cells(jobs, stop))
    assert [cell.seed for cell in Bench(tiny, tiny, home).cells(jobs, stop)] == [0, 1]
    assert begun == [0, 1, 1]
    assert len({cell.bits_per_byte for cell in Bench(tiny, tiny, home).cells(jobs)}) == 2


def test_a_cell_without_its_layers_is_made_again_where_they_are_wanted(tiny: Backbone, home: Home) -> None:
    plain = job(home, tiny, "houlsby")
    (first,) = Bench(tiny, tiny, home).cells([plain])
    (second,) = Bench(tiny, tiny, home).cells([replace(plain, ablate=True)])
    assert first.ablation is None
    assert second.ablation is not None
    assert second.bits_per_byte == first.bits_per_byte
    assert CellStore(home).cell(plain, tiny) == second
    assert cell_of(asdict(second)) == second


@pytest.mark.parametrize("type", [type for type in ADAPTERS if type not in UNFIT])
def test_without_all_layers_the_backbone_is_left(type: str, chatml: Backbone, home: Home) -> None:
    training = training_of(job(home, chatml, type, lines=12), chatml, home)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in zip(training.adapter.names, training.adapter.parameters(), strict=True):
            if name not in kind_of(type).fixed:
                weight.add_(0.4 * torch.randn(weight.shape, generator=draw))
    found = ablate(training.objective, chatml.shape.layers)
    by_span = {(span.first, span.last): span.bits_per_byte for span in found.spans}
    assert set(by_span) == {(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)}
    assert by_span[0, 2] == pytest.approx(found.bare, rel=1e-5)
    assert len({round(bits, 5) for bits in (found.whole, *by_span.values())}) == 7, "each span counts"


def test_without_a_layer_it_is_as_if_that_had_not_been_learnt(chatml: Backbone, home: Home) -> None:
    training = training_of(job(home, chatml, "residual", lines=12), chatml, home)
    training.fit(True, 60.0)
    found = ablate(training.objective, chatml.shape.layers)
    tensors = training.adapter.tensors()
    for name in ("up.weight", "up.bias"):
        tensors[name][1] = 0.0  # of the middle layer: the adapter's own tensors
    left = training.objective.score(training.objective.adapters, training.objective.valid)
    (middle,) = [span.bits_per_byte for span in found.spans if (span.first, span.last) == (1, 1)]
    assert middle == pytest.approx(left.bits_per_byte)


def test_many_layers_are_taken_in_bands() -> None:
    assert [(band.start, band.stop) for band in bands_of(3)] == [(0, 1), (1, 2), (2, 3)]
    bands = bands_of(30)
    assert (len(bands), bands[0], bands[-1]) == (10, range(3), range(27, 30))
    assert [layer for band in bands_of(13, 5) for layer in band] == list(range(13))


def test_memory_of_an_update_grows_with_what_is_learnt(tiny: Backbone, home: Home) -> None:
    narrow, wide = (training_of(job(home, tiny, "residual", bottleneck=n), tiny, home) for n in (4, 12))
    more = wide.adapter.parameter_count - narrow.adapter.parameter_count
    assert update_bytes(wide) >= update_bytes(narrow) + 16 * more
    batch_states = update_bytes(narrow) - 16 * narrow.adapter.parameter_count
    assert batch_states > 4 * tiny.width * sum(tree.replies for tree in narrow.loop.rows[: narrow.loop.batch_size])
    assert update_bytes(narrow) == update_bytes(narrow)


def test_a_plan_has_each_type_at_each_budget_and_full_once(tiny: Backbone, home: Home) -> None:
    spec = write_skill(home)
    plan = Plan(("residual", "lora", "full"), (spec,), (0.02, 0.1), (0, 1), ablate="residual")
    sizings, unreachable = plan.sizings(tiny)
    assert [(s.table.type, s.budget) for s in sizings] == [
        *(("residual", b) for b in plan.budgets),
        *(("lora", b) for b in plan.budgets),
        ("full", None),
    ]
    assert not unreachable
    jobs = plan.jobs(sizings, plan.corpora())
    assert len(jobs) == 2 * len(sizings)
    assert [(one.type, one.sizing.budget, one.seed) for one in jobs if one.ablate] == [("residual", 0.1, 0)]
    assert {one.rate for one in jobs if one.type == "full"} == {rate_of("full")}
    tried = replace(plan, rates=(1e-3, 1e-2)).jobs(sizings, plan.corpora())
    assert len(tried) == 2 * len(jobs)
