"""RecAdam (Chen et al. 2020, "Recall and Learn", arXiv 2004.12651, section 3): Adam that recalls where it began.

The objective is λ(t) times the loss of what is learnt, plus 1 - λ(t) times a quadratic penalty γ/2 |θ - θ*|² that
stands for what was learnt before (pretraining simulation), of which the weight shifts from the second to the first
(objective shifting). Both λ and the penalty stand beside Adam's moments, not in them (algorithm 1):

    θ_t = θ_{t-1} - η ( λ(t) m / (√v + ε) + (1 - λ(t)) γ (θ_{t-1} - θ*) ),    λ(t) = 1 / (1 + exp(-k (t - t0)))

m and v are Adam's bias-corrected moments of the loss's gradient, η the learning rate of the step, t counts from 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

GAMMA = 5000.0  # of the penalty: the paper's


class RecAdam(torch.optim.Optimizer):
    """Adam whose parameters are drawn back to what they were when it was made, at first strongly.

    `k` is how fast λ rises, `t0` the step at which it is one half, `gamma` the weight of the penalty.

    Raises:
        ValueError: a setting is out of range, or lr * gamma is 1 or more, by which a step would overshoot θ*.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        *,
        k: float,
        t0: float,
        gamma: float = GAMMA,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if not (lr > 0 and k > 0 and gamma >= 0 and eps > 0 and all(0 <= beta < 1 for beta in betas)):
            raise ValueError(f"RecAdam cannot have lr={lr}, k={k}, gamma={gamma}, betas={betas}, eps={eps}")
        if lr * gamma >= 1:
            raise ValueError(f"lr * gamma is {lr * gamma:g}, not below 1: a step would overshoot where it began")
        super().__init__(params, {"lr": lr, "k": k, "t0": t0, "gamma": gamma, "betas": betas, "eps": eps})
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter] = {
                    "step": 0,
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                    "origin": parameter.detach().clone(),  # θ*
                }

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update by the gradients that are there; a parameter without one is left as it is."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        state["step"] += 1
        t, (beta1, beta2) = state["step"], group["betas"]
        state["exp_avg"].lerp_(gradient, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        weight = annealed(t, group["k"], group["t0"])
        recall = parameter - state["origin"]  # of θ_{t-1}: before this step moves it
        root = state["exp_avg_sq"].sqrt().div_(math.sqrt(1 - beta2**t)).add_(group["eps"])
        parameter.addcdiv_(state["exp_avg"], root, value=-group["lr"] * weight / (1 - beta1**t))
        parameter.add_(recall, alpha=-group["lr"] * (1 - weight) * group["gamma"])


def annealed(step: int, k: float, t0: float) -> float:
    """λ(t), the weight of what is learnt: a sigmoid of the step."""
    return 1 / (1 + math.exp(min(700.0, -k * (step - t0))))  # exp(710) is beyond a float
