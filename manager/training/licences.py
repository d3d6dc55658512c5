"""2 · Corpora with their licences, as cards name them."""

from __future__ import annotations

from adapterbot.data import corpora

# Of the corpora that have no reader module of their own.
LICENCES = {
    "camrest": "CC BY 4.0",
    "clinc_oos": "CC BY 3.0",
    "cmudog": "not stated",
    "commonsense": "CC BY-NC 4.0",
    "convai": "not stated",
    "covidfaq": "Apache 2.0 (repository)",
    "dailydialog": "CC BY-NC-SA 4.0",
    "dream": "non-commercial research only",
    "esconv": "CC BY-NC 4.0",
    "metalwoz": "Microsoft Research licence",
    "msc": "not stated",
    "multidogo": "CDLA-Permissive 1.0",
    "mutual": "not stated",
    "nlu_home": "CC BY 4.0",
    "selfdialogue": "BSD 3-Clause",
    "sgd": "CC BY-SA 4.0",
    "snips": "CC0 1.0",
    "taskmaster3": "CC BY 4.0",
    "topicalchat": "CDLA-Sharing 1.0",
    "wizint": "not stated",
    "woz": "Apache 2.0",
}


def source_of(name: str) -> str:
    """A corpus, by its name or by that of its folder, with its licence."""
    modules = {known: corpora.reader(known) for known in corpora.READERS}
    named = modules.get(name) or next((m for m in modules.values() if getattr(m, "FOLDER", "") == name), None)
    return f"{name} ({named.LICENCE if named else LICENCES.get(name, 'see its source')})"
