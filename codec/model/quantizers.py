"""Residual quantizers: learnt codebooks (RVQ) and fixed grids (FSQ), interchangeable by recipe.

Both take a latent ``[batch, frames, features]`` to codes ``[batch, quantizers, frames]`` and back. Each stage quantizes
what the stages before it left over. The gradient goes straight through, past all stages at once: the residuals are
*detached*.

Sources: RVQ, N. Zeghidour et al., "SoundStream", 2021; codebooks as running means, A. van den Oord et al., "Neural
discrete representation learning", 2017; FSQ, F. Mentzer et al., "Finite scalar quantization", 2023. Codes in few
dimensions are those of R. Kumar et al., "High-fidelity audio compression with improved RVQGAN", 2023, without their
normalisation: entries of one length cannot follow the level of the signal, and a codec that starts as a transform codec
lost 4 dB by it (measured).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.bitstream import codes as numpy_codes
from codec.bitstream.codes import NO_CODE
from codec.config import QuantizerConfig

FEW_POINTS = 16
"""Points: the entries nearest to fewer are found faster by a plain search (measured)."""

RANGE_IN_DEVIATIONS = 1.5
"""Range of an FSQ dimension in standard deviations of what it codes, at the start of training."""

LEVEL_EXPONENT = 0.3
"""How far the error that a frame is left with may follow the frame's level: at 0 all frames get the same error, at 1
the same signal-to-noise ratio. From 0 to 0.5 PESQ hardly differs, and it is lower at 0.7 (measured)."""


@dataclass(frozen=True)
class Quantized:
    """``latent`` ``[batch, frames, features]`` with straight-through gradient; ``codes`` ``[batch, quantizers,
    frames]``, all of them; the ``commitment`` loss, zero where the quantizer has none."""

    latent: Tensor
    codes: Tensor
    commitment: Tensor


@dataclass(frozen=True)
class CodesWithImportance:
    """``codes`` ``[batch, quantizers, frames]`` and how much each is needed, alike; see :func:`code_importances`."""

    codes: Tensor
    importances: Tensor

    def keep_above(self, threshold: Tensor) -> Tensor:
        """The codes that are needed as much as ``bound``, or more; the others are :data:`NO_CODE`. ``bound`` is one
        number, or broadcasts to the codes."""
        return torch.where(self.importances >= threshold, self.codes, NO_CODE)

    def split(self, sizes: list[int], dim: int = 0) -> list["CodesWithImportance"]:
        """Parts of such sizes along a dimension, as of tensors."""
        return [
            CodesWithImportance(*pair) for pair in zip(self.codes.split(sizes, dim), self.importances.split(sizes, dim))
        ]

    def to_numpy(self) -> numpy_codes.CodesWithImportance:
        """The same as NumPy arrays."""
        return numpy_codes.CodesWithImportance(self.codes.cpu().numpy(), self.importances.cpu().numpy())

    @staticmethod
    def join(parts: Sequence["CodesWithImportance"], dim: int = 2) -> "CodesWithImportance":
        """One after the other, by default in time."""
        return CodesWithImportance(
            torch.cat([part.codes for part in parts], dim), torch.cat([part.importances for part in parts], dim)
        )


def code_importances(error: Tensor, level: Tensor) -> Tensor:
    """How much a frame needs each of its codes: ``[batch, quantizers, frames]``, falling from code to code.

    ``error``, of the same shape: the squared error without that code and those after it; ``level`` ``[batch, frames]``:
    the squared length of the latent. A frame that gets its codes as long as they are needed more than a given bound
    spends bits where they lower the error most, as reverse water-filling does; the bound is a matter of the bit rate.
    """
    return (error.clamp(min=0) / level[:, None].clamp(min=1e-9) ** LEVEL_EXPONENT).cummin(1).values


def importance_thresholds(needs: Tensor, codebooks: Tensor) -> Tensor:
    """The bound ``[items, 1, 1]`` by which frames like those of ``needs`` ``[batch, quantizers, frames]`` get
    ``codebooks[item]`` codes on average."""
    share = codebooks.to(needs.dtype) / needs.shape[1]
    return torch.quantile(needs.flatten(), 1 - share)[:, None, None]


@dataclass(frozen=True)
class StageUsage:
    """What a stage was used for in the last training batch: ``points`` ``[vectors, dim]``, ``codes`` ``[vectors]``."""

    points: Tensor
    codes: Tensor


class VectorStage(nn.Module):
    """One codebook of vectors in a subspace: entry ``i`` is ``codebook[i] @ basis``.

    The rows of ``basis`` are orthonormal, so the entry nearest to a residual is the one nearest to its projection: a
    search in ``dim`` dimensions. The subspace holds the strongest directions of what the stages before left over; it is
    chosen once, by :meth:`initialise`. Entries follow the running mean of the vectors that they stand for. ``usage`` is
    a running mean of how often an entry is chosen, relative to an even share.
    """

    basis: Tensor
    codebook: Tensor
    usage: Tensor

    def __init__(self, features: int, size: int, dim: int):
        super().__init__()
        self.register_buffer("basis", torch.linalg.qr(torch.randn(features, min(dim, features)))[0].T.contiguous())
        self.register_buffer("codebook", torch.randn(size, len(self.basis)))
        self.register_buffer("usage", torch.ones(size))
        self.seen: StageUsage | None = None

    def lookup(self, codes: Tensor) -> Tensor:
        return F.embedding(codes, self.codebook) @ self.basis

    def encode(self, residual: Tensor) -> tuple[Tensor, Tensor]:
        """``[vectors, features]`` to its place in the subspace ``[vectors, dim]`` and the codes ``[vectors]`` of the
        nearest entries."""
        points = residual @ self.basis.T
        return points, nearest(points, self.codebook.T, half_square(self.codebook))[0]

    def initialise(self, residual: Tensor, generator: torch.Generator, iterations: int = 8) -> None:
        """Fits the stage to ``[vectors, features]``: the strongest directions, and k-means in them."""
        _, directions = torch.linalg.eigh((residual.T @ residual).double())
        self.basis.copy_(directions.flip(1)[:, : len(self.basis)].T)
        points = residual @ self.basis.T
        size = len(self.codebook)
        centres = _draw_vectors(points, size, generator)
        for _ in range(iterations):
            codes = _assign(points, centres)
            counts = torch.bincount(codes, minlength=size)
            centres = torch.zeros_like(centres).index_add_(0, codes, points) / counts.clamp(min=1)[:, None]
            empty = counts == 0
            centres[empty] = _draw_vectors(points, int(empty.sum()), generator)
        self.codebook.copy_(centres)
        self.usage.fill_(1)

    def update_codebooks(self, generator: torch.Generator, decay: float, threshold: float) -> int:
        """Moves entries towards what they stood for in the last batch, and replaces those used less than ``threshold``
        of an even share by vectors of that batch. Returns how many were replaced."""
        if self.seen is None or not len(self.seen.codes):
            return 0
        points, codes, size = self.seen.points, self.seen.codes, len(self.codebook)
        counts = torch.bincount(codes, minlength=size)
        share = counts * (size / len(codes))
        self.usage.lerp_(share, 1 - decay)
        means = torch.zeros_like(self.codebook).index_add_(0, codes, points) / counts.clamp(min=1)[:, None]
        # the running mean over vectors: a batch weighs as much as its part of all those that usage remembers
        weight = (1 - decay) * share / self.usage.clamp(min=1e-6)
        self.codebook.lerp_(means, weight[:, None])
        unused = self.usage < threshold
        self.codebook[unused] = _draw_vectors(points, int(unused.sum()), generator)
        self.usage[unused] = 1
        return int(unused.sum())


def half_square(codebook: Tensor) -> Tensor:
    """``[size, dim]`` to ``[size]``: what :func:`nearest` subtracts."""
    return codebook.square().sum(-1) / 2


def nearest(points: Tensor, transposed: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Indices ``[points]`` of the entries nearest to ``points`` ``[points, dim]``, and the x·c - c²/2 which is largest
    for them: by twice that the squared error falls. ``transposed`` ``[dim, size]`` are the entries, ``offset`` their
    :func:`half_square`.

    Of many points the maximum is found in two steps, over rows and columns of a table of scores: the first is a
    vectorised maximum, several times faster than one search for the index (measured). For few points, more calls take
    longer than the search. Of entries that are exactly as near, the two ways may choose different ones.
    """
    scores = torch.addmm(offset, points, transposed, beta=-1)
    if scores.shape[0] < FEW_POINTS:
        best, index = scores.max(1)
        return index, best
    columns = math.gcd(scores.shape[1], 32)
    table = scores.unflatten(1, (-1, columns))
    column = table.amax(1).argmax(1)
    best, row = table.gather(2, column[:, None, None].expand(-1, table.shape[1], 1))[..., 0].max(1)
    return row * columns + column, best


