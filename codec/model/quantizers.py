"""Residual quantizers: learnt codebooks (RVQ) and fixed grids (FSQ), interchangeable by recipe.

Both take a latent ``[batch, frames, features]`` to codes ``[batch, quantizers, frames]`` and back. Each stage quantizes
what the stages before it left over. That residual is computed from *detached* values: otherwise the straight-through
gradient of a stage would flow through all later ones as well and cancel out.

Sources: RVQ, N. Zeghidour et al., "SoundStream", 2021; factorised and normalised codes, R. Kumar et al., "High-fidelity
audio compression with improved RVQGAN", 2023; FSQ, F. Mentzer et al., "Finite scalar quantization", 2023.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.config import QuantizerConfig


@dataclass(frozen=True)
class Quantized:
    """``latent`` ``[batch, frames, features]`` with straight-through gradient; ``codes`` ``[batch, quantizers,
    frames]``; scalar losses, zero where the quantizer has nothing to learn."""

    latent: Tensor
    codes: Tensor
    commitment: Tensor
    codebook: Tensor


@dataclass(frozen=True)
class Seen:
    """What a stage was given in the last training batch: ``directions`` ``[vectors, dim]``, ``codes`` ``[vectors]``."""

    directions: Tensor
    codes: Tensor


class VectorStage(nn.Module):
    """One codebook whose entries are compared with the latent by angle, in a few dimensions.

    ``usage`` is a running mean of how often an entry is chosen, relative to an even share.
    """

    usage: Tensor

    def __init__(self, features: int, size: int, dim: int):
        super().__init__()
        self.project_in = nn.Linear(features, dim)
        self.project_out = nn.Linear(dim, features)
        self.codebook = nn.Parameter(F.normalize(torch.randn(size, dim), dim=-1))
        self.register_buffer("usage", torch.ones(size))
        self.seen: Seen | None = None

    def nearest(self, direction: Tensor) -> Tensor:
        return (direction @ F.normalize(self.codebook, dim=-1).T).argmax(-1)

    def lookup(self, codes: Tensor) -> Tensor:
        return self.project_out(F.normalize(F.embedding(codes, self.codebook), dim=-1))

    def encode(self, residual: Tensor) -> Tensor:
        return self.nearest(F.normalize(self.project_in(residual), dim=-1))

    def forward(self, residual: Tensor) -> Quantized:
        direction = F.normalize(self.project_in(residual), dim=-1)
        with torch.no_grad():
            codes = self.nearest(direction)
        chosen = F.normalize(F.embedding(codes, self.codebook), dim=-1)
        if self.training:
            self.seen = Seen(direction.detach().flatten(0, 1), codes.flatten())
        return Quantized(
            self.project_out(direction + (chosen - direction).detach()),
            codes,
            commitment=(direction - chosen.detach()).square().mean((1, 2)),
            codebook=(chosen - direction.detach()).square().mean((1, 2)),
        )

    @torch.no_grad()
    def initialise(self, residual: Tensor, generator: torch.Generator, iterations: int = 10) -> None:
        """Fits the stage to ``[vectors, features]``: projection on the strongest directions, entries by spherical
        k-means, and back by least squares."""
        dim, size = self.codebook.shape[1], len(self.codebook)
        _, directions = torch.linalg.eigh((residual.T @ residual).double())
        self.project_in.weight.copy_(directions.flip(1)[:, :dim].T)
        self.project_in.bias.zero_()
        points = F.normalize(self.project_in(residual), dim=-1)
        centres = _draw(points, size, generator)
        for _ in range(iterations):
            nearest = (points @ centres.T).argmax(-1)
            sums = torch.zeros_like(centres).index_add_(0, nearest, points)
            empty = torch.bincount(nearest, minlength=size) == 0
            sums[empty] = _draw(points, int(empty.sum()), generator)
            centres = F.normalize(sums, dim=-1)
        self.codebook.copy_(centres)
        chosen = centres[(points @ centres.T).argmax(-1)]
        affine = torch.cat([chosen, torch.ones(len(chosen), 1)], 1).double()
        back = torch.linalg.lstsq(affine, residual.double(), driver="gelsd").solution
        self.project_out.weight.copy_(back[:-1].T)
        self.project_out.bias.copy_(back[-1])
        self.usage.fill_(1)

    @torch.no_grad()
    def restart_unused(self, generator: torch.Generator, decay: float, threshold: float) -> int:
        """Updates ``usage`` from the last batch and replaces entries used less than ``threshold`` of an even share by
        vectors of that batch. Returns how many were replaced."""
        if self.seen is None:
            return 0
        size = len(self.codebook)
        counts = torch.bincount(self.seen.codes, minlength=size)
        self.usage.lerp_(counts * (size / len(self.seen.codes)), 1 - decay)
        unused = self.usage < threshold
        self.codebook[unused] = _draw(self.seen.directions, int(unused.sum()), generator)
        self.usage[unused] = 1
        return int(unused.sum())


def _draw(vectors: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` of the vectors at random; slightly moved, so that none occurs twice even where there are too few."""
    index = torch.randint(len(vectors), (count,), generator=generator).to(vectors.device)
    noise = torch.randn(count, vectors.shape[1], generator=generator).to(vectors.device)
    return F.normalize(vectors[index] + 1e-3 * noise, dim=-1)


