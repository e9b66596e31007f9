"""The Pareto front of candidates with several costs, and the order of candidates behind it. Less is always better.

Source: K. Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002.
"""

import math
from collections.abc import Sequence

Costs = Sequence[float]


def dominates(one: Costs, other: Costs) -> bool:
    """Return whether costs are nowhere higher than others and somewhere lower.

    Args:
        one: costs of a candidate.
        other: costs of another one, in the same order.

    Returns:
        True if ``one`` dominates ``other``.

    >>> dominates((1, 2), (1, 3)), dominates((1, 2), (2, 1))
    (True, False)
    """
    return all(a <= b for a, b in zip(one, other)) and any(a < b for a, b in zip(one, other))


def pareto_front(costs: Sequence[Costs]) -> list[int]:
    """Find the candidates that no other one dominates.

    Args:
        costs: costs of each candidate.

    Returns:
        Their indices, ascending.

    >>> pareto_front([(1, 4), (2, 2), (4, 1), (3, 3)])
    [0, 1, 2]
    """
    return [i for i, mine in enumerate(costs) if not any(dominates(other, mine) for other in costs)]


def sort_by_dominance(costs: Sequence[Costs]) -> list[int]:
    """Sort candidates by non-dominated fronts, and within a front by crowding distance.

    Args:
        costs: costs of each candidate.

    Returns:
        Indices, the best first. Within a front, candidates in sparse regions come first, so that the first few are
        spread over the front.

    >>> sort_by_dominance([(3, 3), (1, 4), (2, 2), (4, 1)])
    [1, 3, 2, 0]
    """
    left, order = list(range(len(costs))), []
    while left:
        layer = [left[i] for i in pareto_front([costs[i] for i in left])]
        distances = _crowding_distances([costs[i] for i in layer])
        order += [i for _, i in sorted(zip(distances, layer), key=lambda pair: (-pair[0], pair[1]))]
        left = [i for i in left if i not in layer]
    return order


def _crowding_distances(costs: Sequence[Costs]) -> list[float]:
    """Return the relative distance between both neighbours, summed over all costs; it is infinite at the ends."""
    distances = [0.0] * len(costs)
    for values in zip(*costs):
        order = sorted(range(len(costs)), key=values.__getitem__)
        span = values[order[-1]] - values[order[0]]
        distances[order[0]] = distances[order[-1]] = math.inf
        for before, at, after in zip(order, order[1:], order[2:]):
            distances[at] += (values[after] - values[before]) / span if span else 0.0
    return distances
