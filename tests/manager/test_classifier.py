from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from adapterbot.errors import WeightsError
from adapterbot.manager.bert import BertEncoder
from adapterbot.manager.classifier import (
    ALONE,
    HISTORY,
    SPAN,
    STORED,
    WIDTH,
    Classifier,
    Head,
    HeadEnsemble,
    Settings,
    decide,
    features,
    filtered,
    load_classifier,
    read_settings,
)

CLASSES = ("chitchat", "weather", "wiki")


@pytest.fixture
def classifier(tiny_encoder: BertEncoder) -> Classifier:
    torch.manual_seed(1)
    settings = Settings(CLASSES, "tiny", tiny_encoder.fingerprint, tiny_encoder.width, 1.5, 0.4, 0.1, {"accuracy": 0.5})
    heads = HeadEnsemble(Head(tiny_encoder.width, len(CLASSES)) for _ in range(2))
    return Classifier(heads.to(STORED).float(), settings)


@pytest.fixture
def path(classifier: Classifier, tmp_path: Path) -> Path:
    target = tmp_path / "manager" / "classifier.safetensors"
    classifier.save(target)
    return target


def test_saved_and_loaded_is_the_same(classifier: Classifier, path: Path, tiny_encoder: BertEncoder) -> None:
    again = load_classifier(path, tiny_encoder)
    assert again.settings == classifier.settings
    row = features(tiny_encoder, "will it rain", ["hello", "hi"], SPAN)
    assert torch.equal(again.probabilities(row), classifier.probabilities(row))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_features_are_message_then_the_last_utterances(tiny_encoder: BertEncoder) -> None:
    texts = [*"abcdefgh", "and now"]
    vectors = tiny_encoder.encode(texts)
    row = features(tiny_encoder, "and now", texts[:8])[0].view(1 + HISTORY, -1)
    torch.testing.assert_close(row, torch.stack([vectors[8], *vectors[8 - HISTORY : 8]]))
    one = features(tiny_encoder, "and now", ["h"])[0].view(1 + HISTORY, -1)
    torch.testing.assert_close(one[-1], vectors[7])
    assert not one[1:-1].any()
    assert not features(tiny_encoder, "and now", [])[0].view(1 + HISTORY, -1)[1:].any()


def test_where_nothing_was_said_nothing_is_read(classifier: Classifier, tiny_encoder: BertEncoder) -> None:
    row = features(tiny_encoder, "and now", ["hello"], SPAN)
    before = classifier.probabilities(row)
    for head in classifier.head:
        assert isinstance(head, Head)
        head.place.data[1:HISTORY] += 5 * torch.randn(HISTORY - 1, WIDTH)
    torch.testing.assert_close(classifier.probabilities(row), before)
    for head in classifier.head:
        assert isinstance(head, Head)
        head.place.data[HISTORY] += 5 * torch.randn(WIDTH)
    assert not torch.allclose(classifier.probabilities(row), before)


def test_several_heads_give_their_mean_and_part_of_it_by_the_message_alone(
    classifier: Classifier, tiny_encoder: BertEncoder
) -> None:
    row = features(tiny_encoder, "will it rain", ["hi"])
    alone = features(tiny_encoder, "will it rain", [])
    (one, other), (first, second) = [[head(x) for head in classifier.head] for x in (row, alone)]
    wanted = (1 - ALONE) * (one + other) / 2 + ALONE * (first + second) / 2
    torch.testing.assert_close(classifier.head(row), wanted)


def test_probabilities_sum_to_one_and_temperature_softens(classifier: Classifier, tiny_encoder: BertEncoder) -> None:
    row = features(tiny_encoder, "will it rain", [], SPAN)
    sharp = Classifier(classifier.head, replace(classifier.settings, temperature=0.5)).probabilities(row)
    soft = Classifier(classifier.head, replace(classifier.settings, temperature=5.0)).probabilities(row)
    assert float(sharp.sum()) == pytest.approx(1.0)
    assert float(sharp.max()) > float(soft.max()) > 1 / 3


