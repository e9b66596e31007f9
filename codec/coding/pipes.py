"""Audio through pipes, encoded and decoded as it arrives: the live profile of the ``.nac`` format.

The delay of the codec is (frames per latent + 1) hops, ``CodecConfig.latency_ms``; a resampler adds its own delay if
the rates differ. The output has the length of the input and no offset.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from codec.audio import FloatArray
from codec.audio.channels import streams_to_channels
from codec.audio.pcm_stream import PcmEncoding, PcmFormat, PcmWriter, read_available, read_exactly
from codec.audio.piped_input import PipedAudio, open_piped_audio
from codec.audio.resampling import resample_blocks
from codec.bitstream import live
from codec.bitstream.codes import CodeArray
from codec.bitstream.file_layout import live_layout
from codec.bitstream.file_start import FileStart, read_start
from codec.bitstream.live_parser import LiveParser
from codec.bitstream.live_writer import LiveWriter
from codec.bitstream.loss_concealment import Concealment, LossLog
from codec.coding.bit_rate import check_live_rate, new_header, new_rate_control
from codec.coding.nac_reader import FindModel, NacReader, check_model, resolve_model
from codec.coding.options import CodingOptions
from codec.coding.pipeline import encode_blocks
from codec.coding.report import FileMeter, FileReport
from codec.errors import UserError

if TYPE_CHECKING:
    from codec.pretrained.loaded_model import LoadedModel

PIPE = Path("-")
"""Name of standard input and standard output in reports."""


def encode_stream(
    source: BinaryIO,
    output: BinaryIO,
    model: LoadedModel,
    options: CodingOptions = CodingOptions(),
    *,
    raw: PcmFormat | None = None,
) -> FileReport:
    """Encode audio from a pipe as a live stream, each frame as soon as its samples have arrived.

    Formats other than WAV of plain samples are encoded when ``source`` has ended, see :mod:`codec.audio.piped_input`;
    only then is the ``fault`` of the report known.

    Args:
        source: binary file with audio or, if ``raw`` describes them, samples alone
        output: binary file that receives the stream
        model: encodes
        options: bit rate or number of codebooks, and tags
        raw: format of samples without a header

    Returns:
        The figures of the stream.

    Raises:
        UserError: no audio that can be read, NaN in it, bit rate or channels out of range.
        OSError: ``output`` was closed.
    """
    with open_piped_audio(source, raw) as piped:
        return _encode(piped, output, model, options)


def _encode(piped: PipedAudio, output: BinaryIO, model: LoadedModel, options: CodingOptions) -> FileReport:
    rate, channels = piped.sample_rate, piped.channels
    meter = FileMeter(PIPE, PIPE, rate, channels, model_rate=model.sample_rate)
    header = new_header(model, rate, channels, options, live=True)
    if fault := header.fault():
        raise UserError(f"the live profile cannot hold this: {fault}")
    coder = live.FixedWidthCoder(model.codebook_size)
    check_live_rate(model, header)
    control = new_rate_control(header, live_layout(header), coder.body_bits)
    sender = LiveWriter(output, header, coder, {**piped.tags, **options.tags})
    last = []
    for coded in encode_blocks(model, meter.measure(piped.blocks()), rate, channels, header.codebooks, block=1):
        codes = control.push(coded)
        if meter.exhausted:
            last.append(codes)
        else:
            sender.write(codes)
    sender.finish(np.concatenate(last, 2), meter.samples)
    return meter.report(
        codebooks=header.codebooks,
        bytes_total=sender.bytes,
        bytes_payload=sender.payload_bytes,
        bytes_metadata=sender.blocks_bytes,
        fault=piped.fault,
    )


def decode_stream(
    source: BinaryIO,
    output: BinaryIO,
    model: LoadedModel | FindModel,
    *,
    strict: bool = False,
    encoding: PcmEncoding = "s16",
    raw: bool = False,
    name: str = "standard input",
) -> FileReport:
    """Decode a stream to WAV as it arrives. Damaged parts are concealed.

    A ``.nac`` file of the archive profile is decoded as well, once all of it has arrived.

    Args:
        source: binary file with the stream
        output: binary file that receives the audio
        model: decodes, or a function that finds the model for the fingerprint in the stream
        strict: whether damage is an error
        encoding: sample format of the output
        raw: whether the output has no WAV header
        name: name of the source in error messages

    Returns:
        The figures of the stream.

    Raises:
        UserError: no .nac stream, coded with another model, or damaged in its header; with ``strict`` any damage, after
            what came before it was written.
        OSError: ``output`` was closed.
    """
    read = bytearray()

    def tee(count: int) -> bytes:
        data = read_exactly(source, count)
        read.extend(data)
        return data

    start = read_start(tee, name)
    header = start.header
    meter = FileMeter(PIPE, PIPE, header.sample_rate, header.channels)
    model = resolve_model(model, header.fingerprint, name)
    check_model(name, header, model)
    if strict and (start.repaired or start.tags_damaged):
        raise UserError(f"{name}: damaged in its header or tags; send it again")
    writer = PcmWriter(output, PcmFormat(header.sample_rate, header.channels, encoding), header=not raw)
    if header.live:
        receiver = _Receiver(source, start, model, strict, name)
        for waveform in meter.measure(receiver.blocks()):
            writer.write(waveform)
        size, payload, losses = start.size + receiver.bytes, receiver.payload_bytes, receiver.losses
        lost, cut_off = losses.spans, losses.cut_off
    else:
        with tempfile.NamedTemporaryFile(suffix=".nac") as spooled:
            spooled.write(read)
            shutil.copyfileobj(source, spooled)
            spooled.flush()
            with NacReader(Path(spooled.name), model, strict=strict) as reader:
                for waveform in meter.measure(reader.blocks()):
                    writer.write(waveform)
                size, payload = reader.file.file_bytes, reader.file.payload_bytes
                lost, cut_off = reader.lost, reader.cut_off
    return meter.report(
        codebooks=header.codebooks,
        bytes_total=size,
        bytes_payload=payload,
        bytes_metadata=start.blocks_bytes,
        clipped=writer.clipped,
        lost=lost,
        cut_off=cut_off,
    )


class _Receiver:
    """The audio of one live stream, whose header has been read."""

    def __init__(self, source: BinaryIO, start: FileStart, model: LoadedModel, strict: bool, name: str) -> None:
        header = start.header
        self._source, self._rest = source, start.rest
        self._header, self._model, self._strict, self._name = header, model, strict, name
        self._parser = LiveParser(header)
        self.bytes = self.payload_bytes = 0
        self.losses = LossLog(header, model.config.hop)

    def blocks(self) -> Iterator[FloatArray]:
        """Yield float32 ``[channels, n]`` at the source's rate, as soon as they are decoded."""
        head = self._header
        position = 0
        for waveform in resample_blocks(self._decode(), head.model_rate, head.sample_rate, head.channels):
            end = self._parser.end
            yield waveform if end is None else waveform[:, : max(0, end.samples - position)]
            position += waveform.shape[1]

    def _decode(self) -> Iterator[FloatArray]:
        decoder = self._model.stream_decoder(self._header.channels, block=1)
        for codes in self._codes():
            yield streams_to_channels(decoder.push(codes), self._model.config.stereo)

    def _codes(self) -> Iterator[CodeArray]:
        head = self._header
        coder = live.FixedWidthCoder(self._model.codebook_size)
        conceal = Concealment(head.channels, head.codebooks, self._model.frame_rate_hz)
        for frames in self._frames():
            self.payload_bytes += sum(len(body) for body in frames.bodies if body)
            for run in live.unpack_frames(frames, head, coder):
                if run.codes is None and self._strict:
                    raise UserError(f"{self._name}: damaged at {head.seconds_at(run.first):.2f} s; send it again")
                if run.codes is None:
                    self.losses.add(run.first, run.first + run.frames)
                yield conceal.fill_in(run.frames) if run.codes is None else conceal.received(run.codes)
        if self._parser.end is None:
            if self._strict:
                raise UserError(f"{self._name}: truncated, the end of the stream is missing; send it again")
            self.losses.cut(self._parser.next)

    def _frames(self) -> Iterator[live.LiveFrames]:
        for piece in chain([self._rest] if self._rest else [], read_available(self._source)):
            self.bytes += len(piece)
            yield self._parser.push(piece)
            if self._parser.done:
                return
        yield self._parser.finish()
