"""Which back end reads which format, compared with independent decoders: ``python -m eval.benchmarks.format_table``.

Each input is made here, read with :mod:`codec.audio`, and decoded by a program that shares no code with what reads it
here (opusdec, oggdec, mpg123, flac, wvunpack, faad, sox). Where only FFmpeg decodes, the encoder's input stands in.
The programs and ``ffmpeg``, ``lame`` and ``opusenc`` have to be installed; rows whose program is missing say so.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from codec import audio
from codec.audio import AudioError, FloatArray

_RATE_HZ = 44100
_SAMPLES = 132_423
_OPUS = ("opusdec", "--quiet", "--float", "--rate", "48000", "IN", "OUT")
_OGG = ("oggdec", "-Q", "-o", "OUT", "IN")
_MPG = ("mpg123", "-q", "-e", "f32", "-w", "OUT", "IN")
_FLAC = ("flac", "-d", "-f", "-s", "-o", "OUT", "IN")
_WV = ("wvunpack", "-y", "-q", "IN", "-o", "OUT")
_SOX = ("sox", "-D", "IN", "-e", "floating-point", "-b", "32", "OUT")
_FAAD = ("faad", "-q", "-b", "4", "-o", "OUT", "IN")
_LOSSLESS = 1e-4
_INPUT = ()
"""Compared with what was encoded."""


@dataclass(frozen=True)
class Row:
    """A format: how its file is made of SRC, and which command decodes IN to OUT."""

    name: str
    suffix: str
    make: str
    decode: tuple[str, ...]
    back_end: str


def _ffmpeg(arguments: str, suffix: str) -> str:
    return f"ffmpeg -v error -y -i SRC {arguments} FILE{suffix}"


ROWS = (
    Row("WAV, 16 bits", ".wav", _ffmpeg("-c:a pcm_s16le", ".wav"), _SOX, "libsndfile"),
    Row("WAV, mu-law", ".wav", _ffmpeg("-c:a pcm_mulaw", ".wav"), _SOX, "libsndfile"),
    Row("WAV, IMA ADPCM", ".wav", "sox -D SRC -e ima-adpcm FILE.wav", _SOX, "libsndfile"),
    Row("WAV, GSM 6.10", ".wav", "sox -D SRC -r 8000 -c 1 -e gsm-full-rate FILE.wav", _SOX, "libsndfile"),
    Row("AIFF from a pipe", ".aiff", "sox -D SRC -t aiff - | cat > FILE.aiff", _INPUT, "libsndfile"),
    Row("CAF from a pipe", ".caf", "ffmpeg -v error -i SRC -f caf - | cat > FILE.caf", _INPUT, "FFmpeg"),
    Row("W64 from a pipe", ".w64", "ffmpeg -v error -i SRC -f w64 - | cat > FILE.w64", _INPUT, "libsndfile"),
    Row("ALAC in CAF", ".caf", _ffmpeg("-c:a alac", ".caf"), _INPUT, "FFmpeg"),
    Row("ALAC in MP4", ".m4a", _ffmpeg("-c:a alac", ".m4a"), _INPUT, "FFmpeg"),
    Row("FLAC", ".flac", _ffmpeg("", ".flac"), _FLAC, "libFLAC (libsndfile)"),
    Row("FLAC from a pipe", ".flac", "ffmpeg -v error -i SRC -f flac - | cat > FILE.flac", _FLAC, "FFmpeg"),
    Row("FLAC, 20 bits", ".flac", "sox -D SRC -b 24 FILE.20.wav && flac -s -f -o FILE.flac FILE.20.wav", _FLAC,
        "libFLAC (libsndfile)"),
    Row("FLAC in Ogg", ".oga", _ffmpeg("-c:a flac", ".oga"), _FLAC, "own pages, FFmpeg"),
    Row("WavPack", ".wv", _ffmpeg("-c:a wavpack", ".wv"), _WV, "FFmpeg"),
    Row("WavPack, hybrid", ".wv", "wavpack -y -q -b256 SRC -o FILE.wv", _WV, "FFmpeg"),
    Row("TTA", ".tta", _ffmpeg("-c:a tta", ".tta"), _INPUT, "FFmpeg"),
    Row("MP3, CBR with LAME tag", ".mp3", _ffmpeg("-c:a libmp3lame -b:a 64k", ".mp3"), _MPG, "own frames, FFmpeg"),
    Row("MP3, VBR from a pipe", ".mp3", "ffmpeg -v error -i SRC -q:a 4 -f mp3 - | cat > FILE.mp3", _MPG,
        "own frames, FFmpeg"),
    Row("MP3, free format", ".mp3", "lame --quiet --freeformat -b 160 SRC FILE.mp3", _MPG, "libmpg123 (libsndfile)"),
    Row("MP2", ".mp2", _ffmpeg("-c:a mp2", ".mp2"), _MPG, "own frames, FFmpeg"),
    Row("Opus in Ogg", ".opus", _ffmpeg("-c:a libopus", ".opus"), _OPUS, "own pages, libopus"),
    Row("Opus in Ogg, input of 16 kHz", ".opus",
        "sox -D SRC -r 16000 FILE.16.wav && opusenc --quiet FILE.16.wav FILE.opus", _OPUS, "own pages, libopus"),
    Row("Opus in Ogg, two files joined", ".opus",
        "opusenc --quiet SRC FILE.a.opus && opusenc --quiet SRC FILE.b.opus && "
        "cat FILE.a.opus FILE.b.opus > FILE.opus", _OPUS, "own pages, libopus"),
    Row("Opus in WebM", ".webm", _ffmpeg("-c:a libopus", ".webm"),
        ("sh", "-c", "ffmpeg -v error -y -i IN -c copy OUT.opus && " + " ".join(_OPUS).replace("IN", "OUT.opus")),
        "FFmpeg, libopus"),
    Row("Opus in MP4", ".mp4", _ffmpeg("-c:a libopus -strict -2", ".mp4"), _INPUT, "FFmpeg, libopus"),
    Row("Vorbis in Ogg", ".ogg", _ffmpeg("-c:a libvorbis", ".ogg"), _OGG, "own pages, FFmpeg"),
    Row("Speex in Ogg", ".spx", _ffmpeg("-ar 16000 -ac 1 -c:a libspeex", ".spx"), _INPUT, "own pages, FFmpeg"),
    Row("AAC in MP4", ".m4a", _ffmpeg("-c:a aac -aac_pns 0", ".m4a"), _FAAD, "FFmpeg"),
    Row("AAC in MP4, against the input", ".m4a", _ffmpeg("-c:a aac -aac_pns 0", ".m4a"), _INPUT, "FFmpeg"),
    Row("AAC, ADTS", ".aac", _ffmpeg("-c:a aac -aac_pns 0", ".aac"), _INPUT, "FFmpeg"),
    Row("AAC in Matroska", ".mka", _ffmpeg("-c:a aac -aac_pns 0", ".mka"), _INPUT, "FFmpeg"),
    Row("Vorbis in WebM", ".webm", _ffmpeg("-c:a libvorbis", ".webm"), _INPUT, "FFmpeg"),
    Row("WMA 2", ".wma", _ffmpeg("-c:a wmav2", ".wma"), _INPUT, "FFmpeg"),
    Row("AC-3", ".ac3", _ffmpeg("-c:a ac3 -b:a 192k", ".ac3"), _INPUT, "FFmpeg"),
    Row("G.722 in WAV", ".wav", _ffmpeg("-ar 16000 -ac 1 -c:a g722", ".wav"), _INPUT, "FFmpeg"),
)  # fmt: skip


def lag(decoded: FloatArray, original: FloatArray) -> int:
    """Samples by which ``decoded`` ``[n]`` is late, by cross-correlation."""
    size = 1 << (len(decoded) + len(original)).bit_length()
    spectrum = np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(original, size))
    peak = int(np.argmax(np.fft.irfft(spectrum, size)))
    return peak if peak < size // 2 else peak - size


def _source(path: Path) -> None:
    """Stereo noise of a moving spectrum, rounded to 16 bits."""
    rng = np.random.default_rng(0)
    phase = np.cumsum(0.1 * rng.standard_normal((_SAMPLES, 2)), axis=0)
    soundfile.write(path, (0.3 * np.sin(phase) + 0.01 * rng.standard_normal((_SAMPLES, 2))), _RATE_HZ)


def _cells(row: Row, folder: Path, source: Path) -> list[str]:
    tool = row.decode[0] if row.decode else "the encoder's input"
    file, out = folder / f"made{row.suffix}", folder / "decoded.wav"
    run = {"shell": True, "check": True, "capture_output": True}
    try:
        made = row.make.replace("SRC", str(source)).replace("FILE", str(folder / "made"))
        subprocess.run(made, **run)  # type: ignore[call-overload]
        read = audio.read(file)
        if row.decode:
            command = [part.replace("IN", str(file)).replace("OUT", str(out)) for part in row.decode]
            subprocess.run(command, check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError, AudioError) as error:
        return [row.name, row.back_end, tool, f"not compared: {error}"[:80], "", "", ""]
    reference, rate = soundfile.read(out if row.decode else source, dtype="float32", always_2d=True)
    wave = audio.resample(reference.T, rate, read.sample_rate)
    if len(wave) != len(read.samples):
        wave = wave.mean(axis=0, keepdims=True)
    late = lag(read.samples[0], wave[0])
    count = min(read.samples.shape[1] - max(0, late), wave.shape[1])
    here, there = read.samples[:, max(0, late) :][:, :count], wave[:, max(0, -late) :][:, :count]
    difference = np.abs(here - there).max()
    shown = "0" if difference == 0 else f"{difference:.1g}"
    if not row.decode and difference > _LOSSLESS:
        shown = f"lossy, r = {np.corrcoef(here.ravel(), there.ravel())[0, 1]:.4f}"
    return [
        row.name, row.back_end, "opusdec" if tool == "sh" else tool, f"{count:,}",
        f"{read.samples.shape[1] - wave.shape[1]:+d}", f"{late:d}", shown,
    ]  # fmt: skip


def table(rows: Sequence[Row] = ROWS) -> str:
    """The table in Markdown."""
    heads = ["format", "back end", "independent decoder", "samples compared", "count, more", "late by", "difference"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in rows:
        with tempfile.TemporaryDirectory() as name:
            source = Path(name, "source.wav")
            _source(source)
            lines.append(f"| {' | '.join(_cells(row, Path(name), source))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if shutil.which("ffmpeg") is None:
        raise SystemExit("ffmpeg is not installed: it makes the inputs")
    print(table())
