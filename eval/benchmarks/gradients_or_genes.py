"""An example: the scale of a quantizer, found by gradient descent and by genetic search on the same objective.

``python -m eval.benchmarks.gradients_or_genes`` prints the table of docs/search.md.

The quantizer is uniform, q(x) = s k with k = round(x / s) limited to a number of levels. With k held, the squared error
(s k - x)^2 has the derivative 2 k (s k - x) in s, and since the error does not jump where k changes, that is its
gradient almost everywhere (S. Esser et al., "Learned step size quantization", 2020, learn scales like this). The bits
of the codes are another matter: their entropy changes only where some k changes, in steps, and its derivative is 0.
"""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from eval.pages.text_table import Table

LOWEST, HIGHEST = 1e-3, 10.0
"""Scales that the genetic search may draw, relative to the spread of the values."""


@dataclass(frozen=True)
class Objective:
    """Mean squared error of ``values`` ``[number]`` relative to their power, plus ``bits_weight`` for each bit of a
    code's entropy."""

    values: Tensor
    levels: int = 16
    bits_weight: float = 0.0

    def codes(self, scale: Tensor) -> Tensor:
        return (self.values / scale).round().clamp(-self.levels // 2, self.levels // 2 - 1).detach()

    def bits(self, scale: Tensor) -> float:
        """Entropy of a code (order 0)."""
        share = torch.unique(self.codes(scale), return_counts=True)[1].double() / len(self.values)
        return float(-(share * share.log2()).sum())

    def __call__(self, scale: Tensor) -> Tensor:
        error = (scale * self.codes(scale) - self.values).square().mean() / self.values.square().mean()
        return error + self.bits_weight * self.bits(scale)


@dataclass(frozen=True)
class Solution:
    scale: float
    loss: float
    evaluations: int


def by_gradient(objective: Objective, start: float, steps: int = 120, lr: float = 0.1) -> Solution:
    """Adam on the logarithm of the scale, its rate falling to 0: where that ends."""
    log_scale = torch.tensor(start).log().requires_grad_()
    optimizer = torch.optim.Adam([log_scale], lr)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        optimizer.zero_grad()
        objective(log_scale.exp()).backward()
        optimizer.step()
    scale = log_scale.detach().exp()
    return Solution(float(scale), float(objective(scale)), steps)


def by_genes(objective: Objective, evaluations: int = 180, population: int = 12, seed: int = 0) -> Solution:
    """NSGA-II, as in ``codec search``, on a logarithmic scale."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        crossover = optuna.samplers.nsgaii.BLXAlphaCrossover()  # children between and just beyond their parents
    sampler = optuna.samplers.NSGAIISampler(
        population_size=population, crossover=crossover, mutation_prob=0.2, seed=seed
    )
    study = optuna.create_study(sampler=sampler)
    spread = float(objective.values.std())

    def loss(trial: optuna.Trial) -> float:
        relative = trial.suggest_float("scale", LOWEST, HIGHEST, log=True)
        return float(objective(torch.tensor(relative * spread)))

    study.optimize(loss, evaluations)
    return Solution(study.best_params["scale"] * spread, study.best_value, evaluations)


def laplacian(number: int = 20_000) -> Tensor:
    """Values distributed as transform coefficients are, roughly; spread 1, always the same."""
    uniform = torch.rand(number, generator=torch.Generator().manual_seed(0)) - 0.5
    return -uniform.sign() * (1 - 2 * uniform.abs()).clamp(min=1e-6).log() / 2**0.5


def compare() -> Table:
    """Both ways on two objectives."""
    rows = []
    for name, weight in (("error", 0.0), ("error + 0.05 per bit", 0.05)):
        objective = Objective(laplacian(), bits_weight=weight)
        for way, found in (("gradient", by_gradient(objective, 0.1)), ("genetic", by_genes(objective))):
            bits = objective.bits(torch.tensor(found.scale))
            rows.append([name, way, f"{found.scale:.3f}", f"{found.loss:.4f}", f"{bits:.2f}", str(found.evaluations)])
    return Table("", "", ["objective", "found by", "scale", "loss", "bits", "evaluations"], rows)


if __name__ == "__main__":
    print(compare().markdown())
