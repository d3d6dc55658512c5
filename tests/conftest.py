"""Fixtures: a home of its own for every test, a tiny real backbone made in-process, and no network."""

from __future__ import annotations

import copy
import math
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch
from filelock import FileLock
from tokenizers import AddedToken
from tokenizers import Tokenizer as FastTokenizer

from adapterbot.bot import Bot
from adapterbot.errors import MissingPartError
from adapterbot.home import Home
from adapterbot.manager.bert import BertEncoder
from adapterbot.manager.care_head import shipped_head
from adapterbot.network.adapters.file import save_adapter
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.architectures.gpt2 import GPT2
from adapterbot.network.architectures.llama import Llama
from adapterbot.network.architectures.shape import Rope, Shape
from adapterbot.network.backbone import Backbone, fingerprint_of, freeze, load_backbone, save_backbone
from adapterbot.network.tokenizer import END, START, Tokenizer
from adapterbot.reply.care import Carer
from adapterbot.reply.safety import Guard
from adapterbot.spec.tables import AdapterTable
from adapterbot.turn import Reply

if TYPE_CHECKING:
    import httpx
    import openai

pytest_plugins = ["clusters", "browsing"]  # PostgreSQL for the tests of the store, a browser for those of the app
TESTS = Path(__file__).resolve().parent
VOCABULARY = TESTS / "vocabulary"  # a tokenizer of 8,192 pieces, for models that are made in tests
LOCAL = {"127.0.0.1", "localhost", "::1"}
os.environ["HF_HUB_OFFLINE"] = "1"  # before the hub's client is imported, which reads it once
CORPORA = os.environ.get("ADAPTERBOT_CORPORA")  # for the tests that want real data, and for no other
TRAINED = ("empathetic", "persona", "wiki", "weather", "chitchat")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection that leaves this machine fails the test that made it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != getattr(socket, "AF_UNIX", None) and address[0] not in LOCAL:
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home in a temporary folder; nothing a test does reaches the user's own."""
    root = tmp_path / "home"
    monkeypatch.setenv("ADAPTERBOT_HOME", str(root))
    for name in ("ADAPTERBOT_BACKBONE", "ADAPTERBOT_CORPORA"):
        monkeypatch.delenv(name, raising=False)
    return Home(root)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny models are faster on one thread, and results do not depend on the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora, or a skip."""
    if not CORPORA or not Path(CORPORA).is_dir():
        pytest.skip("ADAPTERBOT_CORPORA is not set")
    return Path(CORPORA)


def make_tiny(seed: int = 0, width: int = 32, layers: int = 2) -> Backbone:
    """A real GPT-2-shaped model with random weights and the tests' vocabulary."""
    tokenizer = Tokenizer.from_folder(VOCABULARY)
    shape = Shape(vocab=tokenizer.size, positions=128, width=width, layers=layers, heads=4, inner=4 * width)
    torch.manual_seed(seed)
    decoder = freeze(GPT2(shape))
    for parameter in decoder.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return Backbone("tiny", decoder, tokenizer, fingerprint_of(decoder.state_dict()))


def make_chatml(seed: int = 0, layers: int = 3) -> Backbone:
    """A real Llama-shaped model with random weights, and the tests' vocabulary with ChatML's tokens."""
    fast = FastTokenizer.from_file(str(VOCABULARY / "tokenizer.json"))
    fast.add_special_tokens([AddedToken(token, special=True) for token in (START, END)])
    tokenizer = Tokenizer(fast)
    shape = Shape(
        vocab=tokenizer.size,
        positions=256,
        width=32,
        layers=layers,
        heads=4,
        inner=64,
        activation="silu",
        kv_heads=2,
        rope=Rope(10_000.0),
    )
    decoder = freeze(Llama(shape))
    torch.manual_seed(seed)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return Backbone("chatml", decoder, tokenizer, fingerprint_of(decoder.state_dict()))


class Place(NamedTuple):
    """Where a backbone answers, and in which type."""

    device: str
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.device} {str(self.dtype).removeprefix('torch.')}"


PLACES = [Place("cpu", torch.float32), Place("cpu", torch.bfloat16)]
if torch.cuda.is_available():
    PLACES += [Place("cuda", torch.float32), Place("cuda", torch.bfloat16)]


def placed(backbone: Backbone, place: Place) -> Backbone:
    """A copy of a backbone on another device, or of another type."""
    if (backbone.device.type, backbone.dtype) == place:
        return backbone
    return replace(backbone, decoder=copy.deepcopy(backbone.decoder).to(place.device, place.dtype))


@pytest.fixture(scope="session")
def tiny() -> Backbone:
    """The tiny backbone; frozen, so tests may share it."""
    return make_tiny()


@pytest.fixture(scope="session")
def chatml() -> Backbone:
    """The tiny backbone that was taught ChatML; frozen, so tests may share it."""
    return make_chatml()


