"""A residual vector quantizer for inference, with everything that does not depend on the input multiplied out once."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.bitstream.codes import NO_CODE
from codec.model.products import linear
from codec.model.quantizers.importance import FrameWeights, code_importances
from codec.model.quantizers.nearest import find_nearest, half_squared_norms
from codec.model.vector_width import VECTOR


class FusedVQ:
    """A :class:`codec.model.quantizers.rvq.ResidualVQ` with fixed codebooks.

    One product gives the coordinates of a latent in the subspaces of all stages; a chosen entry is subtracted from
    those of the stages to come.

    Args:
        bases: orthonormal rows ``[dim, dimension]`` of each stage's subspace
        codebooks: coordinates of the entries ``[size, dim]`` of each stage
        weights: weights of frames in the importance of their codes
    """

    def __init__(self, bases: Sequence[Tensor], codebooks: Sequence[Tensor], weights: FrameWeights):
        self.weights = weights
        self.projection = torch.cat(list(bases)).T.contiguous()
        entries = [codebook @ basis for codebook, basis in zip(codebooks, bases)]
        # the last: of an absent code
        self.entries = torch.cat([*entries, torch.zeros_like(entries[0][:1])])
        self.stages = []
        later = self.projection
        for basis, codebook, entry in zip(bases, codebooks, entries):
            sizes = len(basis), later.shape[1] - len(basis)
            later = later[:, sizes[0] :]
            self.stages.append((sizes, codebook.contiguous(), half_squared_norms(codebook), entry @ later))
        first = [i * len(codebook) for i, codebook in enumerate(codebooks)]
        self.first = torch.tensor(first, device=self.entries.device)

    def encode(self, latent: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
        """Quantize latents.

        Args:
            latent: ``[batch, frames, dimension]``
            codebooks: number of codebooks to use

        Returns:
            Codes and their importances ``[batch, codebooks, frames]``.
        """
        batch, frames, _ = latent.shape
        level = latent.square().sum(-1)
        rest, error = linear(latent.flatten(0, 1), self.projection.T), level.flatten()
        codes, errors = [], []
        for sizes, codebook, offset, correction in self.stages[:codebooks]:
            points, rest = rest.split_with_sizes(sizes, 1)
            code, gain = find_nearest(points, codebook, offset)
            codes.append(code)
            errors.append(error)
            rest, error = rest - correction.index_select(0, code), error - 2 * gain
        shape = (len(codes), batch, frames)
        importances = self._importances(latent.flatten(0, 1), level.flatten(), torch.stack(errors))
        return torch.stack(codes).view(shape).transpose(0, 1), importances.view(shape).transpose(0, 1)

    def _importances(self, latents: Tensor, levels: Tensor, errors: Tensor) -> Tensor:
        """Return importances ``[codebooks, frames]``, which do not depend on how many frames there are.

        They are computed for as many frames as fill whole vectors, see :mod:`codec.model.vector_width`.
        """
        more = -len(latents) % VECTOR
        latents, levels, padded = F.pad(latents, (0, 0, 0, more)), F.pad(levels, (0, more)), F.pad(errors, (0, more))
        log_weight = self.weights.log_weights(latents[None], levels[None])
        return code_importances(padded[None], log_weight)[0, :, : errors.shape[1]]

    def continuous(self, latent: Tensor) -> Tensor:
        """Return the latents that the decoder would get without quantization.

        Args:
            latent: ``[batch, frames, dimension]``

        Returns:
            The same latents.
        """
        return latent

    def decode(self, codes: Tensor) -> Tensor:
        """Return the latents of codes.

        Args:
            codes: ``[batch, codebooks, frames]``; some may be :data:`NO_CODE`

        Returns:
            ``[batch, frames, dimension]``.
        """
        index = torch.where(codes == NO_CODE, len(self.entries) - 1, codes + self.first[: codes.shape[1], None])
        index = index.transpose(1, 2)
        return F.embedding_bag(index.flatten(0, 1), self.entries, mode="sum").unflatten(0, index.shape[:2])


class SingleFrameVQ(FusedVQ):
    """The encoder of a :class:`FusedVQ` for one frame of one stream, in as few operators as possible.

    Args:
        fused: the quantizer, whose arrays are shared
    """

    def __init__(self, fused: FusedVQ):
        vars(self).update(vars(fused))

    def encode(self, latent: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
        """Quantize a latent; see :meth:`FusedVQ.encode`.

        Args:
            latent: ``[1, 1, dimension]``
            codebooks: number of codebooks to use

        Returns:
            Codes and their importances ``[1, codebooks, 1]``.
        """
        rest, codes, gains = latent[0] @ self.projection, [], []
        for sizes, codebook, offset, correction in self.stages[:codebooks]:
            points, rest = rest.split_with_sizes(sizes, 1)
            gain, code = torch.addmm(offset, points, codebook.T, beta=-1).max(1)
            codes.append(code)
            gains.append(gain)
            rest = rest - F.embedding(code, correction)
        gain, level = torch.cat(gains), latent.square().sum(-1)
        errors = level[..., None] - 2 * (gain.cumsum(0) - gain)[:, None]
        return torch.cat(codes)[None, :, None], code_importances(errors, self.weights.log_weights(latent, level))


class SubspaceVQ:
    """Codes to latents by way of the coordinates in the subspaces of the stages: what a graph for export computes.

    Its arrays have a fraction of the size of :attr:`FusedVQ.entries`; the product with the bases costs little.

    Args:
        bases: orthonormal rows ``[dim, dimension]`` of each stage's subspace
        codebooks: coordinates of the entries ``[size, dim]`` of each stage
    """

    def __init__(self, bases: Sequence[Tensor], codebooks: Sequence[Tensor]):
        self.bases = torch.cat(list(bases))
        # the last: of an absent code
        self.points = torch.cat([*codebooks, torch.zeros_like(codebooks[0][:1])])
        self.first = torch.arange(len(codebooks), device=self.points.device) * len(codebooks[0])

    def decode(self, codes: Tensor) -> Tensor:
        """Return the latents of codes.

        Args:
            codes: ``[batch, codebooks, frames]``, of all codebooks; some may be :data:`NO_CODE`

        Returns:
            ``[batch, frames, dimension]``.
        """
        index = torch.where(codes == NO_CODE, len(self.points) - 1, codes + self.first[:, None])
        return F.embedding(index.transpose(1, 2), self.points).flatten(2) @ self.bases
