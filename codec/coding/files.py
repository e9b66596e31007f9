"""Whole files, encoded and decoded in constant memory whatever their length, sample rate and number of channels.

The decoded file has exactly the source's length, sample rate and channel count, and no delay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from codec import audio
from codec.audio import AudioInfo, FloatArray
from codec.audio.pictures import Picture
from codec.bitstream.codes import CodeArray
from codec.bitstream.file_layout import archive_layout
from codec.bitstream.header import Header
from codec.bitstream.pictures import fit_pictures
from codec.bitstream.tags import change_tags, fit_tags
from codec.bitstream.writer import PacketWriter
from codec.coding.bit_rate import new_header, new_rate_control
from codec.coding.nac_reader import NacReader
from codec.coding.options import CodingOptions, DecodingOptions
from codec.coding.pipeline import encode_blocks
from codec.coding.report import FileMeter, FileReport, Progress
from codec.coding.salvage import SALVAGED, find_source_losses
from codec.errors import UserError
from codec.model.dynamic_batching import BatchedCoder

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
        source: the audio file, or its description if it has been read already
        target: the ``.nac`` file; nothing appears there unless all of it was written
        model: the codec to encode with
        options: bit rate or number of codebooks, further tags, and what to do with pictures and damage
        progress: called after each block with the block's duration in seconds

    Returns:
        The figures of the file.

    Raises:
        UserError: source not readable or damaged, target not writable, bit rate or channels out of range.
    """
    info = audio.info(source) if isinstance(source, Path) else source
    meter = _source_meter(info, target, model, progress)
    try:
        return _encode(info, info.blocks(), meter, target, model, options)
    except audio.AudioError as error:
        if not (options.salvage and error.is_damage):
            raise
        damage = error
    losses = find_source_losses(info)
    options = replace(options, tags={**options.tags, SALVAGED: losses.describe(damage)})
    meter = _source_meter(info, target, model, progress)
    report = _encode(info, info.salvaged_blocks(), meter, target, model, options)
    return replace(report, lost=losses.spans, cut_off=losses.cut_off)


def _source_meter(info: AudioInfo, target: Path, model: LoadedModel, progress: Progress | None) -> FileMeter:
    return FileMeter(
        info.path, target, info.sample_rate, info.channels, model_rate=model.sample_rate, progress=progress
    )


def _encode(
    info: AudioInfo,
    blocks: Iterable[FloatArray],
    meter: FileMeter,
    target: Path,
    model: LoadedModel,
    options: CodingOptions,
) -> FileReport:
    own = change_tags(info.tags, dict.fromkeys(options.tags, ""))
    fitting = fit_tags(own)
    pictures = fit_pictures(info.read_pictures()) if options.pictures else ()
    options = replace(options, tags=change_tags(fitting, options.tags))
    report = encode_waveform(blocks, meter, target, model, options, pictures)
    return replace(
        report,
        pictures=info.pictures,
        pictures_left_out=info.pictures - len(pictures),
        tags_left_out=len(own) - len(fitting),
    )


def encode_waveform(
    blocks: Iterable[FloatArray],
    meter: FileMeter,
    target: Path,
    model: LoadedModel,
    options: CodingOptions,
    pictures: Sequence[Picture] = (),
) -> FileReport:
    """Encode a waveform as a ``.nac`` file.

    Args:
        blocks: float32 ``[channels, n]``, full scale 1
        meter: measures the blocks; gives sample rate and channels
        target: the ``.nac`` file; nothing appears there unless all of it was written
        model: the codec to encode with
        options: bit rate or number of codebooks, and all tags
        pictures: pictures that fit, see :func:`codec.bitstream.pictures.fit_pictures`

    Returns:
        The figures of the file.

    Raises:
        UserError: target not writable, bit rate or channels out of range, or from reading the blocks.
    """
    header = new_header(model, meter.sample_rate, meter.channels, options)
    with PacketWriter(target, header, BatchedCoder(model.coder), options.tags, pictures) as writer:
        has_blocks = any(options.tags.values()) or bool(pictures)
        for codes in encode_codes(meter.measure(blocks), model, header, with_blocks=has_blocks):
            writer.write(codes)
        writer.finish(meter.samples)
    return meter.report(
        codebooks=header.codebooks,
        bytes_total=writer.file_bytes,
        bytes_payload=writer.payload_bytes,
        bytes_metadata=writer.blocks_bytes,
    )


