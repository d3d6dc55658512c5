"""The passes over the data of a pretraining: each packed and written once, read by all processes and after a kill."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapterbot.network.tokenizer import Tokenizer
from adapterbot.training.documents import PretrainingCorpora, training_documents
from adapterbot.training.packing import Packed, load_packed, pack
from adapterbot.training.prefetch import Prefetcher, spare_cores
from adapterbot.training.recipe import Recipe


@dataclass(slots=True)
class Passes:
    """Packed passes in `folder`; on a GPU the main process has later ones packed while the present one is used."""

    corpora: PretrainingCorpora
    recipe: Recipe
    tokenizer: Tokenizer
    positions: int
    folder: Path
    accelerator: Any
    prefetcher: Prefetcher = field(init=False)

    def __post_init__(self) -> None:
        self.prefetcher = Prefetcher(self._packed, spare_cores() if self.accelerator.device.type == "cuda" else 0)

    def read(self, number: int) -> Packed:
        """The packed rows of pass `number`; the one before it is deleted."""
        with self.accelerator.main_process_first():
            packed = self._packed(number)
        if number:
            self._path(number - 1).unlink(missing_ok=True)
        return packed

    def prefetch(self, number: int, last: int) -> None:
        """Wait for pass `number` if it is being packed, and begin with those after it, up to `last`."""
        if self.accelerator.is_main_process:
            self.prefetcher.need(number, last)

    def stop(self) -> None:
        """End the packing of later passes."""
        self.prefetcher.stop()

    def _packed(self, number: int) -> Packed:
        """Read a pass; pack and write it where that has not been done."""
        packed = load_packed(self._path(number))
        if packed is None:
            seed = self.recipe.pretrain.seed
            documents = training_documents(self.corpora, self.recipe.mixture, self.positions, seed, number)
            packed = pack(documents, self.tokenizer, self.positions, seed + number)
            packed.save(self._path(number))
        return packed

    def _path(self, number: int) -> Path:
        return self.folder / f"pass-{number}.safetensors"