@pytest.fixture(scope="session")
def tiny_folder(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny backbone as a model folder."""
    folder = tmp_path_factory.mktemp("tiny")
    save_backbone(folder, tiny.decoder, tiny.tokenizer, {})
    return folder


@pytest.fixture
def on_tiny(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names no backbone gets the tiny one."""
    monkeypatch.setenv("ADAPTERBOT_BACKBONE", str(tiny_folder))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of backbones of a home in which the default one was used: its int8 form takes a while to make.

    All processes that share the tests share it.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    home = Home(base / "prepared")
    try:
        with FileLock(base / "prepared.lock"):
            load_backbone(home=home)
    except MissingPartError as error:
        pytest.skip(str(error))
    home.backbones.mkdir(parents=True, exist_ok=True)  # a processor without the kernel makes none
    return home.backbones


def used_before(home: Home, prepared: Path) -> Home:
    """`home` as one in which the default backbone was used before."""
    home.root.mkdir(parents=True, exist_ok=True)
    home.backbones.symlink_to(prepared)
    return home


@pytest.fixture
def ready(home: Home, prepared: Path) -> Home:
    """The test's own home, in which the default backbone was used before."""
    return used_before(home, prepared)


def fresh_adapter(backbone: Backbone, bottleneck: int = 8, first_layer: int = 0, seed: int = 0) -> Adapter:
    """An untrained adapter."""
    return Adapter(backbone.shape, AdapterTable(bottleneck=bottleneck, first_layer=first_layer), seed)


def random_adapter(
    backbone: Backbone, path: Path, seed: int, bottleneck: int = 8, scale: float = 0.3, **metadata: str
) -> None:
    """Write an adapter with random weights for `backbone`."""
    adapter = fresh_adapter(backbone, bottleneck, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    tensors = {n: t + scale * torch.randn(t.shape, generator=draw) for n, t in adapter.tensors().items()}
    known = {"type": adapter.kind, "backbone": backbone.fingerprint, "skill": path.parent.name}
    save_adapter(path, tensors, known | metadata)


def babbling() -> Guard:
    """A guard that notices messages as ever and takes no draft for harm: a tiny random model speaks gibberish."""
    head = shipped_head()
    tolerant = head.with_settings(replace(head.settings, draft=2.0))
    return Guard(carer=Carer(lambda: tolerant))


def make_bot(backbone: Backbone, home: Home, **options: Any) -> Bot:
    """A bot in whose home every shipped skill has a random adapter of its own for `backbone`."""
    for seed, name in enumerate(TRAINED):
        random_adapter(backbone, home.skills / name / "adapter.safetensors", seed)
    return Bot(backbone, home, **{"guard": babbling(), **options})


@pytest.fixture
def tiny_bot(tiny: Backbone, home: Home) -> Bot:
    """A bot on the tiny backbone in the test's own home."""
    return make_bot(tiny, home)


@pytest.fixture(scope="session")
def shared_bot(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Bot:
    """A bot on the tiny backbone for tests that only ask it: a turn changes nothing in it."""
    return make_bot(tiny, Home(tmp_path_factory.mktemp("shared")), log=False)


@pytest.fixture(scope="session")
def address(shared_bot: Bot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a real socket that needs no key, and whose bot stores nothing."""
    from servers import serving

    from adapterbot.storage.keys import KeyStore

    with serving(shared_bot, KeyStore(tmp_path_factory.mktemp("keys") / "keys.sqlite3")) as found:
        yield found


@pytest.fixture
def client(address: str) -> Iterator[openai.OpenAI]:
    """OpenAI's own client of that server; it asks once."""
    import openai

    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture
def web(address: str) -> Iterator[httpx.Client]:
    """A plain client of that server."""
    import httpx

    with httpx.Client(base_url=address, timeout=60) as made:
        yield made


class Close(float):
    """Equal to what differs in the last digits alone; rounding would tear apart what lies on both sides of a step."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and math.isclose(float(self), float(other), abs_tol=1e-3)


def essence(reply: Reply) -> dict[str, Any]:
    """All of a reply that two equal runs agree on: not its timings, what was read before it, nor the last digits of
    its log-probabilities."""
    plain = reply.to_dict()
    del plain["timings"], plain["cached_tokens"]
    for draft in plain["drafts"]:
        draft |= {name: Close(draft[name]) for name in ("logprob", "score")}
    return plain


@pytest.fixture
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a real two-layer BERT of random weights and a WordPiece vocabulary of letters."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny-bert")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    vocabulary = {t: i for i, t in enumerate([*special, *letters, *(f"##{c}" for c in letters), "?", "!"])}
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=48,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def tiny_encoder(tiny_bert: Path) -> BertEncoder:
    """The tiny BERT as an encoder of the manager, called as its folder."""
    return BertEncoder(tiny_bert, str(tiny_bert))
