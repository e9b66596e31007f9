"""Interface between training and an architecture."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codec.config import CodecConfig
from codec.errors import UserError
from codec.model.processes import Processes
from codec.model.quantizers.quantized import Quantized


@dataclass(frozen=True)
class CodecOutput:
    """Result of a pass through a codec, for training."""

    waveform: Tensor
    """Decoded waveform ``[batch, 1, samples]``."""
    quantized: Quantized
    """Codes and loss of the quantizer."""


class CodecBase(nn.Module):
    """Interface of a codec for training.

    :class:`codec.model.codec.Codec` is the architecture of this library; others that are trained for comparison have
    the same interface.
    """

    config: CodecConfig
    encoder: nn.Module
    quantizer: nn.Module
    decoder: nn.Module
    compatible_fingerprints: tuple[str, ...] = ()
    """Fingerprints of other models whose codes this one can decode, because it was made from them by training the
    decoder alone."""

    def initialise(self, waveform: Tensor, generator: torch.Generator) -> None:
        """Fit the initial weights to audio, as far as the architecture permits.

        Args:
            waveform: ``[batch, 1, samples]``
            generator: source of random numbers, on the CPU
        """
        raise NotImplementedError

    def fit_codebooks(self, waveform: Tensor, generator: torch.Generator) -> None:
        """Fit codebooks to the latents of audio, as far as the architecture permits; the networks remain unchanged.

        Args:
            waveform: ``[batch, 1, samples]``
            generator: source of random numbers, on the CPU
        """
        raise NotImplementedError

    def share_batches(self, processes: Processes) -> None:
        """Let what depends on the whole batch be combined over processes that compute a part of it each.

        Args:
            processes: those that share each training batch

        Raises:
            UserError: there are several, and this codec cannot.
        """
        if processes.count > 1:
            raise UserError(f"{type(self).__name__} is trained by one process; start it without several devices")

    def begin_batch(self) -> None:
        """Begin a training batch, whose parts may be computed one after the other."""

    def draw_restarts(self, generator: torch.Generator) -> Tensor:
        """Draw the random numbers that :meth:`update_codebooks` needs for dead-code restarts.

        Args:
            generator: source of random numbers, on the CPU

        Returns:
            Numbers on the CPU, as many in each step.
        """
        raise NotImplementedError

    def update_codebooks(self, restarts: Tensor, finite: Tensor) -> Tensor:
        """Update the parts that learn from the last batch without gradients; called after each training step.

        Args:
            restarts: numbers that :meth:`draw_restarts` drew, on the device of the codec
            finite: False (scalar) if nothing is to change, because the step is skipped

        Returns:
            Number of dead-code restarts (scalar).
        """
        raise NotImplementedError

    def forward(self, waveform: Tensor, codebooks: Tensor | None = None, quantize: bool = True) -> CodecOutput:
        """Encode and decode with gradients.

        Args:
            waveform: ``[batch, 1, samples]``
            codebooks: mean number of codebooks that the frames of each item use ``[batch]`` (default: all)
            quantize: whether the decoder gets quantized latents; otherwise the continuous ones, which are quantized for
                the update of the codebooks alone

        Returns:
            The decoded waveform, and the result of the quantizer.
        """
        raise NotImplementedError

    def round_trip(self, waveform: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
        """Encode and decode without gradients, with the same number of codebooks in each frame.

        Args:
            waveform: ``[batch, 1, samples]``
            codebooks: number of codebooks to use

        Returns:
            The decoded waveform ``[batch, 1, samples]``, and the codes ``[batch, codebooks, frames]``.
        """
        raise NotImplementedError
