"""Update of codebooks from a training batch: moving averages (EMA), and restarts of dead entries.

All codebooks are updated at once, and nothing is asked of the device: vectors that a stage did not use stay in place
with the weight 0, a candidate is drawn for every entry, and the dead ones take theirs.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from codec.model.processes import ONE_PROCESS, Processes

DECAY = 0.99
"""Decay of the moving averages per batch."""
RESTART_BELOW = 0.03
"""Entries used less than this share of an even share are restarted."""
_NOISE = 1e-3
"""Distance of a restarted entry from its vector, relative to the standard deviation of the vectors: no entry occurs
twice even if there are too few vectors."""


@dataclass(frozen=True)
class BatchUsage:
    """What all codebooks quantized in a batch, and what with."""

    points: Tensor
    """Coordinates in the subspaces of the stages ``[codebooks, vectors, dim]``."""
    codes: Tensor
    """Nearest entries ``[codebooks, vectors]``."""
    used: Tensor
    """Whether the vector uses that code ``[codebooks, vectors]``, bool."""

    def followed_by(self, other: "BatchUsage") -> "BatchUsage":
        """Return the usage of this part of a batch and of the next one.

        Args:
            other: usage of the next part

        Returns:
            Both.
        """
        pairs = zip((self.points, self.codes, self.used), (other.points, other.codes, other.used))
        return BatchUsage(*(torch.cat(pair, 1) for pair in pairs))

    def only_if(self, finite: Tensor) -> "BatchUsage":
        """Return the usage of a step that may be skipped.

        Args:
            finite: False (scalar) if the step is skipped

        Returns:
            The same, without any code in use if the step is skipped.
        """
        return replace(self, used=self.used & finite)


def draw_restarts(codebooks: int, size: int, dim: int, generator: torch.Generator) -> Tensor:
    """Draw the random numbers with which a vector of the batch is chosen for every entry, and moved a little.

    Args:
        codebooks: number of codebooks
        size: entries of a codebook
        dim: dimension of the entries
        generator: source of random numbers, on the CPU

    Returns:
        ``[codebooks * size + size * dim]``: uniform numbers from 0 to 1, then normal ones, which the codebooks share.
    """
    chosen = torch.rand(codebooks * size, generator=generator)
    return torch.cat([chosen, torch.randn(size * dim, generator=generator)])


def sum_points(batch: BatchUsage, size: int) -> Tensor:
    """Add up the vectors of each entry, and count them.

    Sums of several batches can be added.

    Args:
        batch: usage of a batch
        size: entries of a codebook

    Returns:
        ``[codebooks, size, dim + 1]``: the sums of the coordinates, and last the counts.
    """
    codebooks, _, dim = batch.points.shape
    # where, since a product with 0 keeps what is not finite
    points = torch.where(batch.used[..., None], batch.points, 0.0)
    counted = torch.cat([points, batch.used[..., None].to(points.dtype)], -1)
    first = torch.arange(0, codebooks * size, size, device=points.device)
    sums = points.new_zeros(codebooks * size, dim + 1)
    sums.index_add_(0, (batch.codes + first[:, None]).flatten(), counted.flatten(0, 1))
    return sums.view(codebooks, size, dim + 1)


def restart_candidates(batch: BatchUsage, restarts: Tensor, processes: Processes = ONE_PROCESS) -> Tensor:
    """Choose a vector in use for every entry at random, slightly moved.

    Args:
        batch: usage of a batch, or the part of it that this process computed
        restarts: numbers of :func:`draw_restarts`, the same in all processes
        processes: those that share the batch

    Returns:
        Coordinates ``[codebooks, size, dim]``; of no meaning for a codebook that no vector used. Of several processes,
        each returns the vectors that are its own, and zeros for the others: their sum is that of one process.
    """
    codebooks, vectors, dim = batch.points.shape
    size = len(restarts) // (codebooks + dim)
    chosen, noise = restarts[: codebooks * size].view(codebooks, size), restarts[codebooks * size :].view(size, dim)
    order = batch.used.cumsum(1)
    own = order[:, -1:]
    points = torch.where(batch.used[..., None], batch.points, 0.0)
    before, count, spread = _count_and_spread(batch, points, own, processes)
    # the n-th vector in use is the first at which the count reaches n
    wanted = torch.minimum((chosen * count).long() + 1, count) - before
    index = torch.searchsorted(order, wanted).clamp(max=vectors - 1)
    candidates = points.gather(1, index[..., None].expand(-1, -1, dim)) + _NOISE * spread[..., None] * noise
    return torch.where(((wanted > 0) & (wanted <= own))[..., None] | (count == 0)[..., None], candidates, 0.0)


def _count_and_spread(
    batch: BatchUsage, points: Tensor, own: Tensor, processes: Processes
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the numbers of vectors in use ``[codebooks, 1]``, in the processes before this one and in all, and the
    standard deviation of their coordinates. Sums of squares are combined as T. Chan, G. Golub and R. LeVeque do (1983).
    """
    values = own[..., None] * points.shape[-1]
    mean = points.sum((1, 2), keepdim=True) / values.clamp(min=1)
    squares = torch.where(batch.used[..., None], (points - mean).square(), 0.0).sum((1, 2))
    known = torch.stack([own[:, 0].to(points.dtype), mean[:, 0, 0], squares])
    counts, means, squares = processes.gather(known[None]).unbind(1)  # each [processes, codebooks]
    count = counts.sum(0).long()[:, None]
    numbers = counts * points.shape[-1]
    total = numbers.sum(0)
    middle = (numbers * means).sum(0) / total.clamp(min=1)
    squares = squares.sum(0) + (numbers * (means - middle).square()).sum(0)
    spread = (squares / (total - 1).clamp(min=1)).sqrt()
    return counts[: processes.rank].sum(0).long()[:, None], count, spread[:, None]


def updated_codebooks(
    codebooks: Tensor, usage: Tensor, sums: Tensor, candidates: Tensor, decay: float, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Move entries towards the means of their vectors, and restart dead entries.

    Args:
        codebooks: ``[codebooks, size, dim]``
        usage: moving average of how often an entry is chosen, relative to uniform use ``[codebooks, size]``
        sums: of :func:`sum_points`. A codebook that no vector used remains unchanged.
        candidates: of :func:`restart_candidates`
        decay: decay of the moving averages per batch
        threshold: entries used less than this share of an even share are restarted

    Returns:
        The codebooks, their usage, and the number of restarted entries (scalar).
    """
    counts, size = sums[..., -1], codebooks.shape[1]
    total = counts.sum(1, keepdim=True)
    active = total > 0
    share = counts * size / total.clamp(min=1)
    usage = torch.where(active, usage.lerp(share, 1 - decay), usage)
    means = sums[..., :-1] / counts.clamp(min=1)[..., None]
    # weighted mean over vectors: the batch's weight is its share of the vectors accumulated in `usage`
    weight = torch.where(active, (1 - decay) * share / usage.clamp(min=1e-6), 0.0)
    codebooks = codebooks.lerp(means, weight[..., None])
    dead = active & (usage < threshold)
    codebooks = torch.where(dead[..., None], candidates, codebooks)
    return codebooks, torch.where(dead, 1.0, usage), dead.sum()
