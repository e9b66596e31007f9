"""Sound out of ``.nac`` files, from any moment on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import torch

from codec.audio import FloatArray
from codec.bitstream.codes import PacketCoder
from codec.bitstream.header import Header
from codec.bitstream.live import FixedWidthCoder
from codec.bitstream.loss_concealment import Concealment, LossLog
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.reader import PacketReader
from codec.coding.pipeline import Sound
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import fingerprint

ModelFinder = Callable[[str], Codec | None]
"""From a fingerprint to the model that has it, if it is at hand."""


def range_coder(codec: Codec) -> RangeCoder:
    """Codes under the model's tables."""
    return RangeCoder(codec.tables.to_numpy())


class NacReader:
    """A ``.nac`` file as sound, which can be read from any moment on. A context manager.

    Whatever part is read, its samples are bit for bit those of the whole: decoding begins at a canonical block that is
    the decoder's receptive field earlier, or more. Damage is concealed, and ``lost`` says where it was met.

    Args:
        strict: refuse damage instead.
        model, coder: :func:`codec.pretrained.checkpoint.fingerprint` and :func:`range_coder` of the codec, where
        they are at hand.

    Raises:
        UserError: not a .nac file, of another model, its header damaged; with ``strict`` any damage, as it is met.
    """

    def __init__(
        self,
        path: Path,
        codec: Codec,
        *,
        strict: bool = False,
        model: str | None = None,
        coder: PacketCoder | None = None,
    ):
        self.codec, self.strict = codec, strict
        self.file = PacketReader(path)
        try:
            head = self.file.header
            self._losses = LossLog(head, codec.config.hop)
            check_model(path, head, codec, model or fingerprint(codec))
            if strict:
                self.file.check()
            fixed = FixedWidthCoder(codec.config.quantizer.size) if head.live else None
            self._coder = fixed or coder or range_coder(codec)
        except BaseException:
            self.close()
            raise

    @property
    def header(self) -> Header:
        return self.file.header

    @property
    def tags(self) -> dict[str, str]:
        """What was kept of the source: title, artist, date and so on."""
        return self.file.tags

    @property
    def sample_rate(self) -> int:
        """Of the sound, in Hz."""
        return self.header.sample_rate

    @property
    def channels(self) -> int:
        return self.header.channels

    @property
    def samples(self) -> int:
        """Per channel. A file that was cut off has fewer, which only reading tells."""
        return self.header.samples

    @property
    def seconds(self) -> float:
        return self.header.seconds

    @property
    def lost(self) -> tuple[tuple[float, float], ...]:
        """Start and end in seconds of each stretch that was lost, of those that were read. What follows one is
        unsettled for the decoder's receptive field at most."""
        return self._losses.spans

    @property
    def cut_off(self) -> float | None:
        """From where on, in seconds, all is missing, if that was met."""
        return self._losses.cut_off

    def close(self) -> None:
        self.file.__exit__()

    def __enter__(self) -> "NacReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, start: int, samples: int) -> FloatArray:
        """float32 ``[channels, samples]`` from sample ``start`` on; fewer where the sound ends."""
        if start < 0 or samples < 0:
            raise UserError(f"a start and a number of samples from 0 on, not {start} and {samples}")
        empty = np.zeros((self.channels, 0), np.float32)
        return np.concatenate([empty, *self.blocks(start, start + samples)], axis=1)

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[FloatArray]:
        """Samples from ``start`` to below ``end``, float32 ``[channels, n]`` each, at constant memory; up to the cut,
        where the file was cut off."""
        head = self.header
        return Sound(self.codec, head.sample_rate, head.channels, head.samples, self._codes).blocks(start, end)

    def _codes(self, start: int, stop: int) -> Iterator[torch.Tensor]:
        """Latent frames from ``start`` to below ``stop``, what is lost among them concealed; less where the file was
        cut off."""
        head = self.header
        conceal = Concealment(head.channels, head.codebooks, self.codec.config.frame_rate_hz)
        # What was heard before decides what is heard in place of lost frames.
        first = max(0, start - conceal.hold - 1) // head.packet_frames
        done = start
        for packet in self.file.packets(self._coder, first):
            if packet.codes is None and self.strict:
                raise self.file.damaged(packet)
            codes = conceal.lost(packet.frames) if packet.codes is None else conceal.received(packet.codes)
            part = codes[..., max(0, start - packet.first) : max(0, stop - packet.first)]
            if packet.codes is None and part.shape[2]:
                self._losses.add(done, done + part.shape[2])
            done += part.shape[2]
            if part.shape[2]:
                yield torch.from_numpy(part)
            if done >= stop and (stop < head.frames or self.file.ended):
                return
        if self.strict:
            self.file.check()
        self._losses.cut(done)


def model_for(codec: Codec | ModelFinder, wanted: str, name: object) -> Codec:
    """``codec`` itself, or the one that it finds for the fingerprint ``wanted``, which ``name`` asks for.

    Raises:
        UserError: there is none.
    """
    if isinstance(codec, Codec):
        return codec
    if (found := codec(wanted)) is None:
        raise UserError(
            f"{name}: coded with model {wanted}, which is not at hand; pass the run or model that coded it as --model"
        )
    return found


def check_model(path: object, head: Header, codec: Codec, model: str) -> None:
    """Raises :class:`UserError` unless ``codec``, whose fingerprint is ``model``, decodes what has this header."""
    if head.fingerprint not in (model, *codec.decodes):
        raise UserError(f"{path}: coded with model {head.fingerprint}, but this one is {model}; pass the right --model")
    config = codec.config
    if (
        (head.model_rate, head.latent_hop) != (config.sample_rate, config.latent_hop)
        or head.bits_per_code != config.bits_per_code
        or head.codebooks > config.quantizer.codebooks
        or head.frames != codec.config.frames_for(head.model_samples)
    ):
        raise UserError(f"{path}: the header contradicts the model that it names; encode the source again")
