"""The size that a type of adapter has for a share of the backbone's parameters."""

from __future__ import annotations

import pytest
from conftest import make_chatml, make_tiny

from adapterbot.errors import AdapterError, SettingError
from adapterbot.evaluation.comparison.budget import (
    IN_HEADS,
    SIZES,
    TOLERANCE,
    Sizing,
    Unreachable,
    count_of,
    percent,
    share_of,
    sized,
)
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.backbone import Backbone
from adapterbot.spec.adapters import ADAPTERS
from adapterbot.spec.tables import AdapterTable


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return make_tiny(layers=3) if request.param == "gpt2" else make_chatml()


@pytest.mark.parametrize("budget", [0.02, 0.07])
@pytest.mark.parametrize("type", ADAPTERS)
def test_no_other_size_is_nearer_to_the_budget(backbone: Backbone, type: str, budget: float) -> None:
    found = sized(type, budget, backbone.shape, backbone.parameter_count)
    assert isinstance(found, Sizing)
    assert found.table.type == type
    assert found.parameters == Adapter(backbone.shape, found.table).parameter_count
    assert found.share == found.parameters / backbone.parameter_count
    if type == "full":
        assert found.budget is None
        return
    wanted = budget * backbone.parameter_count
    assert abs(found.parameters - wanted) <= TOLERANCE * wanted
    step = found.table.heads if type in IN_HEADS else 1
    size = getattr(found.table, SIZES[type])
    for other in (size - step, size + step):
        near = found.table.model_copy(update={SIZES[type]: other})
        assert other < step or abs(count_of(near, backbone.shape) - wanted) >= abs(found.parameters - wanted)


def test_a_prefix_of_a_mix_stays_short(backbone: Backbone) -> None:
    found = sized("mam", 0.1, backbone.shape, backbone.parameter_count)
    assert isinstance(found, Sizing)
    prefix = count_of(AdapterTable(type="prefix", length=found.table.length), backbone.shape)
    assert prefix <= 0.26 * found.parameters
    assert found.table.bottleneck > 1


@pytest.mark.parametrize(
    ("type", "budget", "why"),
    [
        ("lora", 1e-4, "its smallest is lora, rank 1: "),
        ("prefix", 0.9, "its largest is prefix, length 128, bottleneck 64: "),  # as many as there are positions
        ("k_adapter", 0.002, "its smallest is k_adapter, bottleneck 4: "),
        ("prefix", 0.0007, "its nearest is prefix, length 2, bottleneck 64: "),  # between 1 and 2
    ],
)
def test_what_a_type_cannot_have_is_said(type: str, budget: float, why: str) -> None:
    backbone = make_tiny()
    found = sized(type, budget, backbone.shape, backbone.parameter_count)
    assert isinstance(found, Unreachable)
    assert found.why.startswith(why)
    assert found.told.startswith(f"{type} cannot have {percent(budget)} of the backbone's parameters: ")


def test_what_a_backbone_cannot_take_is_named_with_the_type() -> None:
    with pytest.raises(AdapterError, match=r"prefix on this backbone: a prefix of 300 tokens .* may be 1 to 128"):
        count_of(AdapterTable(type="prefix", length=300), make_tiny().shape)


def test_shares_are_read() -> None:
    assert [share_of(text) for text in ("0.5%", " 3 % ", "100%")] == [0.005, 0.03, 1.0]
    assert [percent(share) for share in (0.005, 0.03, 1.0)] == ["0.5%", "3%", "100%"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("small", "'small' is no share: write one as 0.5%"),
        ("1", "'1' has no %: did you mean 1%"),
        ("0%", "above 0% and at most 100%"),
        ("101%", "above 0% and at most 100%"),
        ("nan%", "above 0% and at most 100%"),
    ],
)
def test_what_is_no_share_is_refused(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        share_of(text)
