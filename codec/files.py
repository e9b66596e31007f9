"""Whole files, coded and decoded at constant memory whatever their length, rate and number of channels.

The decoded file has exactly the source's length, rate and channel count, and no delay.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from codec import audio
from codec.audio import FloatArray
from codec.bitstream.container import PACKET_BYTES, PACKET_FRAMES, Header, Reader, Writer
from codec.bitstream.rangecoder import WORD_BYTES, RangeCoder
from codec.channels import fold, unfold
from codec.checkpoint import fingerprint
from codec.errors import UserError
from codec.model.codec import Codec

Progress = Callable[[float], None]
"""Is told after each block how many more seconds of audio are done."""

_RESAMPLED_VALUES = 1 << 20
_EMPTY_FILE_BYTES = 4096


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
    bytes_payload: int
    """The range-coded codes alone, without header, packet lengths and checksums."""
    elapsed_seconds: float
    clipped: int = 0
    """Decoded samples that were beyond full scale, in a format that ends there."""

    @property
    def kbps(self) -> float:
        """Real bit rate: all bits of the coded file per second of audio, channels together, in kbit/s."""
        return _kbps(self.bytes_total, self.seconds)

    @property
    def payload_kbps(self) -> float:
        return _kbps(self.bytes_payload, self.seconds)

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
    model: str | None = None,
    coder: RangeCoder | None = None,
    progress: Progress | None = None,
) -> FileReport:
    """Codes a sound file as ``.nac``.

    Args:
        kbps: total over all channels; the file gets as many codebooks as have an expected rate (see
            :func:`expected_kbps`) that is not above it, and one where even that is more.
        codebooks: how many to use, in place of ``kbps``. Default: all.
        model, coder: :func:`fingerprint` and :func:`range_coder` of the codec, for callers that have them at hand.

    Raises:
        UserError: source not readable or damaged, target not writable, bit rate or channels out of range.
            Nothing is left at ``target`` then that was not there before.
    """
    started = time.perf_counter()
    described = audio.info(source)
    rate, channels = described.sample_rate, described.channels
    header = Header(
        fingerprint=model or fingerprint(codec),
        sample_rate=rate,
        channels=channels,
        model_rate=codec.config.sample_rate,
        latent_hop=codec.config.latent_hop,
        codebooks=choose_codebooks(codec, channels, kbps=kbps, codebooks=codebooks),
        bits_per_code=codec.config.bits_per_code,
    )
    samples = 0

    def counted() -> Iterator[FloatArray]:
        nonlocal samples
        for block in _source_blocks(described):
            samples += block.shape[1]
            yield block
            if progress:
                progress(block.shape[1] / rate)

    with Writer(target, header, coder or range_coder(codec)) as writer:
        encoder = codec.stream_encoder(channels, header.codebooks)
        for wave in _resampled(counted(), rate, header.model_rate, channels):
            streams = fold(torch.from_numpy(wave), codec.config.stereo)
            writer.write(encoder.push(streams).codes.cpu().numpy())
        writer.write(encoder.flush().codes.cpu().numpy())
        header = writer.finish(samples)
    return _report(source, target, header, writer.file_bytes, started)


def decode_file(
    source: Path,
    target: Path,
    codec: Codec,
    *,
    subtype: str = "PCM_16",
    model: str | None = None,
    coder: RangeCoder | None = None,
    progress: Progress | None = None,
) -> FileReport:
    """Decodes a ``.nac`` file to ``target``, whose suffix (.wav, .flac, .ogg) says the format.

    ``subtype``: of the samples, see :class:`codec.audio.Writer`. ``model``, ``coder``: see :func:`encode_file`.

    Raises:
        UserError: not a .nac file, damaged, or coded with another model; target not writable.
            Nothing is left at ``target`` then that was not there before.
    """
    started = time.perf_counter()
    with Reader(source) as reader:
        head = reader.header
        _check_model(source, head, codec, model or fingerprint(codec))
        with audio.Writer(target, head.sample_rate, head.channels, subtype, head.samples) as writer:
            decoded = _cut(_decoded(reader, codec, coder or range_coder(codec)), head.model_samples)
            waves = _resampled(decoded, head.model_rate, head.sample_rate, head.channels)
            for wave in _cut(waves, head.samples):
                writer.write(wave)
                if progress:
                    progress(wave.shape[1] / head.sample_rate)
    return _report(source, target, head, reader.file_bytes, started, writer.clipped)


def file_info(path: Path) -> dict[str, Any]:
    """What the header says, rates in kbit/s, and which checksums are wrong. Raises like :class:`Reader`."""
    with Reader(path) as reader:
        head, size, damaged = reader.header, reader.file_bytes, reader.damaged_packets()
    payload = head.payload_bytes(size)
    return {
        "path": str(path),
        **asdict(head),
        "seconds": head.seconds,
        "packets": head.packets,
        "bytes": size,
        "payload_bytes": payload,
        "nominal_kbps": head.nominal_kbps,
        "kbps": _kbps(size, head.seconds),
        "payload_kbps": _kbps(payload, head.seconds),
        "checksums_ok": not damaged,
        "damaged_packets": damaged,
    }


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
    if not kbps > 0:
        raise UserError(f"the bit rate must be above 0 kbps, not {kbps}")
    return max(1, sum(rate <= kbps + 1e-6 for rate in expected_kbps(codec, channels)))


def expected_kbps(codec: Codec, channels: int) -> list[float]:
    """Real bit rate to expect with 1, 2, … codebooks, all channels together, if codes occur as the model's tables say.

    Counts the packets around the payloads, and half a word per packet that range coding loses at its end; not the
    header, which weighs on short files alone.
    """
    frame_bits = channels * codec.tables.expected_bits().cumsum(0) + 8 * (PACKET_BYTES + WORD_BYTES / 2) / PACKET_FRAMES
    return (frame_bits * codec.config.latents_per_second / 1000).tolist()


def range_coder(codec: Codec) -> RangeCoder:
    """Codes under the model's tables."""
    return RangeCoder(codec.tables)


