"""Random access to the audio of ``.nac`` files: seek to any position and decode from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from codec.audio import FloatArray
from codec.bitstream.codes import CodeArray
from codec.bitstream.header import Header, is_fingerprint_of
from codec.bitstream.live import FixedWidthCoder
from codec.bitstream.loss_concealment import Concealment, LossLog
from codec.bitstream.reader import PacketReader
from codec.coding.pipeline import DecodingPipeline
from codec.errors import UserError
from codec.model.dynamic_batching import BatchedCoder
from codec.pretrained.model_packages import INSTALL_OLDER_MODELS, OLDER_MODELS
from codec.whole_numbers import whole_number

if TYPE_CHECKING:
    from codec.pretrained.loaded_model import LoadedModel

FindModel = Callable[[str], "LoadedModel | None"]
"""Finds the model for a fingerprint, such as :class:`codec.pretrained.registry.ModelFinder`."""


class NacReader:
    """A ``.nac`` file as audio in which one can seek: any part can be decoded by itself. A context manager.

    A part that is decoded by itself is bit-identical to the same part of the whole file: to seek, decoding begins at a
    canonical block that is at least the decoder's receptive field earlier. Damage is concealed and listed in ``lost``.

    Args:
        source: path of the file; or an open one in which one can seek, which is left open
        model: the codec to decode with
        strict: raise an error for damage instead of concealing it

    Raises:
        UserError: not a .nac file, coded with another model, or its header damaged; with ``strict`` any damage, when it
            is met.
    """

    def __init__(self, source: Path | BinaryIO, model: LoadedModel, *, strict: bool = False) -> None:
        self.model, self.strict = model, strict
        self.file = PacketReader(source)
        """The packets."""
        try:
            head = self.file.header
            self._losses = LossLog(head, model.config.hop)
            check_model(self.file.path, head, model)
            if strict:
                self.file.check()
            fixed = FixedWidthCoder(model.codebook_size) if head.live else None
            self._coder = fixed or BatchedCoder(model.coder)
        except BaseException:
            self.close()
            raise

    @property
    def header(self) -> Header:
        """Header of the file."""
        return self.file.header

    @property
    def tags(self) -> dict[str, str]:
        """Title, artist, date and other tags of the source."""
        return self.file.tags

    @property
    def sample_rate(self) -> int:
        """Sample rate of the audio in Hz."""
        return self.header.sample_rate

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.header.channels

    @property
    def samples(self) -> int:
        """Samples per channel by the header. A truncated file has fewer, which is found only by reading it."""
        return self.header.samples

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.header.seconds

    @property
    def lost(self) -> tuple[tuple[float, float], ...]:
        """Start and end in seconds of each damaged part that was read. After such a part, samples within the decoder's
        receptive field may differ as well.
        """
        return self._losses.spans

    @property
    def cut_off(self) -> float | None:
        """Time in seconds at which a truncated file ends; None if reading has not reached it."""
        return self._losses.cut_off

    def close(self) -> None:
        """Close the file."""
        self.file.__exit__()

    def __enter__(self) -> NacReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, start: int = 0, samples: int | None = None) -> FloatArray:
        """Read the audio, or a part of it.

        Args:
            start: first sample
            samples: number of samples per channel (default: all to the end)

        Returns:
            float32 ``[channels, samples]``; fewer samples if the audio ends earlier.

        Raises:
            UserError: a position or number that is negative or not whole; with ``strict`` any damage.
        """
        start = self._in_samples(start, "the first sample")
        samples = (
            max(0, self.samples - start) if samples is None else self._in_samples(samples, "the number of samples")
        )
        empty = np.zeros((self.channels, 0), np.float32)
        return np.concatenate([empty, *self.blocks(start, start + samples)], axis=1)

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[FloatArray]:
        """Read a part of the audio in blocks, in constant memory.

        Args:
            start: first sample
            end: the sample after the last one (default: the end of the audio)

        Returns:
            An iterator over float32 ``[channels, n]``, which ends early if the file is truncated.

        Raises:
            UserError: a position that is negative or not whole; with ``strict`` any damage, when it is met.
        """
        start = self._in_samples(start, "the first sample")
        end = None if end is None else self._in_samples(end, "the end")
        head = self.header
        pipeline = DecodingPipeline(self.model, head.sample_rate, head.channels, head.samples, self._codes)
        return pipeline.blocks(start, end)

    def _in_samples(self, value: object, name: str) -> int:
        return whole_number(value, name, f"times in seconds times {self.sample_rate} are samples")

    def _codes(self, start: int, stop: int) -> Iterator[CodeArray]:
        """Yield the codes of the latent frames from ``start`` to below ``stop``, with lost ones concealed; fewer if the
        file is truncated.
        """
        head = self.header
        conceal = Concealment(head.channels, head.codebooks, self.model.frame_rate_hz)
        # Concealment of the first frames depends on the frames before them.
        first = max(0, start - conceal.hold - 1) // head.packet_frames
        done = start
        # a whole file is read to its end, which may come before or after the one that the header states
        last = None if stop >= head.frames else -(-stop // head.packet_frames)
        for packet in self.file.packets(self._coder, first, last):
            if packet.codes is None and self.strict:
                raise self.file.damage_error(packet)
            codes = conceal.fill_in(packet.frames) if packet.codes is None else conceal.received(packet.codes)
            part = codes[..., max(0, start - packet.first) : max(0, stop - packet.first)]
            if packet.codes is None and part.shape[2]:
                self._losses.add(done, done + part.shape[2])
            done += part.shape[2]
            if part.shape[2]:
                yield part
            if done >= stop and (stop < head.frames or self.file.ended):
                return
        if self.strict:
            self.file.check()
        self._losses.cut(done)


def resolve_model(model: LoadedModel | FindModel, fingerprint: str, name: object) -> LoadedModel:
    """Return the model that decodes a file.

    Args:
        model: the model of all files, or a function that finds one by its fingerprint
        fingerprint: fingerprint of the model in the file's header
        name: the file, for the error message

    Returns:
        ``model`` itself, or the one found.

    Raises:
        UserError: none was found.
    """
    from codec.pretrained.loaded_model import LoadedModel

    if isinstance(model, LoadedModel):
        return model
    if (found := model(fingerprint)) is None:
        for known, older in OLDER_MODELS.items():
            if is_fingerprint_of(fingerprint, [known]):
                raise UserError(f"{name}: coded with the older model {older}; {INSTALL_OLDER_MODELS}")
        raise UserError(
            f"{name}: coded with model {fingerprint}, which is not available; name its run or model with --model"
        )
    return found


def check_model(path: object, head: Header, model: LoadedModel) -> None:
    """Check that a model decodes a file.

    Args:
        path: the file, for the error message
        head: header of the file
        model: the codec to decode with

    Raises:
        UserError: it has another fingerprint, or the header contradicts its architecture.
    """
    if not is_fingerprint_of(head.fingerprint, model.compatible_fingerprints):
        raise wrong_model(path, head.fingerprint, model)
    config = model.config
    if (
        (head.model_rate, head.latent_hop) != (config.sample_rate, config.latent_hop)
        or head.bits_per_code != config.bits_per_code
        or head.codebooks > model.n_codebooks
        or head.frames != config.frames_for(head.model_samples)
    ):
        raise UserError(f"{path}: the header contradicts the model that it names; encode the source again")


def wrong_model(path: object, fingerprint: str, model: LoadedModel) -> UserError:
    """Build the error for a file of another model.

    Args:
        path: the file, for the error message
        fingerprint: fingerprint of the model in the file's header
        model: the codec that was to decode it

    Returns:
        The error to raise.
    """
    return UserError(
        f"{path}: coded with model {fingerprint}, but this one is {model.fingerprint}; pass the right --model"
    )
