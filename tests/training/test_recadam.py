"""RecAdam is algorithm 1 of Chen et al. 2020, number by number."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from adapterbot.training.recadam import RecAdam, annealed

START = [0.5, -1.0, 2.0]
GRADIENTS = [[0.3, -0.2, 0.0], [0.1, 0.4, -0.5], [-0.6, 0.2, 0.1], [0.2, 0.2, 0.2]]
RATES = [0.01, 0.02, 0.005, 0.01]  # a schedule


def updated(optimizer: torch.optim.Optimizer, weight: Tensor, gradient: list[float], rate: float) -> list[float]:
    """The weight after one update by a gradient, at a rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    weight.grad = torch.tensor(gradient, dtype=torch.float64)
    optimizer.step()
    return weight.tolist()


def parameter() -> nn.Parameter:
    return nn.Parameter(torch.tensor(START, dtype=torch.float64))


def test_updates_are_those_of_the_paper() -> None:
    k, t0, gamma, beta1, beta2, eps = 0.7, 2.5, 20.0, 0.9, 0.99, 1e-6
    weight = parameter()
    optimizer = RecAdam([weight], RATES[0], k=k, t0=t0, gamma=gamma, betas=(beta1, beta2), eps=eps)
    theta, m, v = list(START), [0.0] * 3, [0.0] * 3
    for t, (gradient, rate) in enumerate(zip(GRADIENTS, RATES, strict=True), 1):
        share = 1 / (1 + math.exp(-k * (t - t0)))
        for i, g in enumerate(gradient):
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g * g
            learnt = (m[i] / (1 - beta1**t)) / (math.sqrt(v[i] / (1 - beta2**t)) + eps)
            theta[i] -= rate * (share * learnt + (1 - share) * gamma * (theta[i] - START[i]))
        assert updated(optimizer, weight, gradient, rate) == pytest.approx(theta, rel=1e-9)
    assert theta != pytest.approx(START, abs=1e-3)


def test_once_lambda_is_one_it_is_adam() -> None:
    ours, theirs = parameter(), parameter()
    pair = RecAdam([ours], 0.01, k=1.0, t0=-1e6, gamma=1.0), torch.optim.Adam([theirs], 0.01)
    for gradient, rate in zip(GRADIENTS, RATES, strict=True):
        mine, adams = (updated(o, w, gradient, rate) for o, w in zip(pair, (ours, theirs), strict=True))
        assert mine == pytest.approx(adams, rel=1e-9)


def test_while_lambda_is_zero_it_goes_back_to_where_it_began() -> None:
    weight = parameter()
    optimizer = RecAdam([weight], 0.01, k=1.0, t0=1e6, gamma=50.0)
    with torch.no_grad():
        weight.add_(1.0)
    for halvings in (1, 2, 3):  # lr * gamma is one half
        assert updated(optimizer, weight, [1.0, 1.0, 1.0], 0.01) == pytest.approx([x + 0.5**halvings for x in START])


def test_lambda_is_a_sigmoid_of_the_step() -> None:
    assert annealed(100, 0.1, 100) == 0.5
    shares = [annealed(step, 0.1, 100) for step in range(0, 201, 20)]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(1 - shares[-1])
    assert annealed(1, 1000.0, 500) == pytest.approx(0.0)
    assert annealed(501, 1000.0, 500) == 1.0


def test_a_weight_without_a_gradient_stays() -> None:
    weight = parameter()
    optimizer = RecAdam([weight], 0.01, k=1.0, t0=5, gamma=1.0)
    optimizer.step()
    assert weight.tolist() == START


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"gamma": 100.0}, "not below 1: a step would overshoot"), ({"k": 0.0}, "k=0"), ({"betas": (1.0, 0.9)}, "betas=")],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecAdam([parameter()], 0.01, **{"k": 1.0, "t0": 1.0, "gamma": 1.0, **settings})  # type: ignore[arg-type]
