"""Codes in the format: arrays of integers, the value of an absent code, and the interface of entropy coders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from codec.audio.waveform import FloatArray

NO_CODE = -1
"""Value of an absent code."""

CodeArray = npt.NDArray[np.int64]
"""Codes ``[channels, codebooks, frames]``; within a frame, absent codes are the last ones."""

IntArray = npt.NDArray[np.integer]


@dataclass(frozen=True)
class CodesWithImportance:
    """Codes of an encoder, and the importance that decides which of them are sent at a limited bit rate."""

    codes: CodeArray
    """``[streams, codebooks, frames]``."""
    importances: FloatArray
    """Of the same shape, at least 0, and falling from codebook to codebook; see
    :func:`codec.model.quantizers.importance.code_importances`."""

    def keep_above(self, threshold: float) -> CodeArray:
        """Return the codes of at least a given importance.

        Args:
            threshold: importance; compared in float32

        Returns:
            ``codes``, in which those of less importance are :data:`NO_CODE`.

        >>> coded = CodesWithImportance(np.array([[[7], [5]]]), np.array([[[0.9], [0.1]]], np.float32))
        >>> coded.keep_above(0.5).tolist()
        [[[7], [-1]]]
        """
        return np.where(self.importances >= np.float32(threshold), self.codes, NO_CODE)

    def split_frames(self, size: int) -> list["CodesWithImportance"]:
        """Split in time.

        Args:
            size: frames per part

        Returns:
                Parts of ``size`` frames, and a last part with the remaining frames, which may be none.
        """
        cuts = range(size, self.codes.shape[2] + 1, size)
        parts = zip(np.split(self.codes, cuts, 2), np.split(self.importances, cuts, 2))
        return [CodesWithImportance(*part) for part in parts]

    @staticmethod
    def join(parts: Sequence["CodesWithImportance"]) -> "CodesWithImportance":
        """Join in time.

        Args:
            parts: at least one part, of the same streams and codebooks

        Returns:
            The parts, one after the other.
        """
        return CodesWithImportance(
            np.concatenate([part.codes for part in parts], 2), np.concatenate([part.importances for part in parts], 2)
        )


@dataclass(frozen=True)
class PacketCodes:
    """Codes of consecutive latent frames, or their loss."""

    first: int
    """Number of the first latent frame."""
    frames: int
    """Number of latent frames."""
    codes: CodeArray | None
    """``[channels, codebooks, frames]``; None if they are lost."""
    reason: str = ""
    """Reason of the loss."""


CODES_AT_ONCE = 1 << 17
"""Largest number of codes in packets that are coded together."""


class PacketDecoder(Protocol):
    """Entropy decoder of the packets of the archive profile."""

    def decode_packets(
        self, payloads: Sequence[bytes], channels: int, codebooks: int, frames: int, variable: bool
    ) -> Sequence[CodeArray | ValueError]:
        """Decode the payloads of packets of equal size.

        Args:
            payloads: payloads, of untrusted origin
            channels: channels of the file
            codebooks: codebooks of the file
            frames: latent frames of each packet
            variable: whether frames may have fewer codes than codebooks

        Returns:
            For each payload existing codes ``[channels, codebooks, frames]``, or what is wrong with it.
        """


class PacketEncoder(Protocol):
    """Entropy encoder of the packets of the archive profile."""

    def encode(self, codes: IntArray, variable: bool) -> bytes:
        """Encode the codes of one packet.

        Args:
            codes: ``[channels, codebooks, frames]``
            variable: whether frames may have fewer codes than codebooks

        Returns:
            The payload of the packet.
        """


class PacketCoder(PacketDecoder, PacketEncoder, Protocol):
    """Entropy coder of the packets of the archive profile, such as :class:`codec.bitstream.range_coder.RangeCoder`."""

    def encode_packets(self, packets: Sequence[IntArray], variable: bool) -> list[bytes]:
        """Encode the codes of packets of equal size.

        Args:
            packets: codes ``[channels, codebooks, frames]`` of each packet
            variable: whether frames may have fewer codes than codebooks

        Returns:
            The payload of each packet.
        """
