"""`adapterbot compare`: types of adapter side by side, as tables, JSON and a page with pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from adapterbot.cli import formats
from adapterbot.cli.compared import Files, compare_courses, compare_types
from adapterbot.cli.names import check_backbone, check_data, check_skill
from adapterbot.cli.options import Backbone, Data
from adapterbot.cli.requirements import requires
from adapterbot.cli.stopping import resumable
from adapterbot.errors import SettingError, UnknownNameError, shorten
from adapterbot.home import Home
from adapterbot.spec.adapters import ADAPTERS

if TYPE_CHECKING:
    from adapterbot.evaluation.comparison.plan import Plan

TYPES = "residual,houlsby,parallel,lora,prefix,mam,pals,k_adapter,full"
BUDGETS = "0.5%,1%,3%"
CONTINUAL_TYPE, CONTINUAL_BUDGET = "residual", "1%"
Value = TypeVar("Value")

EXAMPLES = (
    "An example: adapterbot compare --types residual,lora,prefix --skills empathetic --budget 1% --data DIALOGUES "
    "--tokens 200000 --seeds 0,1 --json compared.json --page compared",
    "Another: adapterbot compare --continual --skills empathetic,wiki,persona --data DIALOGUES --tokens 200000",
)
HOW = (
    "Each cell learns from the same dialogues, as many tokens, in as many updates. The size of an adapter (bottleneck, "
    "rank, length) is solved for the budget, a share of the backbone's parameters; what it truly has is shown. "
    "full is a tuned copy, in one cell. What is done stays: the same command goes on, also after Ctrl-C, and one with "
    "more types, skills or budgets makes only what is new. docs/adapters.md says how to read it."
)
app = typer.Typer()


@app.command(epilog=formats.paragraphs(HOW, *EXAMPLES, formats.CORPORA))
def compare(
    skills: Annotated[str, typer.Option(help="Skills whose dialogues are learnt, with commas: empathetic,wiki.")],
    types: Annotated[
        str | None,
        typer.Option(help=f"Of {', '.join(ADAPTERS)}; left out, {TYPES}, and with --continual {CONTINUAL_TYPE}."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help=f"Shares of the backbone's parameters; left out, {BUDGETS}, and with --continual {CONTINUAL_BUDGET}."
        ),
    ] = None,
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
    continual: Annotated[
        bool,
        typer.Option(
            "--continual", help="Learn the skills one after the other instead: adapters beside a tuned model."
        ),
    ] = False,
    backbone: Backbone = None,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write all figures to this file as well.", dir_okay=False)
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(help="Write the tables into README.md of this folder, and pictures beside it.", file_okay=False),
    ] = None,
) -> None:
    """Compare types of adapter on the same dialogues: quality, parameters, memory, speed of training and decoding.

    With --continual: what is left of the first skills when others are learnt after them, by adapters, and by one model
    whose weights are all tuned on, plainly, by RecAdam, by EWC, and with a share of the earlier dialogues again.
    """
    # Long: its options, one a line.
    chosen = types or (CONTINUAL_TYPE if continual else TYPES)
    shares = budget or (CONTINUAL_BUDGET if continual else BUDGETS)
    request = Request(chosen, skills, shares, data, tokens, seeds, rates, ablate, backbone, page, continual)
    plan = plan_of(request, Home.at())
    with resumable():
        (compare_courses if continual else compare_types)(plan, backbone, Files(as_json, page))


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
    page: Path | None = None
    continual: bool = False


def plan_of(request: Request, home: Home) -> Plan:
    """What is to be made, once every part of the request makes sense: nothing is loaded before.

    Raises:
        UnknownNameError: a type, a skill or a backbone that there is not; the nearest are told.
        SettingError: a budget that is no share, a seed or a rate out of range, a type whose layers are not taken out.
        SpecError: a skill without an adapter. DataError: there is no such --data.
        MissingPartError: a page is asked for, and matplotlib is not installed.
    """
    # Long: each part of a request, one after the other.
    from adapterbot.evaluation.comparison.budget import share_of
    from adapterbot.evaluation.comparison.plan import Plan
    from adapterbot.spec.folders import SkillFolders

    types = _listed("--types", request.types, _type)
    if request.ablate is not None:
        _check_ablated(_type(request.ablate), types)
    names = _listed("--skills", request.skills, str)
    for name in names:
        check_skill(name)
    specs = tuple(SkillFolders(home).load(name) for name in names)
    if request.continual:
        _check_course(request, names)
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


def _check_ablated(type: str, types: Sequence[str]) -> None:
    """Raises SettingError where the layers of a type cannot be taken out, or it is not compared."""
    from adapterbot.evaluation.comparison.ablation import UNFIT

    if type not in types:
        raise SettingError(f"--ablate {type} is not among --types {','.join(types)}: add it there")
    if type in UNFIT:
        fit = ", ".join(other for other in ADAPTERS if other not in UNFIT)
        raise SettingError(f"--ablate {type}: its layers read one another, none goes alone; there are: {fit}")


def _check_course(request: Request, names: Sequence[str]) -> None:
    """Raises SettingError where there are not two skills, or what is asked for is not of a course."""
    if len(names) < 2:
        raise SettingError(f"--continual learns skills one after the other, and --skills {names[0]} is one: add more")
    for option, value in (("--rates", request.rates), ("--ablate", request.ablate)):
        if value is not None:
            raise SettingError(f"{option} is not of --continual: leave one of them out")


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
