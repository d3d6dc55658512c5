"""2 · Files of heads over the encoder: their tensors, and settings that name the encoder by its fingerprint."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from adapterbot.errors import WeightsError
from adapterbot.home import written_by_rename

STORED = torch.bfloat16  # half the size of fp32, and smaller than fp16 in a wheel


def save_head(path: Path, tensors: Mapping[str, Tensor], key: str, settings: Mapping[str, Any]) -> None:
    """Write the tensors (as STORED) and the settings, under `key` of the metadata, by rename."""
    stored = {name: tensor.to(STORED).contiguous() for name, tensor in tensors.items()}
    with written_by_rename(path) as temporary:
        save_file(stored, temporary, {key: json.dumps(settings, sort_keys=True)})


@contextlib.contextmanager
def read_head(path: Path, key: str, what: str, base: str) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
    """Settings and tensors (float32) of a file that `save_head` wrote over the encoder with fingerprint `base`.

    The block makes something of them; what does not fit there is told as a fault of the file.

    Raises:
        WeightsError: it cannot be read, is no such head (`what`) or of another encoder, holds NaN, or does not fit.
    """
    try:
        with safe_open(path, framework="pt") as file:
            raw = json.loads((file.metadata() or {}).get(key, "null"))
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a mapping)
        if raw is None:
            raise WeightsError(f"{path} is no {what} (no {key!r} in its metadata)")
        if raw.get("base") != base:
            raise WeightsError(f"{path} was trained on another encoder ({raw.get('base')}, not {base})")
        bad = next((name for name, t in tensors.items() if not torch.isfinite(t).all()), None)
        if bad:
            raise WeightsError(f"{path}: {bad!r} holds NaN or infinity")
        yield raw, tensors
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from None
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} does not fit: {' '.join(str(error).split())}") from None
