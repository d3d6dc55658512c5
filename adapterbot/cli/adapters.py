"""`adapterbot adapters`: folders of PEFT and AdapterHub, in and out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from adapterbot.cli.names import check_backbone, check_skill
from adapterbot.cli.options import Backbone
from adapterbot.cli.output import say, warn

app = typer.Typer(no_args_is_help=True, help="Bring in adapters of PEFT and AdapterHub, and write yours for them.")


class Format(StrEnum):
    """Whose folder is written."""

    peft = "peft"
    adapterhub = "adapterhub"


@app.command("import")
def import_(
    folder: Annotated[
        Path,
        typer.Argument(help="A folder with adapter_config.json and safetensors: LoRA, prefix tuning or a bottleneck."),
    ],
    skill: Annotated[str, typer.Argument(help="The skill that is to answer with it.")],
    backbone: Backbone = None,
) -> None:
    """Give a skill the adapter of a folder of PEFT's or AdapterHub's, trained on this backbone."""
    check_skill(skill)
    check_backbone(backbone)
    from adapterbot.home import Home
    from adapterbot.network.adapters.file import save_adapter
    from adapterbot.network.backbone import load_backbone
    from adapterbot.network.exchange.folders import import_folder

    home = Home.at()
    model = load_backbone(backbone, announce=warn)
    file = import_folder(folder, model.shape, model.fingerprint)
    path = home.skills / skill / "adapter.safetensors"
    metadata = {**file.metadata, "skill": skill, "data": f"imported from {folder.name}"}
    save_adapter(path, file.tensors, metadata, rounded=False)
    say(f"{skill} answers with this {file.type} adapter of {file.parameters:,} weights from now on; undo: rm {path}")
    say("whether it was trained on this very backbone a folder does not say; that it fits is all that was checked")
    for note in file.notes:
        warn(f"note: it {note}")


@app.command()
def export(
    skill: Annotated[str, typer.Argument(help="A skill with a trained adapter.")],
    folder: Annotated[Path, typer.Argument(help="Where to write.")],
    format: Annotated[
        Format, typer.Option(help="Whose form: PEFT has lora and prefix, AdapterHub bottlenecks.")
    ] = Format.peft,
    backbone: Backbone = None,
) -> None:
    """Write a skill's adapter as a folder of PEFT's or AdapterHub's. Nothing is merged into the backbone."""
    check_skill(skill)
    check_backbone(backbone)
    from adapterbot.errors import AdapterError
    from adapterbot.home import Home
    from adapterbot.network.adapters.file import load_adapter
    from adapterbot.network.backbone import load_backbone
    from adapterbot.network.exchange.folders import export_folder
    from adapterbot.spec.folders import SkillFolders

    path = SkillFolders(Home.at()).adapter_file(skill)
    if path is None:
        raise AdapterError(f"skill {skill!r} has no adapter yet; train it: adapterbot train-skill {skill}")
    model = load_backbone(backbone, announce=warn)
    export_folder(load_adapter(path, model.shape, model.fingerprint), skill, format.value, folder, model.shape)
    say(f"wrote {folder}, in the form of {format.value}")
