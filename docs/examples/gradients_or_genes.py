"""The scale of a uniform quantizer, found by gradient descent and by genetic search on the same objective.

``python docs/examples/gradients_or_genes.py`` prints the table of docs/search.md.

The quantizer is q(x) = s k with k = round(x / s) limited to a number of levels. If k is held, the squared error
(s k - x)^2 has the derivative 2 k (s k - x) with respect to s. The error does not jump where k changes, so this is its
gradient almost everywhere (S. Esser et al., "Learned step size quantization", 2020, learn scales like this). The bits
of the codes have no useful gradient: their entropy changes only where some k changes, in steps; its derivative is 0.
"""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from eval.pages.text_table import Table

LOWEST, HIGHEST = 1e-3, 10.0
"""Range of scales in the genetic search, relative to the standard deviation of the values."""


@dataclass(frozen=True)
class Objective:
    """Relative squared error of quantization, plus a price for each bit.

    Args:
        values: values to quantize, ``[number]``.
        levels: number of quantization levels.
        bits_weight: price of one bit of a code's entropy. The error is relative to the power of the values.
    """

    values: Tensor
    levels: int = 16
    bits_weight: float = 0.0

    def codes(self, scale: Tensor) -> Tensor:
        """Quantize the values.

        Args:
            scale: step size, above 0, without dimensions.

        Returns:
            Whole numbers ``[number]``.
        """
        return (self.values / scale).round().clamp(-self.levels // 2, self.levels // 2 - 1).detach()

    def bits(self, scale: Tensor) -> float:
        """Return the order-0 entropy of a code.

        Args:
            scale: step size, above 0, without dimensions.

        Returns:
            Bits.
        """
        share = torch.unique(self.codes(scale), return_counts=True)[1].double() / len(self.values)
        return float(-(share * share.log2()).sum())

    def __call__(self, scale: Tensor) -> Tensor:
        error = (scale * self.codes(scale) - self.values).square().mean() / self.values.square().mean()
        return error + self.bits_weight * self.bits(scale)


@dataclass(frozen=True)
class Solution:
    """The scale that a method found, its loss, and how often the objective was evaluated."""

    scale: float
    loss: float
    evaluations: int


def descend_gradient(objective: Objective, start: float, steps: int = 120, lr: float = 0.1) -> Solution:
    """Minimise the objective by Adam on the logarithm of the scale, with a learning rate that falls to 0.

    Args:
        objective: the objective to minimise.
        start: scale to start from, above 0.
        steps: number of steps.
        lr: first learning rate.

    Returns:
        The last scale.
    """
    log_scale = torch.tensor(start).log().requires_grad_()
    optimizer = torch.optim.Adam([log_scale], lr)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        optimizer.zero_grad()
        objective(log_scale.exp()).backward()
        optimizer.step()
    scale = log_scale.detach().exp()
    return Solution(float(scale), float(objective(scale)), steps)


def search_genetically(objective: Objective, evaluations: int = 180, population: int = 12, seed: int = 0) -> Solution:
    """Minimise the objective by NSGA-II, as ``codec search`` does, on a logarithmic scale.

    Args:
        objective: the objective to minimise.
        evaluations: number of evaluations.
        population: size of a generation.
        seed: seed of all random draws.

    Returns:
        The best scale of all evaluations.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        crossover = optuna.samplers.nsgaii.BLXAlphaCrossover()  # children between and just beyond their parents
    sampler = optuna.samplers.NSGAIISampler(
        population_size=population, crossover=crossover, mutation_prob=0.2, seed=seed
    )
    study = optuna.create_study(sampler=sampler)
    deviation = float(objective.values.std())

    def loss(trial: optuna.Trial) -> float:
        relative = trial.suggest_float("scale", LOWEST, HIGHEST, log=True)
        return float(objective(torch.tensor(relative * deviation)))

    study.optimize(loss, evaluations)
    return Solution(study.best_params["scale"] * deviation, study.best_value, evaluations)


def laplacian(number: int = 20_000) -> Tensor:
    """Return Laplacian values, which are distributed roughly as transform coefficients are.

    Args:
        number: how many values.

    Returns:
        Values ``[number]`` of standard deviation 1, the same in every call.
    """
    uniform = torch.rand(number, generator=torch.Generator().manual_seed(0)) - 0.5
    return -uniform.sign() * (1 - 2 * uniform.abs()).clamp(min=1e-6).log() / 2**0.5


def compare_methods() -> Table:
    """Compare both methods on two objectives.

    Returns:
        A row for each objective and method.
    """
    rows = []
    for name, weight in (("error", 0.0), ("error + 0.05 per bit", 0.05)):
        objective = Objective(laplacian(), bits_weight=weight)
        solutions = {"gradient": descend_gradient(objective, 0.1), "genetic": search_genetically(objective)}
        for method, found in solutions.items():
            bits = objective.bits(torch.tensor(found.scale))
            cells = [f"{found.scale:.3f}", f"{found.loss:.4f}", f"{bits:.2f}", str(found.evaluations)]
            rows.append([name, method, *cells])
    return Table("", "", ["objective", "found by", "scale", "loss", "bits", "evaluations"], rows)


if __name__ == "__main__":
    print(compare_methods().markdown())
