"""Sound through pipes, coded and decoded as it comes: the live profile of the ``.nac`` format.

The codec waits for (frames per latent + 1) hops, ``CodecConfig.latency_ms``, and no more; a resampler adds its own
delay where the rates differ. What comes out has the length of what went in, without an offset.
"""

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from codec.audio import FloatArray, count_over_full_scale
from codec.audio.bandwidth import AboveBandMeter
from codec.audio.channels import streams_to_channels
from codec.audio.pcm_stream import PcmEncoding, PcmFormat, PcmWriter, read_available, read_exactly
from codec.audio.piped_input import PipedAudio, open_piped_audio
from codec.audio.resampling import resample_blocks
from codec.bitstream import live
from codec.bitstream.codes import NO_CODE, CodeArray
from codec.bitstream.header import Header, read_header_and_tags
from codec.bitstream.loss_concealment import Concealment, LossLog
from codec.coding.files import FileReport, choose_codebooks, rate_control, target_bps
from codec.coding.nac_reader import ModelFinder, NacReader, check_model, model_for
from codec.coding.pipeline import encoded
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import fingerprint

PIPE = Path("-")


def encode_stream(
    source: BinaryIO,
    output: BinaryIO,
    codec: Codec,
    *,
    kbps: float | None = None,
    codebooks: int | None = None,
    raw: PcmFormat | None = None,
    tags: Mapping[str, str] | None = None,
) -> FileReport:
    """Codes what comes from ``source`` as a live stream, each frame as soon as its samples are there.

    What is not WAV of plain samples is coded when ``source`` has ended, see :mod:`codec.audio.piped_input`; so is
    the report's
    ``fault`` known.

    Args:
        source: binary file with audio or, if ``raw`` says what they are, samples alone.
        kbps: of the codes, total over all channels; frames get those that they need most, see
            :mod:`codec.bitstream.rate_control`. ``codebooks``: how many each frame gets, in place of it. Default: all.

    Raises:
        UserError: no audio that can be read, NaN in it, bit rate or channels out of range.
        OSError: ``output`` was closed.
    """
    started = time.perf_counter()
    with open_piped_audio(source, raw) as sound:
        return _encode_sound(sound, output, codec, started, kbps, codebooks, tags)


def _encode_sound(
    sound: PipedAudio,
    output: BinaryIO,
    codec: Codec,
    started: float,
    kbps: float | None,
    codebooks: int | None,
    tags: Mapping[str, str] | None,
) -> FileReport:
    rate, channels = sound.sample_rate, sound.channels
    most = codec.config.quantizer.codebooks
    count = most if kbps is not None else choose_codebooks(codec, channels, kbps=None, codebooks=codebooks)
    header = Header(
        fingerprint=fingerprint(codec),
        sample_rate=rate,
        channels=channels,
        model_rate=codec.config.sample_rate,
        latent_hop=codec.config.latent_hop,
        codebooks=count,
        bits_per_code=codec.config.bits_per_code,
        packet_frames=1,
        receptive_frames=codec.receptive_field,
        live=True,
        variable=kbps is not None,
        target_bps=target_bps(kbps),
    )
    if fault := header.fault():
        raise UserError(f"the live profile cannot hold this: {fault}")
    coder = live.FixedWidthCoder(codec.config.quantizer.size)
    control = rate_control(codec, header, lambda codes: coder.bits * int((codes != NO_CODE).sum()))
    sender = live.LiveWriter(output, header, coder, {**sound.tags, **(tags or {})})
    samples = too_loud = 0
    band = AboveBandMeter(rate, codec.config.sample_rate)
    ended = False

    def counted() -> Iterator[FloatArray]:
        nonlocal samples, too_loud, ended
        for block in sound.blocks():
            samples += block.shape[1]
            too_loud += count_over_full_scale(block)
            band.push(block)
            yield block
        ended = True

    last = []
    for coded in encoded(codec, counted(), rate, channels, count, block=1):
        codes = control.push(coded.to_numpy())
        if ended:
            last.append(codes)
        else:
            sender.write(codes)
    sender.finish(np.concatenate(last, 2), samples)
    return FileReport(
        source=PIPE,
        target=PIPE,
        seconds=samples / rate,
        sample_rate=rate,
        channels=channels,
        codebooks=count,
        bytes_total=sender.bytes,
        bytes_payload=sender.payload_bytes,
        bytes_seconds=samples / rate,
        elapsed_seconds=time.perf_counter() - started,
        too_loud=too_loud,
        fault=sound.fault,
        above_band=band.share,
    )


