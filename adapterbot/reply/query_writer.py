"""3 · The adapter that writes queries: from the conversation and a source's schema to the query, under its grammar.

The schema stands where facts stand in a reply's prompt, so the conversation before it is what every skill reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adapterbot.engine.grammar import write
from adapterbot.engine.request import Request
from adapterbot.errors import AdapterbotError, AdapterError, OtherBackboneError, kept_to
from adapterbot.history import History
from adapterbot.home import DATA, Home
from adapterbot.knowledge.query_language import Schema, WrittenQuery
from adapterbot.network.adapters.bank import AdapterBank
from adapterbot.network.adapters.file import AdapterFile, load_adapter
from adapterbot.network.backbone import Backbone
from adapterbot.network.tokenizer import Tokenizer
from adapterbot.reply.prompt import encode
from adapterbot.turn import Decode, Prompt

NAME = "query"
TURNS = 9  # utterances of a conversation that are read: four exchanges and the newest message
LONGEST = 96  # tokens of a query
SHIPPED = DATA / "queries"
TRAIN = "train one for this backbone: adapterbot train-query --data STATES"


def laid_out(
    tokenizer: Tokenizer, schema: str, said: Sequence[str], positions: int, *, query: bool, reserve: int = 0
) -> Prompt:
    """The prompt for the query after the utterances `said`, the last of which is the query itself to learn it."""
    kept = said[-TURNS - query :]
    learn = [len(kept) - 1] if query else []
    return encode(tokenizer, [schema], kept, positions=positions, reserve=reserve, learn=learn)


class Writer:
    """Writes queries. Safe to use from several threads."""

    def __init__(self, backbone: Backbone, adapter: AdapterFile) -> None:
        self._backbone = backbone
        self._bank = AdapterBank(backbone, {NAME: adapter})

    def write(self, history: History, schema: Schema) -> WrittenQuery:
        """What the newest message wants, with all that holds on from before; `none` where nothing could be written."""
        backbone = self._backbone
        said = history.window(TURNS).texts
        reserve = min(LONGEST, backbone.positions // 2)
        prompt = laid_out(backbone.tokenizer, schema.line, said, backbone.positions, query=False, reserve=reserve)
        decode = Decode(max_tokens=reserve, drafts=1)
        request = Request(prompt.ids, NAME, decode, seed=0, reply=prompt.reply)
        text = write(backbone, self._bank, request, schema)
        return schema.read(text) if text else WrittenQuery(word="none")


def adapter_path(home: Home) -> Path:
    """The user's own adapter, else the one that ships."""
    own = home.query / "adapter.safetensors"
    return own if own.is_file() else SHIPPED / "adapter.safetensors"


def load_writer(backbone: Backbone, home: Home) -> tuple[Writer | None, str]:
    """What writes queries, or why there is none."""
    path = adapter_path(home)
    if not path.is_file():
        return None, f"no adapter writes queries; {TRAIN}"
    try:
        with kept_to("the adapter that writes queries", AdapterError):
            return Writer(backbone, load_adapter(path, backbone.shape, backbone.fingerprint)), ""
    except OtherBackboneError:
        return None, f"{path} is of another backbone; {TRAIN}"
    except AdapterbotError as error:
        return None, str(error)
