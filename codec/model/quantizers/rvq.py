"""Residual vector quantization with codebooks in subspaces.

Codebooks are learnt by exponential moving averages (EMA) of the vectors assigned to them, and dead entries are
restarted from vectors of the batch.

Sources: RVQ, N. Zeghidour et al., "SoundStream: an end-to-end neural audio codec", 2021; EMA codebooks, A. van den Oord
et al., "Neural discrete representation learning", 2017. Codebooks in few dimensions are those of R. Kumar et al.,
"High-fidelity audio compression with improved RVQGAN", 2023, without their normalisation: unit-norm entries cannot
represent the level of the signal, and a codec that is initialised as a transform codec loses quality with them.
"""

from collections.abc import Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.config import QuantizerConfig
from codec.model.processes import ONE_PROCESS, Processes
from codec.model.products import linear
from codec.model.quantizers.codebook_update import (
    DECAY,
    RESTART_BELOW,
    BatchUsage,
    draw_restarts,
    restart_candidates,
    sum_points,
    updated_codebooks,
)
from codec.model.quantizers.fused import FusedVQ, SubspaceVQ
from codec.model.quantizers.importance import (
    CodesOfBatch,
    FrameWeights,
    LearnedWeights,
    LevelWeights,
    code_importances,
    importance_thresholds,
    select_codes,
)
from codec.model.quantizers.nearest import assign_nearest, find_nearest, half_squared_norms
from codec.model.quantizers.quantized import Quantized

_FUSING = Lock()
"""Threads that share a model fuse its codebooks once."""


class VectorStage(nn.Module):
    """One codebook of vectors in a subspace: entry ``i`` is ``codebook[i] @ basis``.

    The rows of ``basis`` are orthonormal, so the entry nearest to a residual is the one nearest to its projection: a
    search in ``dim`` dimensions. The subspace is spanned by principal directions of the residual of the previous
    stages; it is chosen once, by :meth:`initialise`. ``usage`` is a moving average of how often an entry is chosen,
    relative to uniform use.

    Args:
        dimension: dimension of the latents
        size: entries of the codebook
        dim: dimension of the subspace
    """

    basis: Tensor
    codebook: Tensor
    usage: Tensor

    def __init__(self, dimension: int, size: int, dim: int):
        super().__init__()
        self.register_buffer("basis", torch.linalg.qr(torch.randn(dimension, min(dim, dimension)))[0].T.contiguous())
        self.register_buffer("codebook", torch.randn(size, len(self.basis)))
        self.register_buffer("usage", torch.ones(size))

    def lookup(self, codes: Tensor) -> Tensor:
        """Return the entries of codes.

        Args:
            codes: ``[...]``

        Returns:
            Latents ``[..., dimension]``.
        """
        return F.embedding(codes, self.codebook) @ self.basis

    def encode(self, residual: Tensor) -> tuple[Tensor, Tensor]:
        """Find the nearest entries.

        Args:
            residual: the residual of the previous stages ``[vectors, dimension]``

        Returns:
            The coordinates in the subspace ``[vectors, dim]``, and the codes ``[vectors]``.
        """
        points = linear(residual, self.basis)
        return points, find_nearest(points, self.codebook, half_squared_norms(self.codebook))[0]

    def initialise(self, residual: Tensor, generator: torch.Generator, iterations: int = 8) -> None:
        """Fit the stage to vectors: their principal directions, and k-means in that subspace.

        Args:
            residual: ``[vectors, dimension]``
            generator: source of random numbers, on the CPU
            iterations: rounds of k-means
        """
        _, directions = torch.linalg.eigh((residual.T @ residual).double())
        self.basis.copy_(directions.flip(1)[:, : len(self.basis)].T)
        points = residual @ self.basis.T
        size = len(self.codebook)
        centres = _draw_vectors(points, size, generator)
        for _ in range(iterations):
            codes = assign_nearest(points, centres)
            counts = torch.bincount(codes, minlength=size)
            centres = torch.zeros_like(centres).index_add_(0, codes, points) / counts.clamp(min=1)[:, None]
            empty = counts == 0
            centres[empty] = _draw_vectors(points, int(empty.sum()), generator)
        self.codebook.copy_(centres)
        self.usage.fill_(1)


