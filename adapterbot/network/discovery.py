"""What the files of a folder export under one name: how a new file there is found without a list to keep."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any


def exports(package: ModuleType, name: str) -> list[Any]:
    """The objects called `name` of the modules in `package`, in the order of the modules' names.

    The folder is ours: what a file of weights or a configuration says is compared to what is found, never imported.
    """
    modules = (importlib.import_module(f"{package.__name__}.{m.name}") for m in pkgutil.iter_modules(package.__path__))
    return [getattr(module, name) for module in modules if hasattr(module, name)]
