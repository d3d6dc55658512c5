"""`adapterbot compare`: types of adapter side by side, as tables, JSON and a page with pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from adapterbot.cli import formats
from adapterbot.cli.console import console
from adapterbot.cli.names import check_backbone, check_data, check_skill
from adapterbot.cli.options import Backbone, Data
from adapterbot.cli.output import say, warn
from adapterbot.cli.requirements import requires
from adapterbot.cli.stopping import resumable
from adapterbot.errors import SettingError, UnknownNameError, shorten
from adapterbot.home import Home
from adapterbot.spec.adapters import ADAPTERS

if TYPE_CHECKING:
    from adapterbot.evaluation.comparison.cells import Bench, Job
    from adapterbot.evaluation.comparison.plan import Plan
    from adapterbot.evaluation.comparison.report import Comparison

TYPES = "residual,houlsby,parallel,lora,prefix,mam,pals,k_adapter,full"
BUDGETS = "0.5%,1%,3%"
Value = TypeVar("Value")


EXAMPLE = (
    "An example: adapterbot compare --types residual,lora,prefix --skills empathetic --budget 1% --data DIALOGUES "
    "--tokens 200000 --seeds 0,1 --json compared.json --page compared"
)
HOW = (
    "Each cell learns from the same dialogues, as many tokens, in as many updates. The size of an adapter (bottleneck, "
    "rank, length) is solved for the budget, a share of the backbone's parameters; what it truly has is shown. "
    "full is a tuned copy, in one cell. What is done stays: the same command goes on, also after Ctrl-C, and one with "
    "more types, skills or budgets makes only what is new. docs/adapters.md says how to read it."
)
app = typer.Typer()


@app.command(epilog=formats.paragraphs(HOW, EXAMPLE, formats.CORPORA))
def compare(
    skills: Annotated[str, typer.Option(help="Skills whose dialogues are learnt, with commas: empathetic,wiki.")],
    types: Annotated[str, typer.Option(help=f"Types of adapter: {', '.join(ADAPTERS)}.")] = TYPES,
    budget: Annotated[str, typer.Option(help="Shares of the backbone's parameters.")] = BUDGETS,
    data: Data = None,
    tokens: Annotated[
        int | None,
        typer.Option(help="Tokens of training dialogues for each cell; left out, what skill.toml says.", min=1),
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="Seeds of weights, dialogues and order; several show how much varies.")
    ] = "0",
    rates: Annotated[
        str | None,
        typer.Option(
            help="Learning rates to try, of which the best counts, such as 3e-4,1e-3; left out, one per type."
        ),
    ] = None,
    ablate: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="Take each span of layers out of the largest adapter of this type as well."),
    ] = None,
    backbone: Backbone = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write all figures to this file as well.", dir_okay=False)
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(help="Write the tables into README.md of this folder, and pictures beside it.", file_okay=False),
    ] = None,
) -> None:
    """Compare types of adapter on the same dialogues: quality, parameters, memory, speed of training and decoding."""
    request = Request(types, skills, budget, data, tokens, seeds, rates, ablate, backbone, as_json, page)
    with resumable():
        compare_types(request)


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks for, as it was written."""

    types: str
    skills: str
    budget: str
    data: str | None = None
    tokens: int | None = None
    seeds: str = "0"
    rates: str | None = None
    ablate: str | None = None
    backbone: str | None = None
    json: Path | None = None
    page: Path | None = None