class ResidualVQ(nn.Module):
    def __init__(self, config: QuantizerConfig):
        super().__init__()
        stages = [
            VectorStage(config.features, config.codebook_size, config.codebook_dim) for _ in range(config.codebooks)
        ]
        self.stages: Sequence[VectorStage] = nn.ModuleList(stages)  # type: ignore[assignment]

    def forward(self, latent: Tensor, codebooks: Tensor) -> Quantized:
        """Quantizes item ``b`` with its first ``codebooks[b]`` codebooks; losses count only those."""
        residual, total, codes = latent, torch.zeros_like(latent), []
        commitment = codebook = latent.new_zeros(())
        for index, stage in enumerate(self.stages):
            used = (index < codebooks).to(latent.dtype)
            step = stage(residual)
            quantized = step.latent * used[:, None, None]
            residual = residual - quantized.detach()
            total = total + quantized
            codes.append(step.codes)
            commitment = commitment + (step.commitment * used).mean()
            codebook = codebook + (step.codebook * used).mean()
        return Quantized(total, torch.stack(codes, 1), commitment, codebook)

    @torch.no_grad()
    def initialise(self, latent: Tensor, generator: torch.Generator) -> None:
        """Stage after stage, on ``[batch, frames, features]``."""
        for stage in self.stages:
            stage.initialise(latent.flatten(0, 1), generator)
            latent = latent - stage.lookup(stage.encode(latent))

    @torch.no_grad()
    def restart_unused(self, generator: torch.Generator, decay: float = 0.99, threshold: float = 0.03) -> int:
        """Replaces the entries that hardly occurred in the last batches; returns how many."""
        return sum(stage.restart_unused(generator, decay, threshold) for stage in self.stages)

    def encode(self, latent: Tensor, codebooks: int) -> Tensor:
        codes = []
        for stage in self.stages[:codebooks]:
            codes.append(stage.encode(latent))
            latent = latent - stage.lookup(codes[-1])
        return torch.stack(codes, 1)

    def decode(self, codes: Tensor) -> Tensor:
        return torch.stack([stage.lookup(codes[:, i]) for i, stage in enumerate(self.stages[: codes.shape[1]])]).sum(0)


class ResidualFSQ(nn.Module):
    """Groups of bounded dimensions, each rounded to a grid; every further stage refines by one grid cell.

    With ``L`` levels, stage 0 has its grid points ``2 / (L - 1)`` apart on [-1, 1]; stage ``s`` quantizes the
    residual on that grid shrunk by ``(L - 1)^s``, so that its range just covers one cell of the stage before. Codes
    are ordered stage by stage, within a stage group by group.
    """

    levels: Tensor
    place: Tensor

    def __init__(self, config: QuantizerConfig):
        super().__init__()
        self.groups = config.groups
        self.depth = config.codebooks // config.groups
        dims = len(config.levels)
        self.register_buffer("levels", torch.tensor(config.levels, dtype=torch.float32), persistent=False)
        place = [math.prod(config.levels[:i]) for i in range(dims)]
        self.register_buffer("place", torch.tensor(place), persistent=False)

    def _bound(self, latent: Tensor) -> Tensor:
        return torch.tanh(latent).unflatten(-1, (self.groups, -1))

    def _cells(self, bounded: Tensor) -> Tensor:
        """``[batch, frames, groups, dims]`` to grid indices ``[batch, frames, depth, groups, dims]``."""
        residual, cells = bounded, []
        for stage in range(self.depth):
            shrink = (self.levels - 1) ** stage
            cell = ((residual * shrink + 1) * (self.levels - 1) / 2).round()
            cell = cell.clamp(torch.zeros_like(self.levels), self.levels - 1)
            cells.append(cell)
            residual = residual - self._values(cell, stage)
        return torch.stack(cells, 2)

    def _values(self, cells: Tensor, stage: int) -> Tensor:
        return (cells * 2 / (self.levels - 1) - 1) / (self.levels - 1) ** stage

    def _sum(self, cells: Tensor, used: Tensor) -> Tensor:
        """Grid values of the used codes added up: ``[batch, frames, groups, dims]``."""
        values = torch.stack([self._values(cells[:, :, s], s) for s in range(self.depth)], 2)
        return (values * used.unflatten(-1, (self.depth, self.groups))[:, None, :, :, None]).sum(2)

    def _codes(self, cells: Tensor) -> Tensor:
        return (cells.long() * self.place).sum(-1).flatten(2).transpose(1, 2)

    def forward(self, latent: Tensor, codebooks: Tensor) -> Quantized:
        """Quantizes item ``b`` with its first ``codebooks[b]`` codes; there is nothing to learn."""
        bounded = self._bound(latent)
        with torch.no_grad():
            cells = self._cells(bounded)
            used = (torch.arange(self.depth * self.groups, device=latent.device) < codebooks[:, None]).to(latent.dtype)
            total = self._sum(cells, used)
            present = used[:, None, : self.groups, None]  # a group without any code is zero, and learns nothing
        value = bounded * present + (total - bounded * present).detach()
        nothing = latent.new_zeros(())
        return Quantized(value.flatten(2), self._codes(cells), nothing, nothing)

    def initialise(self, latent: Tensor, generator: torch.Generator) -> None:
        """Nothing: the grid is fixed."""

    def restart_unused(self, generator: torch.Generator) -> int:
        """Nothing: every grid point stays in reach."""
        return 0

    def encode(self, latent: Tensor, codebooks: int) -> Tensor:
        return self._codes(self._cells(self._bound(latent)))[:, :codebooks]

    def decode(self, codes: Tensor) -> Tensor:
        total = self.depth * self.groups
        used = (torch.arange(total, device=codes.device) < codes.shape[1]).float().expand(len(codes), -1)
        codes = F.pad(codes, (0, 0, 0, total - codes.shape[1])).transpose(1, 2)
        cells = (codes[..., None] // self.place) % self.levels.long()
        cells = cells.unflatten(2, (self.depth, self.groups)).float()
        return self._sum(cells, used).flatten(2)


def build_quantizer(config: QuantizerConfig) -> ResidualVQ | ResidualFSQ:
    return ResidualVQ(config) if config.kind == "rvq" else ResidualFSQ(config)
