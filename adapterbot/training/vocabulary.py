"""A vocabulary from dialogue texts: sentencepiece BPE with byte fallback, as `tokenizer.json`.

sentencepiece writes a space as "▁". Here a piece holds the space itself, so that any text, one with "▁" in it too,
comes back exactly: what no piece covers is spelt in bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from tokenizers import AddedToken, decoders, models, normalizers
from tokenizers import Tokenizer as FastTokenizer

from adapterbot.errors import DataError, MissingPartError
from adapterbot.network.tokenizer import SEPARATOR, Tokenizer


def train_vocabulary(texts: Iterable[str], size: int, *, exact: bool = False) -> Tokenizer:
    """A tokenizer of `size` pieces, learnt from `texts`; fewer when the data is too small for so many, unless `exact`.

    Raises:
        DataError: no text; or `exact` and the data cannot fill the vocabulary (the message says how many it can).
        MissingPartError: sentencepiece is not installed.
    """
    try:
        import sentencepiece
    except ImportError:
        raise MissingPartError("a vocabulary needs sentencepiece: pip install 'adapterbot[train]'") from None
    sentences = [line for text in texts for line in text.splitlines() if line.strip()]
    if not sentences:
        raise DataError("no text to learn a vocabulary from")
    model = io.BytesIO()

    def train(pieces: int) -> None:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            vocab_size=pieces,
            model_type="bpe",
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            character_coverage=0.9995,
            max_sentence_length=16384,
            unk_id=0,
            bos_id=-1,
            eos_id=1,
            eos_piece=SEPARATOR,
            pad_id=-1,
            minloglevel=2,
        )

    _largest(train, size, exact)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return from_pieces([processor.id_to_piece(i) for i in range(processor.get_piece_size())])


def _largest(train: Callable[[int], None], size: int, exact: bool) -> None:
    """Train with `size` pieces, or with as many as the data allows."""
    try:
        train(size)
    except RuntimeError as error:  # sentencepiece says everything so
        most = re.search(r"too high .*<= (\d+)", str(error))
        fewest = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
        if fewest:
            raise DataError(
                f"a vocabulary of {size:,} is too small: bytes and letters of this data need {int(fewest[1]) + 1:,}"
            ) from None
        if most is None:
            raise DataError(f"sentencepiece cannot learn a vocabulary from this data: {error}") from None
        if exact:
            raise DataError(
                f"a vocabulary of {size:,} is larger than this data allows: at most {int(most[1]):,}; "
                "give that number, or more data"
            ) from None
        train(int(most[1]))


def from_pieces(pieces: Sequence[str]) -> Tokenizer:
    """The tokenizer of sentencepiece's BPE pieces, best merge first; " " stands at the start of words, not "▁".

    A space is put before every text, so that a word is the same piece at the start and inside, and taken off again.
    """
    vocabulary = {piece.replace("▁", " "): i for i, piece in enumerate(pieces)}
    fast = FastTokenizer(models.BPE(vocabulary, list(_merges(vocabulary)), byte_fallback=True, fuse_unk=True))
    fast.normalizer = normalizers.Prepend(" ")
    fast.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    fast.add_special_tokens([AddedToken(SEPARATOR, special=True, normalized=False)])
    return Tokenizer(fast)


def _merges(vocabulary: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Every pair of pieces that makes a piece, in the order of the pieces made."""
    for piece in sorted(vocabulary, key=vocabulary.__getitem__):
        if re.fullmatch(r"<.*>", piece):
            continue
        pairs = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        known = [(left, right) for left, right in pairs if left in vocabulary and right in vocabulary]
        yield from sorted(known, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