def _assign(points: Tensor, centres: Tensor) -> Tensor:
    """Nearest centres, in parts, for the table of all scores would be large."""
    offset = half_square(centres)
    return torch.cat([nearest(part, centres.T, offset)[0] for part in points.split(8192)])


def _draw_vectors(vectors: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` of the vectors at random; slightly moved, so that none occurs twice even where there are too few."""
    index = torch.randint(len(vectors), (count,), generator=generator).to(vectors.device)
    noise = torch.randn(count, vectors.shape[1], generator=generator).to(vectors.device)
    return vectors[index] + 1e-3 * vectors.std() * noise


_FUSING = Lock()
"""Threads that use one model fold it once."""


class FusedVQ:
    """A :class:`ResidualVQ` for inference: everything that does not depend on the input is multiplied out once.

    One product gives the latent's coordinates in all stages' subspaces; a chosen entry is subtracted from those of the
    stages to come.
    """

    def __init__(self, stages: Sequence[VectorStage]):
        bases = [stage.basis for stage in stages]
        self.projection = torch.cat(bases).T.contiguous()
        entries = [stage.codebook @ stage.basis for stage in stages]
        # the last: of an absent code
        self.entries = torch.cat([*entries, torch.zeros_like(entries[0][:1])])
        self.stages = []
        later = self.projection
        for stage, entry in zip(stages, entries):
            sizes = len(stage.basis), later.shape[1] - len(stage.basis)
            later = later[:, sizes[0] :]
            book = stage.codebook.T.contiguous()
            self.stages.append((sizes, book, half_square(stage.codebook), entry @ later))
        first = [i * len(stage.codebook) for i, stage in enumerate(stages)]
        self.first = torch.tensor(first, device=self.entries.device)

    def encode(self, latent: Tensor, codebooks: int) -> CodesWithImportance:
        """``[batch, frames, features]`` to codes ``[batch, codebooks, frames]``."""
        batch, frames, _ = latent.shape
        level = latent.square().sum(-1)
        rest, error = latent.flatten(0, 1) @ self.projection, level.flatten()
        codes, errors = [], []
        for sizes, book, offset, correction in self.stages[:codebooks]:
            points, rest = rest.split_with_sizes(sizes, 1)
            code, gain = nearest(points, book, offset)
            codes.append(code)
            errors.append(error)
            rest, error = rest - correction.index_select(0, code), error - 2 * gain
        shape = (len(codes), batch, frames)
        needs = code_importances(torch.stack(errors).view(shape).transpose(0, 1), level)
        return CodesWithImportance(torch.stack(codes).view(shape).transpose(0, 1), needs)

    def continuous(self, latent: Tensor) -> Tensor:
        """What decoding would give if the codes were exact: the latent itself."""
        return latent

    def decode(self, codes: Tensor) -> Tensor:
        """Codes ``[batch, codebooks, frames]``, of which some may be :data:`NO_CODE`, to ``[batch, frames,
        features]``."""
        index = torch.where(codes == NO_CODE, len(self.entries) - 1, codes + self.first[: codes.shape[1], None])
        index = index.transpose(1, 2)
        return F.embedding_bag(index.flatten(0, 1), self.entries, mode="sum").unflatten(0, index.shape[:2])


class ResidualVQ(nn.Module):
    def __init__(self, config: QuantizerConfig):
        super().__init__()
        stages = [
            VectorStage(config.dimension, config.codebook_size, config.codebook_dim) for _ in range(config.codebooks)
        ]
        self.stages: Sequence[VectorStage] = nn.ModuleList(stages)  # type: ignore[assignment]
        self._folded: FusedVQ | None = None
        self._folded_from: list[tuple[int, int]] = []

    def forward(self, latent: Tensor, codebooks: Tensor) -> Quantized:
        """Quantizes the frames of item ``b`` with the first of their codes, ``codebooks[b]`` on average; see
        :func:`importance_thresholds`. The loss counts only those."""
        with torch.no_grad():
            residual, entries, errors, seen = latent.flatten(0, 1), [], [], []
            for stage in self.stages:
                errors.append(residual.square().sum(-1))
                seen.append(StageUsage(*stage.encode(residual)))
                entries.append(stage.lookup(seen[-1].codes))
                residual = residual - entries[-1]
            shape = (len(entries), *latent.shape[:2])
            needs = code_importances(torch.stack(errors).view(shape).transpose(0, 1), errors[0].view(shape[1:]))
            used = needs >= importance_thresholds(needs, codebooks)
            if self.training:
                for stage, all_seen, mask in zip(self.stages, seen, used.transpose(0, 1).flatten(1)):
                    stage.seen = StageUsage(all_seen.points[mask], all_seen.codes[mask])
        total, commitment = torch.zeros_like(latent), latent.new_zeros(())
        for entry, mask in zip(entries, used.to(latent.dtype).unbind(1)):
            total = total + entry.view_as(latent) * mask[..., None]
            commitment = commitment + ((latent - total).square() * mask[..., None]).mean()
        codes = torch.stack([one.codes for one in seen]).view(shape).transpose(0, 1)
        return Quantized(latent + (total - latent).detach(), codes, commitment)

    def scale(self, power: Tensor) -> Tensor:
        """By what to divide directions of the signal of such ``power`` ``[features]``: all alike, so that the stages
        spend their bits where the power is, as reverse water-filling does. The latent's mean power becomes 1."""
        return power.mean().sqrt().expand_as(power)

    @torch.no_grad()
    def initialise(self, latent: Tensor, generator: torch.Generator, first: int = 0) -> None:
        """Stage after stage, from the ``first`` to be fitted on, on ``[batch, frames, features]``."""
        residual = latent.flatten(0, 1)
        for index, stage in enumerate(self.stages):
            if index >= first:
                stage.initialise(residual, generator)
            residual = residual - stage.lookup(_assign(residual @ stage.basis.T, stage.codebook))

    @torch.no_grad()
    def update_codebooks(self, generator: torch.Generator, decay: float = 0.99, threshold: float = 0.03) -> int:
        """Codebooks follow what the last training batch put into them; returns how many entries were replaced because
        they hardly occurred in the last batches."""
        return sum(stage.update_codebooks(generator, decay, threshold) for stage in self.stages)

    def fused(self) -> FusedVQ:
        """For inference with the codebooks as they are now; made anew only when they have changed."""
        state = [(buffer.data_ptr(), buffer._version) for buffer in self.buffers()]
        with _FUSING:
            if self._folded is None or state != self._folded_from:
                self._folded, self._folded_from = FusedVQ(self.stages), state
            return self._folded


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

    def _cells(self, bounded: Tensor) -> tuple[Tensor, Tensor]:
        """``[batch, frames, groups, dims]`` to grid indices ``[batch, frames, depth, groups, dims]``, and the
        :func:`code_importances` for each code ``[batch, quantizers, frames]``."""
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
        return torch.stack(cells, 2), code_importances(error, level)

    def _values(self, cells: Tensor, stage: int) -> Tensor:
        return (cells * 2 / (self.levels - 1) - 1) / (self.levels - 1) ** stage

    def _sum(self, cells: Tensor, used: Tensor) -> Tensor:
        """Grid values of the codes that are ``used`` ``[batch, quantizers, frames]``, added up: ``[batch, frames,
        groups, dims]``."""
        values = torch.stack([self._values(cells[:, :, s], s) for s in range(self.depth)], 2)
        return (values * used.transpose(1, 2).unflatten(2, (self.depth, self.groups))[..., None]).sum(2)

    def _codes(self, cells: Tensor) -> Tensor:
        return (cells.long() * self.place).sum(-1).flatten(2).transpose(1, 2)

    def forward(self, latent: Tensor, codebooks: Tensor) -> Quantized:
        """As :meth:`ResidualVQ.forward`; there is nothing to learn."""
        bounded = self._bound(latent)
        with torch.no_grad():
            cells, needs = self._cells(bounded)
            used = (needs >= importance_thresholds(needs, codebooks)).to(latent.dtype)
            total = self._sum(cells, used)
            # a group without any code is zero, and learns nothing
            present = used[:, : self.groups].transpose(1, 2)[..., None]
        value = bounded * present + (total - bounded * present).detach()
        return Quantized(value.flatten(2), self._codes(cells), latent.new_zeros(()))

    def scale(self, power: Tensor) -> Tensor:
        """By what to divide directions of the signal of such ``power`` ``[features]``: each fills its grid."""
        return RANGE_IN_DEVIATIONS * power.sqrt()

    def initialise(self, latent: Tensor, generator: torch.Generator, first: int = 0) -> None:
        """Nothing: the grid is fixed."""

    def update_codebooks(self, generator: torch.Generator) -> int:
        """Nothing: every grid point stays in reach."""
        return 0

    def fused(self) -> "ResidualFSQ":
        """Itself: there is nothing to multiply out."""
        return self

    def encode(self, latent: Tensor, codebooks: int) -> CodesWithImportance:
        cells, needs = self._cells(self._bound(latent))
        return CodesWithImportance(self._codes(cells)[:, :codebooks], needs[:, :codebooks])

    def continuous(self, latent: Tensor) -> Tensor:
        """As :meth:`FusedVQ.continuous`: inside the grid's range."""
        return self._bound(latent).flatten(2)

    def decode(self, codes: Tensor) -> Tensor:
        codes = F.pad(codes, (0, 0, 0, self.depth * self.groups - codes.shape[1]), value=NO_CODE)
        cells = (codes.clamp(min=0).transpose(1, 2)[..., None] // self.place) % self.levels.long()
        cells = cells.unflatten(2, (self.depth, self.groups)).float()
        return self._sum(cells, (codes != NO_CODE).float()).flatten(2)


class Unquantized:
    """In the place of a quantizer for inference: continuous latents ``[batch, features, frames]`` in the place of
    codes."""

    def __init__(self, quantizer: "InferenceQuantizer"):
        self.quantizer = quantizer

    def encode(self, latent: Tensor, codebooks: int) -> CodesWithImportance:
        """``[batch, frames, features]``, all of it whatever ``codebooks`` is."""
        latents = self.quantizer.continuous(latent).transpose(1, 2)
        return CodesWithImportance(latents, torch.zeros_like(latents))

    def decode(self, latents: Tensor) -> Tensor:
        return latents.transpose(1, 2)


Quantizer = ResidualVQ | ResidualFSQ
InferenceQuantizer = FusedVQ | ResidualFSQ
"""For inference."""


def build_quantizer(config: QuantizerConfig) -> Quantizer:
    return ResidualVQ(config) if config.kind == "rvq" else ResidualFSQ(config)
