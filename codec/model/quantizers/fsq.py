"""Residual finite scalar quantization: bounded dimensions rounded to fixed grids.

Source: F. Mentzer et al., "Finite scalar quantization: VQ-VAE made simple", 2023.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.bitstream.codes import NO_CODE
from codec.config import QuantizerConfig
from codec.model.processes import ONE_PROCESS, Processes
from codec.model.quantizers.importance import LevelWeights, code_importances, importance_thresholds
from codec.model.quantizers.quantized import Quantized

RANGE_IN_DEVIATIONS = 1.5
"""Range of a dimension in standard deviations of its values at the start of training."""


class ResidualFSQ(nn.Module):
    """Groups of bounded dimensions, each rounded to a grid; every further stage refines by one grid cell.

    With ``L`` levels, stage 0 has its grid points ``2 / (L - 1)`` apart on [-1, 1]; stage ``s`` quantizes the
    residual on that grid shrunk by ``(L - 1)^s``, so that its range just covers one cell of the stage before. Codes
    are ordered stage by stage, within a stage group by group.

    Args:
        config: levels, groups and number of codebooks (groups times stages)
    """

    levels: Tensor
    place: Tensor

    def __init__(self, config: QuantizerConfig):
        super().__init__()
        self.groups = config.groups
        self.depth = config.codebooks // config.groups
        self.processes: Processes = ONE_PROCESS
        """Those that share each training batch."""
        self.register_buffer("levels", torch.tensor(config.levels, dtype=torch.float32), persistent=False)
        place = [math.prod(config.levels[:i]) for i in range(len(config.levels))]
        self.register_buffer("place", torch.tensor(place), persistent=False)

    def _bound(self, latent: Tensor) -> Tensor:
        return torch.tanh(latent).unflatten(-1, (self.groups, -1))

    def _cells(self, bounded: Tensor) -> tuple[Tensor, Tensor]:
        """Round ``[batch, frames, groups, dims]`` to grid indices ``[batch, frames, depth, groups, dims]``, and compute
        the importances of the codes ``[batch, codebooks, frames]``.
        """
        residual, cells, errors = bounded, [], [bounded.square().sum(-1)]
        for stage in range(self.depth):
            shrink = (self.levels - 1) ** stage
            cell = ((residual * shrink + 1) * (self.levels - 1) / 2).round()
            cell = cell.clamp(torch.zeros_like(self.levels), self.levels - 1)
            cells.append(cell)
            residual = residual - self._values(cell, stage)
            errors.append(residual.square().sum(-1))
        gains = torch.stack(errors, 1).diff(dim=1).transpose(2, 3).flatten(1, 2)
        level = errors[0].sum(-1)
        error = level[:, None] + torch.cat([torch.zeros_like(gains[:, :1]), gains.cumsum(1)[:, :-1]], 1)
        return torch.stack(cells, 2), code_importances(error, LevelWeights().log_weights(bounded, level))

    def _values(self, cells: Tensor, stage: int) -> Tensor:
        return (cells * 2 / (self.levels - 1) - 1) / (self.levels - 1) ** stage

    def _sum(self, cells: Tensor, used: Tensor) -> Tensor:
        """Add up the grid values of the codes that are ``used`` ``[batch, codebooks, frames]``: ``[batch, frames,
        groups, dims]``.
        """
        values = torch.stack([self._values(cells[:, :, s], s) for s in range(self.depth)], 2)
        return (values * used.transpose(1, 2).unflatten(2, (self.depth, self.groups))[..., None]).sum(2)

    def _codes(self, cells: Tensor) -> Tensor:
        return (cells.long() * self.place).sum(-1).flatten(2).transpose(1, 2)

    def forward(self, latent: Tensor, codebooks: Tensor) -> Quantized:
        """Quantize latents for training; a frame of item ``b`` uses ``codebooks[b]`` of its codes on average.

        Args:
            latent: ``[batch, frames, dimension]``
            codebooks: mean number of codebooks of each item ``[batch]``, see :func:`importance_thresholds`

        Returns:
            The latents quantized with the codes in use; no commitment loss.
        """
        bounded = self._bound(latent)
        with torch.no_grad():
            cells, importances = self._cells(bounded)
            of_batch = self.processes.gather(importances) if self.training else importances
            used = (importances >= importance_thresholds(of_batch, codebooks)).to(latent.dtype)
            total = self._sum(cells, used)
            # a group without any code is zero, and learns nothing
            present = used[:, : self.groups].transpose(1, 2)[..., None]
        value = bounded * present + (total - bounded * present).detach()
        return Quantized(value.flatten(2), self._codes(cells), latent.new_zeros(()))

    def direction_scales(self, power: Tensor) -> Tensor:
        """Return the divisors of the signal's directions before quantization: each fills its grid.

        Args:
            power: mean power of each direction ``[dimension]``

        Returns:
            ``[dimension]``.
        """
        return RANGE_IN_DEVIATIONS * power.sqrt()

    def initialise(self, latent: Tensor, generator: torch.Generator, first: int = 0) -> None:
        """Do nothing, since the grid is fixed.

        Args:
            latent: not used
            generator: not used
            first: not used
        """

    def begin_batch(self) -> None:
        """Do nothing, since no statistics are kept."""

    def draw_restarts(self, generator: torch.Generator) -> Tensor:
        """Draw nothing, since every grid point stays in reach.

        Args:
            generator: not used

        Returns:
            No numbers.
        """
        return torch.empty(0)

    def update_codebooks(self, restarts: Tensor, finite: Tensor) -> Tensor:
        """Do nothing, since the grid is fixed.

        Args:
            restarts: not used
            finite: not used

        Returns:
            0, the number of dead-code restarts (scalar).
        """
        return self.levels.new_zeros(())

    def fused(self) -> "ResidualFSQ":
        """Return the quantizer for inference.

        Returns:
            Itself, since there is nothing to multiply out.
        """
        return self

    def compact(self) -> "ResidualFSQ":
        """Return the lookup of codes that takes the least memory.

        Returns:
            Itself, since the grid takes none.
        """
        return self

    def encode(self, latent: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
        """Quantize latents.

        Args:
            latent: ``[batch, frames, dimension]``
            codebooks: number of codebooks to use

        Returns:
            Codes and their importances ``[batch, codebooks, frames]``.
        """
        cells, importances = self._cells(self._bound(latent))
        return self._codes(cells)[:, :codebooks], importances[:, :codebooks]

    def continuous(self, latent: Tensor) -> Tensor:
        """Return the latents that the decoder would get without quantization.

        Args:
            latent: ``[batch, frames, dimension]``

        Returns:
            The latents inside the range of the grid.
        """
        return self._bound(latent).flatten(2)

    def decode(self, codes: Tensor) -> Tensor:
        """Return the latents of codes.

        Args:
            codes: ``[batch, codebooks, frames]``; some may be :data:`NO_CODE`

        Returns:
            ``[batch, frames, dimension]``.
        """
        codes = F.pad(codes, (0, 0, 0, self.depth * self.groups - codes.shape[1]), value=NO_CODE)
        cells = (codes.clamp(min=0).transpose(1, 2)[..., None] // self.place) % self.levels.long()
        cells = cells.unflatten(2, (self.depth, self.groups)).float()
        return self._sum(cells, (codes != NO_CODE).float()).flatten(2)