def test_earlier_messages_are_judged_after_what_was_said_before_them(
    classifier: Classifier, tiny_encoder: BertEncoder
) -> None:
    talk = [*"abcdefghijkl"]
    logits, said = classifier.logits(features(tiny_encoder, talk[-1], talk[:-1], SPAN))
    assert said.all()
    for i, end in enumerate((8, 10, 12)):
        alone = classifier.head(features(tiny_encoder, talk[end - 1], talk[: end - 1]))
        torch.testing.assert_close(logits[:, i], alone)
    assert classifier.logits(features(tiny_encoder, "c", ["a", "b"], SPAN))[1].tolist() == [[False, True, True]]
    assert classifier.logits(features(tiny_encoder, "b", ["a"], SPAN))[1].tolist() == [[False, False, True]]


def test_who_talks_of_a_thing_goes_on_with_it_unless_the_message_is_clear() -> None:
    rain, unclear, food = torch.tensor([9.0, 0.0]), torch.tensor([0.0, 0.2]), torch.tensor([0.0, 9.0])
    said = torch.ones(1, 2, dtype=torch.bool)

    def newest(before: torch.Tensor, now: torch.Tensor) -> int:
        return int(filtered(torch.stack([before, now]).unsqueeze(0), said, 1.0).argmax())

    assert newest(unclear, unclear) == 1
    assert newest(rain, unclear) == 0
    assert newest(rain, food) == 1
    one = filtered(torch.stack([rain, unclear]).unsqueeze(0), torch.tensor([[False, True]]), 1.0)
    torch.testing.assert_close(one[0], torch.softmax(unclear, -1))


def test_decide_takes_the_best_when_it_is_high_and_clear() -> None:
    scores = torch.tensor([[0.1, 0.8, 0.1], [0.2, 0.41, 0.39], [0.3, 0.36, 0.34], [0.9, 0.05, 0.05]])
    assert decide(scores, 0.4, 0.0, fallback=0).tolist() == [1, 1, 0, 0]
    assert decide(scores, 0.4, 0.1, fallback=0).tolist() == [1, 0, 0, 0]


def rewrite(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """The file again with other tensors, its settings kept."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file(tensors, path, metadata)


@pytest.mark.parametrize("fault", ["nan", "inf", "missing", "extra", "shape", "none"])
def test_damaged_tensors_are_refused(fault: str, path: Path, tiny_encoder: BertEncoder) -> None:
    tensors = load_file(path)
    if fault in {"nan", "inf"}:
        tensors["0.out.weight"][0, 0] = float(fault)
    elif fault == "missing":
        del tensors["1.out.bias"]
    elif fault == "none":
        tensors = {}
    elif fault == "extra":
        tensors["more"] = torch.ones(1)
    else:
        tensors["0.out.weight"] = torch.ones(2, 8)
    rewrite(path, tensors)
    with pytest.raises(WeightsError, match=r"NaN|out\.bias|more|out\.weight"):
        load_classifier(path, tiny_encoder)


def test_another_encoder_is_refused_with_the_way_out(path: Path, tiny_encoder: BertEncoder) -> None:
    tiny_encoder.fingerprint = "f" * 64
    with pytest.raises(WeightsError, match=r"another|trained on the encoder.*train-manager"):
        load_classifier(path, tiny_encoder)


def test_a_truncated_or_foreign_file_is_refused(path: Path, tmp_path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(WeightsError, match="cannot be read"):
        read_settings(path)
    earlier, foreign = tmp_path / "earlier.safetensors", tmp_path / "foreign.safetensors"
    save_file({"x": torch.ones(1)}, earlier, {"manager_classifier_v1": "{}"})
    with pytest.raises(WeightsError, match="earlier version; train again: adapterbot train-manager"):
        read_settings(earlier)
    save_file({"x": torch.ones(1)}, foreign)
    with pytest.raises(WeightsError, match="not a manager's classifier"):
        read_settings(foreign)


@pytest.mark.parametrize("change", [{"temperature": 0.0}, {"threshold": -1.0}, {"classes": ("only",)}])
def test_settings_out_of_range_are_refused(classifier: Classifier, tmp_path: Path, change: dict[str, object]) -> None:
    target = tmp_path / "bad.safetensors"
    Classifier(classifier.head, replace(classifier.settings, **change)).save(target)  # type: ignore[arg-type]
    with pytest.raises(WeightsError):
        read_settings(target)
