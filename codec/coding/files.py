"""Whole files, coded and decoded at constant memory whatever their length, rate and number of channels.

The decoded file has exactly the source's length, rate and channel count, and no delay.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from codec import audio
from codec.audio import FloatArray
from codec.audio.bandwidth import AboveBandMeter
from codec.bitstream.codes import CodeArray
from codec.bitstream.framing import PACKET_OVERHEAD_BYTES, packet_frames
from codec.bitstream.header import WORD_BYTES, Header, fitting_tags
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.rate_control import RateControl, payload_bits
from codec.bitstream.reader import PacketReader
from codec.bitstream.writer import PacketWriter
from codec.coding.nac_reader import NacReader, range_coder
from codec.coding.pipeline import encoded
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import fingerprint

Progress = Callable[[float], None]
"""Is told after each block how many more seconds of audio are done."""

_TYPICAL_BYTES_PER_S = 16_000
"""Of a compressed file (128 kbit/s)."""


class Lasting(Protocol):
    """Sound of so many ``samples`` per channel."""

    @property
    def sample_rate(self) -> int: ...
    @property
    def samples(self) -> int: ...
    @property
    def seconds(self) -> float: ...


@dataclass(frozen=True)
class FileReport:
    """One file coded or decoded. Rate and channels are the sound's, bytes the ``.nac`` file's."""

    source: Path
    target: Path
    seconds: float
    sample_rate: int
    channels: int
    codebooks: int
    bytes_total: int
    """Of the whole file; where a part of it was decoded, as ``bytes_payload``."""
    bytes_payload: int
    """The codes alone, without header, packet lengths and checksums, of the packets that were read."""
    bytes_seconds: float
    """Of sound that these bytes stand for: more than ``seconds`` where a part was decoded, for packets are read
    whole."""
    elapsed_seconds: float
    clipped: int = 0
    """Decoded samples that were beyond full scale, in a format that ends there."""
    too_loud: int = 0
    """Samples of a source that were beyond full scale: models are made for what is within, and may garble them."""
    lost: tuple[tuple[float, float], ...] = ()
    """Start and end in seconds of what was damaged and is concealed, or missing at the end."""
    cut_off: float | None = None
    """From where on, in seconds, all is missing; None if the source was not cut off."""
    fault: str | None = None
    """Why less than announced was there to be coded, of a source that came through a pipe."""
    above_band: float = 0.0
    """Share of the source's energy above the model's Nyquist frequency, which is not coded; see
    codec/audio/bandwidth.py."""
    pictures: int = 0
    """Of the source, which a ``.nac`` file does not hold."""
    tags_left_out: int = 0
    """Tags of the source that are too long for a ``.nac`` file."""

    @property
    def kbps(self) -> float:
        """Real bit rate: all bits of the coded file per second of audio, channels together, in kbit/s."""
        return _kbps(self.bytes_total, self.bytes_seconds)

    @property
    def payload_kbps(self) -> float:
        return _kbps(self.bytes_payload, self.bytes_seconds)

    @property
    def times_real_time(self) -> float:
        return self.seconds / self.elapsed_seconds


def encode_file(
    source: Path,
    target: Path,
    codec: Codec,
    *,
    kbps: float | None = None,
    codebooks: int | None = None,
    tags: Mapping[str, str] | None = None,
    model: str | None = None,
    coder: RangeCoder | None = None,
    progress: Progress | None = None,
) -> FileReport:
    """Codes a sound file as ``.nac``.

    Args:
        kbps: of the payloads, total over all channels. Frames get the codes that they need most, see
            :mod:`codec.bitstream.rate_control`: within 3 % on half a minute and more; short files may have less, and
            at most 2 %
            and about 12 bytes for each packet of 2 s more. With a model
            without contexts, the file gets as many codebooks as have an expected rate (see :func:`expected_kbps`) that
            is not above it, and one where even that is more.
        codebooks: how many each frame gets, in place of ``kbps``. Default: all.
        tags: title, date and the like, to be kept in the file besides those of the source, of which they take
            precedence.
        model, coder: :func:`fingerprint` and :func:`range_coder` of the codec, for callers that have them at hand.

    Raises:
        UserError: source not readable or damaged, target not writable, bit rate or channels out of range.
            Nothing is left at ``target`` then that was not there before.
    """
    described = audio.info(source)
    own = {name: text for name, text in described.tags.items() if name not in (tags or {})}
    kept = fitting_tags(own)
    report = encode_sound(
        described.blocks(),
        described.sample_rate,
        described.channels,
        target,
        codec,
        source=Path(source),
        kbps=kbps,
        codebooks=codebooks,
        tags={**kept, **(tags or {})},
        model=model,
        coder=coder,
        progress=progress,
    )
    return replace(report, pictures=described.pictures, tags_left_out=len(own) - len(kept))


def encode_sound(
    blocks: Iterable[FloatArray],
    sample_rate: int,
    channels: int,
    target: Path,
    codec: Codec,
    *,
    source: Path,
    kbps: float | None = None,
    codebooks: int | None = None,
    tags: Mapping[str, str] | None = None,
    model: str | None = None,
    coder: RangeCoder | None = None,
    progress: Progress | None = None,
) -> FileReport:
    """Codes ``blocks`` ``[channels, n]`` as ``.nac``; ``source`` is what the report calls them. The rest as for
    :func:`encode_file`."""
    started = time.perf_counter()
    rate = sample_rate
    header = Header(
        fingerprint=model or fingerprint(codec),
        sample_rate=rate,
        channels=channels,
        model_rate=codec.config.sample_rate,
        latent_hop=codec.config.latent_hop,
        codebooks=choose_codebooks(codec, channels, kbps=kbps, codebooks=codebooks),
        bits_per_code=codec.config.bits_per_code,
        packet_frames=packet_frames(codec.config.frame_rate_hz),
        receptive_frames=codec.receptive_field,
        variable=kbps is not None and codec.config.quantizer.contexts > 1,
        target_bps=target_bps(kbps),
    )
    samples = too_loud = 0
    band = AboveBandMeter(rate, codec.config.sample_rate)

    def counted() -> Iterator[FloatArray]:
        nonlocal samples, too_loud
        for block in blocks:
            samples += block.shape[1]
            too_loud += audio.count_over_full_scale(block)
            band.push(block)
            yield block
            if progress:
                progress(block.shape[1] / rate)

    coder = coder or range_coder(codec)
    control = rate_control(codec, header, payload_bits(coder))
    with PacketWriter(target, header, coder, tags) as writer:
        for coded in encoded(codec, counted(), rate, channels, header.codebooks):
            writer.write(control.push(coded.to_numpy()))
        writer.write(control.flush())
        header = writer.finish(samples)
    return FileReport(
        source=source,
        target=Path(target),
        seconds=header.seconds,
        sample_rate=rate,
        channels=channels,
        codebooks=header.codebooks,
        bytes_total=writer.file_bytes,
        bytes_payload=writer.payload_bytes,
        bytes_seconds=header.seconds,
        elapsed_seconds=time.perf_counter() - started,
        too_loud=too_loud,
        above_band=band.share,
    )


def decode_file(
    source: Path,
    target: Path,
    codec: Codec,
    *,
    start: float = 0.0,
    end: float | None = None,
    strict: bool = False,
    subtype: str = "PCM_16",
    model: str | None = None,
    coder: RangeCoder | None = None,
    progress: Progress | None = None,
) -> FileReport:
    """Decodes a ``.nac`` file to ``target``, whose suffix (.wav, .flac, .ogg) says the format.

    What is damaged is concealed, a file that was cut off is decoded up to there, and the report says which moments were
    lost.

    Args:
        start, end: seconds of the sound to decode between; exactly that part of the whole.
        strict: refuse damage.
        subtype: of the samples, see :class:`codec.audio.AudioWriter`.
        model, coder: see :func:`encode_file`.

    Raises:
        UserError: not a .nac file, coded with another model, or damaged in its header; times outside the sound; target
            not writable. Nothing is left at ``target`` then that was not there before.
    """
    started = time.perf_counter()
    with NacReader(source, codec, strict=strict, model=model, coder=coder) as reader:
        rate = reader.sample_rate
        first, stop = part(source, reader.header, start, end)
        whole = (first, stop) == (0, reader.samples)
        samples = 0
        with audio.AudioWriter(
            target, rate, reader.channels, subtype, stop - first, reader.tags, decoded=True
        ) as writer:
            for wave in reader.blocks(first, stop):
                samples += wave.shape[1]
                writer.write(wave)
                if progress:
                    progress(wave.shape[1] / rate)
        payload = reader.file.payload_bytes
        return FileReport(
            source=Path(source),
            target=Path(target),
            seconds=samples / rate,
            sample_rate=rate,
            channels=reader.channels,
            codebooks=reader.header.codebooks,
            bytes_total=reader.file.file_bytes if whole else payload,
            bytes_payload=payload,
            bytes_seconds=samples / rate if whole else reader.file.payload_seconds,
            elapsed_seconds=time.perf_counter() - started,
            clipped=writer.clipped,
            lost=reader.lost,
            cut_off=reader.cut_off,
        )


def part(source: Path, head: Lasting, start: float, end: float | None) -> tuple[int, int]:
    """First sample, and the one behind the last, between two moments in seconds. Raises ``UserError`` where there are
    none."""
    if not 0 <= start <= head.seconds or not (end is None or start <= end):
        until = "" if end is None else f" to {end:g}"
        reason = f"has {head.seconds:g} s, so that {start:g}{until} s is no part of it"
        raise UserError(f"{source}: {reason}; give other times")
    last = head.samples if end is None else min(head.samples, round(min(end, head.seconds) * head.sample_rate))
    return min(head.samples, round(start * head.sample_rate)), last


def file_info(path: Path) -> dict[str, Any]:
    """What the header says, rates in kbit/s, and which packets are damaged. Raises like :class:`PacketReader`."""
    with PacketReader(path) as reader:
        head, size, damaged = reader.header, reader.file_bytes, reader.damaged_packets()
        payload, tags = reader.payload_bytes, reader.tags
        try:
            reader.check()
            fault = None
        except UserError as error:
            fault = str(error)
    return {
        "path": str(path),
        **asdict(head),
        "tags": tags,
        "seconds": head.seconds,
        "packets": head.packets,
        "bytes": size,
        "payload_bytes": payload,
        "nominal_kbps": head.nominal_kbps,
        "kbps": _kbps(size, head.seconds),
        "payload_kbps": _kbps(payload, head.seconds),
        "fault": fault,
        "checksums_ok": not damaged and fault is None,
        "damaged_packets": damaged,
    }


def target_bps(kbps: float | None) -> int:
    """As it stands in a header. Raises ``UserError`` where it cannot."""
    if kbps is not None and not 0 < kbps < 4e6:
        raise UserError(f"the bit rate must be above 0 kbps and below 4,000,000, not {kbps}")
    return 0 if kbps is None else max(1, round(1000 * kbps))


def rate_control(codec: Codec, header: Header, cost: Callable[[CodeArray], float]) -> RateControl:
    """What keeps to the rate in the header; or, where frames all have as many codes, lets everything through."""
    kbps = header.target_bps / 1000 if header.variable else math.inf
    return RateControl(kbps, codec.config.frame_rate_hz, header.packet_frames, cost)


def choose_codebooks(codec: Codec, channels: int, *, kbps: float | None, codebooks: int | None) -> int:
    """How many codebooks a file of so many channels gets, see :func:`encode_file`."""
    most = codec.config.quantizer.codebooks
    if codebooks is not None:
        if kbps is not None:
            raise UserError("give a bit rate or a number of codebooks, not both")
        if not 1 <= codebooks <= most:
            raise UserError(f"this model has 1 to {most} codebooks, not {codebooks}")
        return codebooks
    if kbps is None:
        return most
    target_bps(kbps)
    if codec.config.quantizer.contexts > 1:
        return most
    return max(1, sum(rate <= kbps + 1e-6 for rate in expected_kbps(codec, channels)))


def expected_kbps(codec: Codec, channels: int) -> list[float]:
    """Real bit rate to expect with 1, 2, … codebooks, all channels together, if codes occur as the model's tables say.

    Counts the packets around the payloads, and half a word per packet that range coding loses at its end; not the
    header, which weighs on short files alone.
    """
    frame_bits = channels * codec.tables.expected_bits().cumsum(0)
    frame_bits = frame_bits + 8 * (PACKET_OVERHEAD_BYTES + WORD_BYTES / 2) / packet_frames(codec.config.frame_rate_hz)
    return (frame_bits * codec.config.frame_rate_hz / 1000).tolist()


def expected_seconds(source: Path) -> float:
    """Return the duration of a sound file for a progress bar: the stated one, else a guess from its size.

    Raises:
        UserError: it cannot be opened.
    """
    described = audio.info(source)
    return source.stat().st_size / _TYPICAL_BYTES_PER_S if described.seconds is None else described.seconds


def _kbps(size: int, seconds: float) -> float:
    """Bytes over seconds in kbit/s; 0 where there is no sound."""
    return 8 * size / seconds / 1000 if seconds else 0.0