def plan_of(request: Request, home: Home) -> Plan:
    """What is to be made, once every part of the request makes sense: nothing is loaded before.

    Raises:
        UnknownNameError: a type, a skill or a backbone that there is not; the nearest are told.
        SettingError: a budget that is no share, a seed or a rate out of range, a type whose layers are not taken out.
        SpecError: a skill without an adapter. DataError: there is no such --data.
        MissingPartError: a page is asked for, and matplotlib is not installed.
    """
    from adapterbot.evaluation.comparison.ablation import UNFIT
    from adapterbot.evaluation.comparison.budget import share_of
    from adapterbot.evaluation.comparison.plan import Plan
    from adapterbot.spec.folders import SkillFolders

    types = _listed("--types", request.types, _type)
    if request.ablate is not None and _type(request.ablate) not in types:
        raise SettingError(f"--ablate {request.ablate} is not among --types {','.join(types)}: add it there")
    if request.ablate in UNFIT:
        fit = ", ".join(type for type in ADAPTERS if type not in UNFIT)
        raise SettingError(f"--ablate {request.ablate}: its layers read one another, none goes alone; there are: {fit}")
    names = _listed("--skills", request.skills, str)
    for name in names:
        check_skill(name)
    specs = tuple(SkillFolders(home).load(name) for name in names)
    for spec in specs:
        spec.of_type(types[0])  # raises for the backbone alone
    plan = Plan(
        types,
        specs,
        tuple(sorted(_listed("--budget", request.budget, share_of))),
        _listed("--seeds", request.seeds, _seed),
        _listed("--rates", request.rates, _rate) if request.rates is not None else (),
        request.data,
        request.tokens,
        request.ablate,
    )
    check_data(request.data)
    check_backbone(request.backbone)
    if request.data is not None and request.data.startswith("hub:"):
        requires("a data set of the hub", "datasets")
    if request.page is not None:
        requires("compare --page", "matplotlib")
    return plan


def compare_types(request: Request) -> None:
    """Train and judge every cell that is not done yet, and show all; Ctrl-C keeps what is done by then."""
    home = Home.at()
    plan = plan_of(request, home)
    from adapterbot.evaluation.comparison.cells import Bench, CellStore
    from adapterbot.evaluation.comparison.report import Comparison
    from adapterbot.network.backbone import load_backbone
    from adapterbot.network.device import training_type

    backbone = load_backbone(request.backbone, dtype=training_type(), home=home)
    sizings, unreachable = plan.sizings(backbone)
    corpora = plan.corpora()
    found = Comparison(plan.about(backbone, corpora), unreachable=unreachable)
    jobs = plan.jobs(sizings, corpora)
    store = CellStore(home)
    done = sum(store.cell(job, backbone) is not None for job in jobs)
    for none in unreachable:
        say(none.told)
    say(f"{len(jobs)} cells, {done} of them done before; {found.told}")
    answering = load_backbone(request.backbone, home=home, announce=warn)
    try:
        _make(Bench(backbone, answering, home), jobs, found, request)
    finally:
        if found.cells:
            show(found)
            _keep(found, request)


def _make(bench: Bench, jobs: list[Job], found: Comparison, request: Request) -> None:
    """Add cell by cell to what is found, with a bar over cells and one over the updates of the running one."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        cells, updates = bar.add_task("cells", total=len(jobs)), bar.add_task("", total=None)

        def begin(job: Job) -> None:
            name = f"{job.spec.name}, {job.sizing.table.told}, seed {job.seed}"
            bar.reset(updates, total=None, description=name)
            bench.note = lambda part: bar.update(updates, description=f"{name}: {part}")

        bench.advance = lambda step, total: bar.update(updates, completed=step, total=total)
        for cell in bench.cells(jobs, begin):
            found.cells.append(cell)
            bar.advance(cells)
            if request.json is not None:
                found.write(request.json)


def show(found: Comparison) -> None:
    """The tables, and how far from full tuning adapters are."""
    from adapterbot.evaluation.tables import as_rich

    for grid in found.grids():
        console.print(as_rich(grid))
        console.print(f"{grid.note}\n", style="dim")
    for verdict in found.verdicts():
        say(verdict)


def _keep(found: Comparison, request: Request) -> None:
    """JSON and page, where they are asked for."""
    if request.json is not None:
        found.write(request.json)
        say(f"written: {request.json}")
    if request.page is not None:
        from adapterbot.evaluation.comparison.page import write_page

        for path in write_page(request.page, found):
            say(f"written: {path}")


def _listed(option: str, text: str, read: Callable[[str], Value]) -> tuple[Value, ...]:
    """The values between commas, each once.

    Raises:
        SettingError: there is none, or an empty one.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise SettingError(f"{option} {shorten(text)!r} names nothing beside a comma; write it as a,b,c")
    return tuple(dict.fromkeys(read(part) for part in parts))


def _type(text: str) -> str:
    if text not in ADAPTERS:
        raise UnknownNameError("adapter type", text, ADAPTERS)
    return text


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) >= 2**31:
        raise SettingError(f"seed {shorten(text)!r} is no whole number of 0 to {2**31 - 1}")
    return int(text)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise SettingError(f"learning rate {shorten(text)!r} is none: above 0 and at most 1, such as 1e-3")
    return value