def _source_blocks(described: audio.AudioInfo) -> Iterable[FloatArray]:
    """The source's samples. To have none is an error only where the file has bytes that could be samples."""
    if described.frames == 0 and described.path.stat().st_size < _EMPTY_FILE_BYTES:
        return ()
    return audio.blocks(described.path)


def _resampled(blocks: Iterable[FloatArray], from_hz: int, to_hz: int, channels: int) -> Iterator[FloatArray]:
    """Blocks at another rate, aligned with the input: ``ceil(n * to_hz / from_hz)`` samples in all."""
    stream = audio.StreamResampler(from_hz, to_hz, channels)
    piece = max(1, _RESAMPLED_VALUES * from_hz // (to_hz * channels))
    taken = given = 0
    for block in blocks:
        for start in range(0, block.shape[1], piece):
            part = block[:, start : start + piece]
            out = stream.push(part)
            taken, given = taken + part.shape[1], given + out.shape[1]
            yield out
    yield stream.flush()[:, : max(0, -(-taken * to_hz // from_hz) - given)]


def _cut(blocks: Iterable[FloatArray], samples: int) -> Iterator[FloatArray]:
    for block in blocks:
        yield block[:, :samples]
        samples -= min(samples, block.shape[1])


def _decoded(reader: Reader, codec: Codec, coder: RangeCoder) -> Iterator[FloatArray]:
    """Waves ``[channels, n]`` at the model's rate."""
    decoder = codec.stream_decoder(reader.header.channels)

    def wave(streams: torch.Tensor) -> FloatArray:
        return unfold(streams.cpu(), codec.config.stereo).numpy()

    for codes in reader.codes(coder):
        yield wave(decoder.push(torch.from_numpy(codes)))
    yield wave(decoder.flush())


def _check_model(path: Path, head: Header, codec: Codec, model: str) -> None:
    if head.fingerprint not in (model, *codec.decodes):
        raise UserError(f"{path}: coded with model {head.fingerprint}, but this one is {model}; pass the right --model")
    config = codec.config
    if (
        (head.model_rate, head.latent_hop) != (config.sample_rate, config.latent_hop)
        or head.bits_per_code != config.bits_per_code
        or head.codebooks > config.quantizer.codebooks
        or head.frames != codec.latents_for(head.model_samples)
    ):
        raise UserError(f"{path}: the header contradicts the model that it names; encode the source again")


def _kbps(size: int, seconds: float) -> float:
    """Bytes over seconds in kbit/s; 0 where there is no sound."""
    return 8 * size / seconds / 1000 if seconds else 0.0


def _report(source: Path, target: Path, head: Header, size: int, started: float, clipped: int = 0) -> FileReport:
    return FileReport(
        source=Path(source),
        target=Path(target),
        seconds=head.seconds,
        sample_rate=head.sample_rate,
        channels=head.channels,
        codebooks=head.codebooks,
        bytes_total=size,
        bytes_payload=head.payload_bytes(size),
        elapsed_seconds=time.perf_counter() - started,
        clipped=clipped,
    )