def decode_stream(
    source: BinaryIO,
    output: BinaryIO,
    codec: Codec | ModelFinder,
    *,
    strict: bool = False,
    encoding: PcmEncoding = "s16",
    raw: bool = False,
    name: str = "standard input",
) -> FileReport:
    """Decodes a stream as it comes to WAV, or with ``raw`` to samples without a header. What is lost is concealed.

    A ``.nac`` file of the archive profile is decoded too, once all of it has come.

    Args:
        codec: the model, or what finds it for the fingerprint in the stream.
        strict: stop where something is lost.

    Raises:
        UserError: no .nac stream, coded with another model, or damaged in its header; with ``strict`` any damage, with
            what came before it written.
        OSError: ``output`` was closed.
    """
    started = time.perf_counter()
    read = bytearray()

    def tee(count: int) -> bytes:
        data = read_exactly(source, count)
        read.extend(data)
        return data

    header = read_header_and_tags(tee, name).header
    codec = model_for(codec, header.fingerprint, name)
    check_model(name, header, codec, fingerprint(codec))
    writer = PcmWriter(output, PcmFormat(header.sample_rate, header.channels, encoding), header=not raw)
    samples = 0

    def write(waves: Iterable[FloatArray]) -> None:
        nonlocal samples
        for wave in waves:
            samples += wave.shape[1]
            writer.write(wave)

    if header.live:
        receiver = _Receiver(source, header, codec, strict, name)
        write(receiver.waves())
        size, payload, lost = len(read) + receiver.bytes, receiver.payload_bytes, receiver.losses.spans
        cut_off = receiver.losses.cut_off
    else:
        with tempfile.NamedTemporaryFile(suffix=".nac") as spooled:
            spooled.write(read)
            shutil.copyfileobj(source, spooled)
            spooled.flush()
            with NacReader(Path(spooled.name), codec, strict=strict) as reader:
                write(reader.blocks())
                size, payload, lost = reader.file.file_bytes, reader.file.payload_bytes, reader.lost
                cut_off = reader.cut_off
    return FileReport(
        source=PIPE,
        target=PIPE,
        seconds=samples / header.sample_rate,
        sample_rate=header.sample_rate,
        channels=header.channels,
        codebooks=header.codebooks,
        bytes_total=size,
        bytes_payload=payload,
        bytes_seconds=samples / header.sample_rate,
        elapsed_seconds=time.perf_counter() - started,
        clipped=writer.clipped,
        lost=lost,
        cut_off=cut_off,
    )


class _Receiver:
    """The sound of one live stream, whose header was read."""

    def __init__(self, source: BinaryIO, header: Header, codec: Codec, strict: bool, name: str):
        self._source, self._header, self._codec, self._strict, self._name = source, header, codec, strict, name
        self._parser = live.LiveParser(header)
        self.bytes = self.payload_bytes = 0
        self.losses = LossLog(header, codec.config.hop)

    def waves(self) -> Iterator[FloatArray]:
        """``[channels, n]`` at the source's rate, as soon as it is there."""
        head = self._header
        at = 0
        for wave in resample_blocks(self._decoded(), head.model_rate, head.sample_rate, head.channels):
            end = self._parser.end
            yield wave if end is None else wave[:, : max(0, end.samples - at)]
            at += wave.shape[1]

    def _decoded(self) -> Iterator[FloatArray]:
        config = self._codec.config
        decoder = self._codec.stream_decoder(self._header.channels, block=1)
        for codes in self._codes():
            yield streams_to_channels(decoder.push(torch.from_numpy(codes)).cpu().numpy(), config.stereo)

    def _codes(self) -> Iterator[CodeArray]:
        head, config = self._header, self._codec.config
        coder = live.FixedWidthCoder(config.quantizer.size)
        conceal = Concealment(head.channels, head.codebooks, config.frame_rate_hz)
        for frames in self._frames():
            self.payload_bytes += sum(len(body) for body in frames.bodies if body)
            for first, count, codes in live.unpack_frames(frames, head, coder):
                if codes is None and self._strict:
                    raise UserError(f"{self._name}: damaged at {head.seconds_at(first):.2f} s; send it again")
                if codes is None:
                    self.losses.add(first, first + count)
                yield conceal.lost(count) if codes is None else conceal.received(codes)
        if self._parser.end is None:
            if self._strict:
                raise UserError(f"{self._name}: cut off, the end of the stream is missing; send it again")
            self.losses.cut(self._parser.next)

    def _frames(self) -> Iterator[live.LiveFrames]:
        for piece in read_available(self._source):
            self.bytes += len(piece)
            yield self._parser.push(piece)
            if self._parser.done:
                return
        yield self._parser.finish()