def encode_codes(
    blocks: Iterable[FloatArray], model: LoadedModel, header: Header, *, with_blocks: bool = False
) -> Iterator[CodeArray]:
    """Encode a waveform to the codes of a file.

    Args:
        blocks: float32 ``[channels, n]``, full scale 1
        model: the codec to encode with
        header: header of the file, whose bit rate holds
        with_blocks: whether the file will have tags or pictures, which are not counted in its bit rate

    Yields:
        Codes ``[channels, codebooks, frames]`` of zero or more frames; -1 where the bit rate leaves one out.
    """
    from codec.bitstream.rate_control import payload_bits

    samples = 0

    def counted() -> Iterator[FloatArray]:
        nonlocal samples
        for block in blocks:
            samples += block.shape[1]
            yield block

    control = new_rate_control(header, archive_layout(header, with_blocks=with_blocks), payload_bits(model.coder))
    for some in encode_blocks(model, counted(), header.sample_rate, header.channels, header.codebooks):
        yield control.push(some)
    yield control.flush(samples / header.sample_rate)


def decode_file(
    source: Path,
    target: Path,
    model: LoadedModel,
    options: DecodingOptions = DecodingOptions(),
    *,
    progress: Progress | None = None,
) -> FileReport:
    """Decode a ``.nac`` file to an audio file.

    Damaged parts are concealed, a truncated file is decoded up to its end, and the report lists the lost parts.

    Args:
        source: the ``.nac`` file
        target: the audio file, whose suffix (.wav, .flac, .ogg) sets its format; nothing appears there unless all of it
            was written
        model: the codec to decode with
        options: part to decode, sample format, and whether damage is an error
        progress: called after each block with the block's duration in seconds

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
        size, tags, pictures = stop - first, reader.tags, reader.file.pictures
        with audio.AudioWriter(
            target, reader.sample_rate, reader.channels, options.subtype, size, tags, decoded=True, pictures=pictures
        ) as writer:
            for waveform in meter.measure(reader.blocks(first, stop)):
                writer.write(waveform)
        payload = reader.file.payload_bytes
        return meter.report(
            codebooks=reader.header.codebooks,
            bytes_total=reader.file.file_bytes if whole else payload,
            bytes_payload=payload,
            bytes_metadata=reader.file.blocks_bytes if whole else 0,
            bytes_seconds=None if whole else reader.file.payload_seconds,
            pictures=len(pictures),
            pictures_left_out=len(pictures) - len(writer.pictures),
            tags_left_out=writer.tags_left_out,
            clipped=writer.clipped,
            lost=reader.lost,
            cut_off=reader.cut_off,
            tags_damaged=reader.file.tags_damaged,
        )


class CodedLength(Protocol):
    """Length of the audio in a header."""

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz."""

    @property
    def samples(self) -> int:
        """Samples per channel."""

    @property
    def seconds(self) -> float:
        """Duration in seconds."""


def sample_range(source: Path, head: CodedLength, start: float, end: float | None) -> tuple[int, int]:
    """Convert times to samples.

    Args:
        source: the file, for the error message
        head: sample rate and length of the audio
        start: start in seconds
        end: end in seconds, None for the end of the audio; times beyond it are clipped to it

    Returns:
        The first sample, and the one after the last.

    Raises:
        UserError: the part is empty, or begins outside the audio.
    """
    if start < 0:
        raise UserError(f"{source}: the start ({start:g} s) is negative; change the times")
    if end is not None and not start < end:
        raise UserError(f"{source}: the part from {start:g} to {end:g} s is empty; change the times")
    if not (start < head.seconds or head.samples == start == 0):
        raise UserError(
            f"{source}: the part from {start:g} s begins at or after the end of the audio ({head.seconds:g} s);"
            " change the times"
        )
    first = round(start * head.sample_rate)
    last = head.samples if end is None else min(head.samples, round(min(end, head.seconds) * head.sample_rate))
    if first >= last and head.samples:
        raise UserError(f"{source}: the part from {start:g} s on holds no sample; change the times")
    return min(first, last), last
