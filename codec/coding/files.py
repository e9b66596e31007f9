"""Whole files, encoded and decoded in constant memory whatever their length, sample rate and number of channels.

The decoded file has exactly the source's length, sample rate and channel count, and no delay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from codec import audio
from codec.audio import AudioInfo, FloatArray
from codec.bitstream.tags import fit_tags
from codec.bitstream.writer import PacketWriter
from codec.coding.bit_rate import new_header, new_rate_control
from codec.coding.nac_reader import NacReader
from codec.coding.options import CodingOptions, DecodingOptions
from codec.coding.pipeline import encode_blocks
from codec.coding.report import FileMeter, FileReport, Progress
from codec.errors import UserError

if TYPE_CHECKING:
    from codec.pretrained.loaded_model import LoadedModel


def encode_file(
    source: Path | AudioInfo,
    target: Path,
    model: LoadedModel,
    options: CodingOptions = CodingOptions(),
    *,
    progress: Progress | None = None,
) -> FileReport:
    """Encode an audio file as a ``.nac`` file.

    Args:
        source: the audio file, or its description if that is at hand.
        target: the ``.nac`` file; nothing appears there unless all of it was written.
        model: encodes.
        options: bit rate or number of codebooks, and further tags.
        progress: called after each block with the seconds of audio that it holds.

    Returns:
        The figures of the file.

    Raises:
        UserError: source not readable or damaged, target not writable, bit rate or channels out of range.
    """
    info = audio.info(source) if isinstance(source, Path) else source
    own = {name: text for name, text in info.tags.items() if name not in options.tags}
    fitting = fit_tags(own)
    meter = FileMeter(
        info.path, target, info.sample_rate, info.channels, model_rate=model.sample_rate, progress=progress
    )
    report = encode_waveform(info.blocks(), meter, target, model, replace(options, tags={**fitting, **options.tags}))
    return replace(report, pictures=info.pictures, tags_left_out=len(own) - len(fitting))


def encode_waveform(
    blocks: Iterable[FloatArray], meter: FileMeter, target: Path, model: LoadedModel, options: CodingOptions
) -> FileReport:
    """Encode a waveform as a ``.nac`` file.

    Args:
        blocks: float32 ``[channels, n]``, full scale 1.
        meter: knows the waveform's sample rate and channels.
        target: the ``.nac`` file; nothing appears there unless all of it was written.
        model: encodes.
        options: bit rate or number of codebooks, and all tags.

    Returns:
        The figures of the file.

    Raises:
        UserError: target not writable, bit rate or channels out of range, or from reading the blocks.
    """
    from codec.bitstream.rate_control import payload_bits

    header = new_header(model, meter.sample_rate, meter.channels, options)
    control = new_rate_control(model, header, payload_bits(model.coder))
    with PacketWriter(target, header, model.coder, options.tags) as writer:
        coded = encode_blocks(model, meter.measure(blocks), meter.sample_rate, meter.channels, header.codebooks)
        for some in coded:
            writer.write(control.push(some))
        writer.write(control.flush())
        writer.finish(meter.samples)
    return meter.report(codebooks=header.codebooks, bytes_total=writer.file_bytes, bytes_payload=writer.payload_bytes)


def decode_file(
    source: Path,
    target: Path,
    model: LoadedModel,
    options: DecodingOptions = DecodingOptions(),
    *,
    progress: Progress | None = None,
) -> FileReport:
    """Decode a ``.nac`` file to an audio file.

    Damaged parts are concealed, a file that was cut off is decoded up to there, and the report names the parts that
    were lost.

    Args:
        source: the ``.nac`` file.
        target: the audio file, whose suffix (.wav, .flac, .ogg) sets its format; nothing appears there unless all of it
            was written.
        model: decodes.
        options: which part, sample format, and whether damage is an error.
        progress: called after each block with the seconds of audio that it holds.

    Returns:
        The figures of the file.

    Raises:
        UserError: not a .nac file, coded with another model, or damaged in its header; times outside the audio; target
            not writable.
    """
    with NacReader(source, model, strict=options.strict) as reader:
        meter = FileMeter(Path(source), Path(target), reader.sample_rate, reader.channels, progress=progress)
        first, stop = sample_range(source, reader.header, options.start, options.end)
        whole = (first, stop) == (0, reader.samples)
        size, tags = stop - first, reader.tags
        with audio.AudioWriter(
            target, reader.sample_rate, reader.channels, options.subtype, size, tags, decoded=True
        ) as writer:
            for waveform in meter.measure(reader.blocks(first, stop)):
                writer.write(waveform)
        payload = reader.file.payload_bytes
        return meter.report(
            codebooks=reader.header.codebooks,
            bytes_total=reader.file.file_bytes if whole else payload,
            bytes_payload=payload,
            bytes_seconds=None if whole else reader.file.payload_seconds,
            clipped=writer.clipped,
            lost=reader.lost,
            cut_off=reader.cut_off,
        )


class CodedLength(Protocol):
    """What a header states about the length of the audio."""

    @property
    def sample_rate(self) -> int:
        """In Hz."""

    @property
    def samples(self) -> int:
        """Per channel."""

    @property
    def seconds(self) -> float:
        """Duration."""


def sample_range(source: Path, head: CodedLength, start: float, end: float | None) -> tuple[int, int]:
    """Convert times to samples.

    Args:
        source: names the file in the error message.
        head: states the length of the audio.
        start: in seconds.
        end: in seconds, None for the end of the audio; times beyond it mean the end as well.

    Returns:
        The first sample, and the one after the last.

    Raises:
        UserError: no such part of the audio.
    """
    if not 0 <= start <= head.seconds or not (end is None or start <= end):
        until = "" if end is None else f" to {end:g}"
        lasts = f"lasts {head.seconds:g} s, which does not include {start:g}{until} s"
        raise UserError(f"{source}: {lasts}; change the times")
    last = head.samples if end is None else min(head.samples, round(min(end, head.seconds) * head.sample_rate))
    return min(head.samples, round(start * head.sample_rate)), last
