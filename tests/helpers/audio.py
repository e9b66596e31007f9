"""Waveforms and audio files for tests, made by soundfile, PyAV or byte by byte, without any other program."""

import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


def noise(*shape: int, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """Return white noise, float32, with this standard deviation."""
    return (level * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def sine(hz: float, samples: int, sample_rate: int, amplitude: float = 0.5) -> np.ndarray:
    """Return a sine, float32 ``[samples]``."""
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(samples) / sample_rate)).astype(np.float32)


def chirps(samples: int, sample_rate: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Return chirps and a little noise, float32 ``[channels, samples]``; they correlate only if aligned exactly."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / sample_rate
    rows = []
    for channel in range(channels):
        first = 150 * (channel + 1)
        rows.append(0.25 * np.sin(2 * np.pi * (first * t + 0.5 * (sample_rate / 12 - first) * t**2 / max(t[-1], 1e-9))))
    return (np.stack(rows) + 0.01 * rng.standard_normal((channels, samples))).astype(np.float32)


def random_integers(samples: int, channels: int, bits: int, seed: int = 0) -> np.ndarray:
    """Return integers of so many bits, ``[channels, samples]``, of which the first two are the extremes."""
    top = 1 << bits - 1
    values = np.random.default_rng(seed).integers(-top, top, (channels, samples))
    values[:, :2] = -top, top - 1
    return values


def write_audio(path: Path, waveform: np.ndarray, sample_rate: int, subtype: str | None = None) -> Path:
    """Write ``[samples]`` or ``[channels, samples]`` with soundfile, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform.T, sample_rate, subtype=subtype)
    return path


def write_noise(path: Path, seconds: float = 1.0, sample_rate: int = 16000, channels: int = 1, seed: int = 0) -> Path:
    """Write white noise with a level of 0.1, and create its folder."""
    return write_audio(path, noise(channels, round(seconds * sample_rate), seed=seed), sample_rate)


def read_by_libsndfile(path: Path) -> np.ndarray:
    """Return the samples as libsndfile's own decoders return them at once, float32 ``[channels, samples]``."""
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


def encode_with_ffmpeg(
    path: Path,
    wave: np.ndarray,
    sample_rate: int,
    codec: str,
    container: str,
    options: dict[str, str] | None = None,
    bit_rate: int | None = None,
    container_options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write float32 ``[channels, samples]`` with one of FFmpeg's encoders; integer formats are rounded."""
    layout = LAYOUTS[len(wave)]
    with av.open(str(path), "w", format=container, container_options=container_options or {}) as output:
        output.metadata.update(metadata or {})
        stream = output.add_stream(codec, rate=sample_rate, options=options or {})
        stream.layout = layout
        formats = [one.name for one in stream.codec.audio_formats or ()]
        kind = next((name for name in ("fltp", "flt", "s16p", "s16", "s32p", "s32") if name in formats), "s16")
        if (options or {}).get("bits") == "24":
            kind = "s32p" if "s32p" in formats else "s32"
        stream.format = kind
        if bit_rate:
            stream.bit_rate = bit_rate
        # Interleaved: PyAV cannot fill planes of eight channels.
        interleaved = np.ascontiguousarray(wave.T).reshape(1, -1)
        source = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
        source.sample_rate, source.pts, source.time_base = sample_rate, 0, Fraction(1, sample_rate)
        converter = av.AudioResampler(format=kind, layout=layout, rate=sample_rate)
        fifo = av.AudioFifo()
        for frame in converter.resample(source):
            fifo.write(frame)
        size = stream.codec_context.frame_size or 4096
        while (frame := fifo.read(size, partial=True)) is not None:
            for packet in stream.encode(frame):
                output.mux(packet)
        for packet in stream.encode(None):
            output.mux(packet)
    return path


def find_ogg_pages(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the start and the length of each page."""
    at = 0
    while at < len(data):
        count = data[at + 26]
        length = 27 + count + sum(data[at + 27 : at + 27 + count])
        yield at, length
        at += length


def crc(data: bytes, polynomial: int, bits: int) -> int:
    """Return the CRC by long division, most significant bit first, initially 0."""
    value, top = 0, 1 << bits - 1
    for byte in data:
        value ^= byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & (1 << bits) - 1
    return value


def edit_ogg_pages(data: bytes, change: Callable[[int, bytearray], None]) -> bytes:
    """Change pages of an Ogg file and renew their checksums. ``change`` gets the number of a page and the page."""
    pages = []
    for number, (at, length) in enumerate(find_ogg_pages(data)):
        page = bytearray(data[at : at + length])
        change(number, page)
        page[22:26] = bytes(4)
        page[22:26] = struct.pack("<I", crc(bytes(page), 0x04C11DB7, 32))
        pages.append(bytes(page))
    return b"".join(pages)


def make_flac(
    values: np.ndarray, bits: int, sample_rate: int = 16000, total: int | None = None, block: int = 1000
) -> bytes:
    """Return integers ``[channels, samples]`` as FLAC without compression (RFC 9639, verbatim subframes)."""
    channels, samples = values.shape
    info = struct.pack(">HH", block, block) + bytes(6)
    count = samples if total is None else total
    packed = sample_rate << 44 | channels - 1 << 41 | bits - 1 << 36 | count
    data = b"fLaC\x80\x00\x00\x22" + info + packed.to_bytes(8, "big") + bytes(16)
    for number, start in enumerate(range(0, samples, block)):
        part = values[:, start : start + block]
        assert number < 128
        head = b"\xff\xf8" + bytes([0x70, channels - 1 << 4, number]) + struct.pack(">H", part.shape[1] - 1)
        body, width = 0, 0
        for row in part:
            body, width = body << 8 | 0x02, width + 8
            for value in row.tolist():
                body, width = body << bits | value & (1 << bits) - 1, width + bits
        body, width = body << -width % 8, width + -width % 8
        frame = head + bytes([crc(head, 0x07, 8)]) + body.to_bytes(width // 8, "big")
        data += frame + struct.pack(">H", crc(frame, 0x8005, 16))
    return data


def lag(decoded: np.ndarray, original: np.ndarray) -> int:
    """Return the delay of ``decoded`` in samples, by cross-correlation."""
    size = 1 << (len(decoded) + len(original)).bit_length()
    spectrum = np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(original, size))
    peak = int(np.argmax(np.fft.irfft(spectrum, size)))
    return peak if peak < size // 2 else peak - size
