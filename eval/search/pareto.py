"""What is better than what when several things count. All costs are such that less is better.

Source: K. Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002.
"""

import math
from collections.abc import Sequence

Costs = Sequence[float]


def dominates(one: Costs, other: Costs) -> bool:
    """Nowhere worse, and somewhere better."""
    return all(a <= b for a, b in zip(one, other)) and any(a < b for a, b in zip(one, other))


def front(costs: Sequence[Costs]) -> list[int]:
    """Those that no other dominates."""
    return [i for i, mine in enumerate(costs) if not any(dominates(other, mine) for other in costs)]


def best_first(costs: Sequence[Costs]) -> list[int]:
    """Front by front; within one, those in sparse regions first, so that the few that are kept are spread out."""
    left, order = list(range(len(costs))), []
    while left:
        layer = [left[i] for i in front([costs[i] for i in left])]
        room = _crowding([costs[i] for i in layer])
        order += [i for _, i in sorted(zip(room, layer), key=lambda pair: (-pair[0], pair[1]))]
        left = [i for i in left if i not in layer]
    return order


def _crowding(costs: Sequence[Costs]) -> list[float]:
    """How far the neighbours on both sides are apart, over all costs; infinite at the ends."""
    room = [0.0] * len(costs)
    for values in zip(*costs):
        order = sorted(range(len(costs)), key=values.__getitem__)
        span = values[order[-1]] - values[order[0]]
        room[order[0]] = room[order[-1]] = math.inf
        for before, at, after in zip(order, order[1:], order[2:]):
            room[at] += (values[after] - values[before]) / span if span else 0.0
    return room
