"""Whose folder it is, and our file made of it or it of our file."""

from __future__ import annotations

from pathlib import Path

from adapterbot.errors import AdapterError
from adapterbot.network.adapters.file import AdapterFile
from adapterbot.network.adapters.kinds import kind_of
from adapterbot.network.architectures.shape import Shape
from adapterbot.network.exchange import CONFIG, adapterhub, config_of, peft, read, write

FORMATS = ("peft", "adapterhub")


def import_folder(path: Path, shape: Shape, fingerprint: str) -> AdapterFile:
    """The adapter in a folder of PEFT's or AdapterHub's, for a backbone of this shape and fingerprint.

    Nothing but an equal shape can be asked of a folder that was not written here: it does not say which weights it was
    trained on.

    Raises:
        AdapterError: it is neither, or not of a kind that is computed here, or does not fit the backbone.
    """
    config = config_of(path)
    for library, weights in ((peft, peft.WEIGHTS), (adapterhub, adapterhub.WEIGHTS)):
        if (type := library.type_of(config)) is not None:
            folder = read(path, weights, fingerprint)
            tensors = library.imported(folder, shape)
            break
    else:
        raise AdapterError(f"{path / CONFIG} is neither of PEFT (peft_type) nor of AdapterHub's bottlenecks (config)")
    try:
        wanted = kind_of(type).tensors({n: tuple(t.shape) for n, t in tensors.items()}, shape)
    except AdapterError as error:
        raise AdapterError(f"{path}: {error}") from None
    for name, size in wanted.items():
        if name not in tensors or tuple(tensors[name].shape) != size:
            got = list(tensors[name].shape) if name in tensors else "missing"
            raise AdapterError(f"{path}: {name} is {got}, by the backbone it is {list(size)}: it is of another one")
    notes = kind_of(type).check(tensors, shape)
    return AdapterFile(tensors, {"type": type, "backbone": fingerprint, "on": "all"}, notes)


def export_folder(file: AdapterFile, name: str, format: str, path: Path, shape: Shape) -> None:
    """Write an adapter as a folder of PEFT's or AdapterHub's.

    Raises:
        AdapterError: it has no form there, or acts on replies alone, which no other library does.
    """
    if file.replies_only:
        raise AdapterError(f'{name!r} acts on replies alone (on = "reply"), which {format} does not compute')
    tensors = {n: t.float() if t.dtype.itemsize < 4 else t for n, t in file.tensors.items()}
    tensors = file.tensors if len({t.dtype for t in file.tensors.values()}) == 1 else tensors
    if format == "peft":
        config, made = peft.exported(file.type, tensors, shape)
        write(path, peft.WEIGHTS, config, made, file.metadata["backbone"])
    else:
        config, made = adapterhub.exported(file.type, tensors, shape, name)
        write(path, adapterhub.WEIGHTS, config, made, file.metadata["backbone"])