class ResidualVQ(nn.Module):
    """Residual vector quantizer.

    Args:
        config: numbers and sizes of its codebooks
    """

    def __init__(self, config: QuantizerConfig):
        super().__init__()
        stages = [
            VectorStage(config.dimension, config.codebook_size, config.codebook_dim) for _ in range(config.codebooks)
        ]
        self.stages: Sequence[VectorStage] = nn.ModuleList(stages)  # type: ignore[assignment]
        learnt = config.frame_weights == "learned"
        self.weights: FrameWeights = LearnedWeights(config.dimension) if learnt else LevelWeights()
        """Weights of frames in the importance of their codes."""
        self.last_batch: BatchUsage | None = None
        """What the codebooks quantized in the training batch so far, see :meth:`begin_batch`."""
        self.processes: Processes = ONE_PROCESS
        """Those that share each training batch."""
        self._fused: FusedVQ | None = None
        self._fused_from: list[tuple[int, int]] = []

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_fused": None}  # made again where it is needed

    def forward(self, latent: Tensor, codebooks: Tensor) -> Quantized:
        """Quantize latents for training at a variable rate: frames of item b use codebooks[b] codebooks on average.

        Args:
            latent: ``[batch, frames, dimension]``
            codebooks: mean number of codebooks of each item ``[batch]``, see :func:`importance_thresholds`

        Returns:
            The latents quantized with the codes in use, and the commitment loss of these.
        """
        shape = (len(self.stages), *latent.shape[:2])
        records = self.training and torch.is_grad_enabled()  # a pass without gradients only looks
        with torch.no_grad():
            residuals, points, codes, entries = [latent.flatten(0, 1)], [], [], []
            for stage in self.stages:
                coordinates, chosen = stage.encode(residuals[-1])
                points.append(coordinates)
                codes.append(chosen)
                entries.append(stage.lookup(chosen))
                residuals.append(residuals[-1] - entries[-1])
            remaining = torch.stack(residuals)
            errors = remaining.square().sum(-1).view(-1, *latent.shape[:2])
        log_weight = self.weights.log_weights(latent.detach(), errors[0])
        with torch.no_grad():
            importances = code_importances(errors[:-1].transpose(0, 1), log_weight)
            processes = self.processes if self.training else ONE_PROCESS
            of_batch = processes.gather(importances)
            thresholds = importance_thresholds(of_batch, codebooks)
            used = importances >= thresholds
            if records:
                usage = BatchUsage(torch.stack(points), torch.stack(codes), used.transpose(0, 1).flatten(1))
                self.last_batch = usage if self.last_batch is None else self.last_batch.followed_by(usage)
        share = used.to(latent.dtype)
        if log_weight.requires_grad:
            whole = CodesOfBatch(of_batch, processes.gather(log_weight))
            share = select_codes(importances, thresholds, log_weight, whole)
        total = (torch.stack(entries).view(*shape, -1) * share.transpose(0, 1)[..., None]).sum(0)
        commitment = _commitment(latent, remaining[1:].view(*shape, -1), errors[1:], used.transpose(0, 1))
        return Quantized(latent - latent.detach() + total, torch.stack(codes).view(shape).transpose(0, 1), commitment)

    def direction_scales(self, power: Tensor) -> Tensor:
        """Return the scale that each latent dimension is divided by before quantization.

        It is the same for all dimensions, so that bits go to those of high power, as in reverse water-filling.

        Args:
            power: mean power of each latent dimension ``[dimension]``

        Returns:
            ``[dimension]``; the mean power of the latent becomes 1.
        """
        return power.mean().sqrt().expand_as(power)

    @torch.no_grad()
    def initialise(self, latent: Tensor, generator: torch.Generator, first: int = 0) -> None:
        """Fit the codebooks to latents, one after the other.

        Args:
            latent: ``[batch, frames, dimension]``
            generator: source of random numbers, on the CPU
            first: first codebook to fit; those before it remain unchanged
        """
        residual = latent.flatten(0, 1)
        for index, stage in enumerate(self.stages):
            if index >= first:
                stage.initialise(residual, generator)
            residual = residual - stage.lookup(assign_nearest(residual @ stage.basis.T, stage.codebook))

    def begin_batch(self) -> None:
        """Forget what earlier batches quantized; parts of a batch that are computed one after the other add up."""
        self.last_batch = None

    def draw_restarts(self, generator: torch.Generator) -> Tensor:
        """Draw the random numbers of the dead-code restarts of a step; see :func:`draw_restarts`.

        Args:
            generator: source of random numbers, on the CPU

        Returns:
            Numbers for :meth:`update_codebooks`, on the CPU.
        """
        size, dim = self.stages[0].codebook.shape
        return draw_restarts(len(self.stages), size, dim, generator)

    @torch.no_grad()
    def update_codebooks(
        self, restarts: Tensor, finite: Tensor, decay: float = DECAY, threshold: float = RESTART_BELOW
    ) -> Tensor:
        """Move entries towards the vectors of the last training batch (EMA), and restart dead entries from them.

        Args:
            restarts: numbers that :meth:`draw_restarts` drew, on the device of the codebooks
            finite: False (scalar) if nothing is to change, because the step is skipped
            decay: decay of the moving averages per batch
            threshold: entries used less than this share of an even share are restarted

        Returns:
            Number of dead-code restarts (scalar).
        """
        if self.last_batch is None:
            return self.stages[0].usage.new_zeros(())
        batch = self.last_batch.only_if(finite)
        codebooks, usages = [s.codebook for s in self.stages], [s.usage for s in self.stages]
        sums, candidates = self._combined(batch, restarts)
        books, usage, restarted = updated_codebooks(
            torch.stack(codebooks), torch.stack(usages), sums, candidates, decay, threshold
        )
        torch._foreach_copy_([*codebooks, *usages], [*books.unbind(), *usage.unbind()])
        self.begin_batch()
        return restarted

    def _combined(self, batch: BatchUsage, restarts: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums and candidates of all processes, which travel in one message."""
        parts = sum_points(batch, len(self.stages[0].codebook)), restart_candidates(batch, restarts, self.processes)
        total = self.processes.sum(torch.cat(parts, -1))
        sums, candidates = total.split([part.shape[-1] for part in parts], -1)
        return sums, candidates

    def continuous(self, latent: Tensor) -> Tensor:
        """Return the latents that the decoder would get without quantization.

        Args:
            latent: ``[batch, frames, dimension]``

        Returns:
            The same latents.
        """
        return latent

    def fused(self) -> FusedVQ:
        """Return the quantizer for inference, with the codebooks as they are now.

        Returns:
            The same object as long as the codebooks do not change.
        """
        bases, codebooks = [stage.basis for stage in self.stages], [stage.codebook for stage in self.stages]
        state = [(tensor.data_ptr(), tensor._version) for tensor in (*bases, *codebooks)]
        with _FUSING:
            if self._fused is None or state != self._fused_from:
                self._fused, self._fused_from = FusedVQ(bases, codebooks, self.weights), state
            return self._fused

    def compact(self) -> SubspaceVQ:
        """Return the lookup of codes that takes the least memory, with the codebooks as they are now.

        Returns:
            A new object.
        """
        return SubspaceVQ([stage.basis for stage in self.stages], [stage.codebook for stage in self.stages])


def _draw_vectors(vectors: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw ``count`` of the vectors at random, slightly moved, so that none occurs twice even if there are too few."""
    index = torch.randint(len(vectors), (count,), generator=generator).to(vectors.device)
    noise = torch.randn(count, vectors.shape[1], generator=generator).to(vectors.device)
    return vectors[index] + 1e-3 * vectors.std() * noise


def _commitment(latent: Tensor, remaining: Tensor, errors: Tensor, used: Tensor) -> Tensor:
    """Return the commitment loss: the squared error after each code in use.

    A frame uses its first codes, so that the error after a code is what remains of the latent after its stage. Value
    and gradient are sums of what is known, without a graph over all stages.

    Args:
        latent: ``[batch, frames, dimension]``
        remaining: what remains after each stage ``[codebooks, batch, frames, dimension]``
        errors: its squared length ``[codebooks, batch, frames]``
        used: whether a code is used ``[codebooks, batch, frames]``

    Returns:
        The loss (scalar).
    """
    with torch.no_grad():
        value = (errors * used).sum() / latent.numel()
        gradient = (remaining * used[..., None]).sum(0) * (2 / latent.numel())
    return value + ((latent - latent.detach()) * gradient).sum()
