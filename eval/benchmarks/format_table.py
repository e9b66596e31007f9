"""The library that reads each audio format, and a comparison of its output with independent decoders.

``python -m eval.benchmarks.format_table`` prints the table of docs/formats.md. Each input is made here, read with
:mod:`codec.audio`, and decoded by a program that shares no code with the reading library (opusdec, oggdec, mpg123,
flac, wvunpack, faad, sox). If only FFmpeg can decode a format, the output is compared with the encoder's input. These
programs, ``ffmpeg``, ``lame`` and ``opusenc`` have to be installed; the row of a missing program notes its absence.
"""

import argparse
import shutil
import subprocess
import sys
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
"""No decoder: the output is compared with the encoder's input."""


@dataclass(frozen=True)
class Format:
    """An audio format, the commands that make and decode a file of it, and the library that reads it here."""

    name: str
    suffix: str
    make: str
    """Shell command that makes FILE with this suffix from SRC."""
    decode: tuple[str, ...]
    """Command that decodes IN to OUT; empty: the output is compared with SRC."""
    back_end: str


def _ffmpeg(arguments: str, suffix: str) -> str:
    return f"ffmpeg -v error -y -i SRC {arguments} FILE{suffix}"


CASES = (
    Format("WAV, 16 bits", ".wav", _ffmpeg("-c:a pcm_s16le", ".wav"), _SOX, "libsndfile"),
    Format("WAV, mu-law", ".wav", _ffmpeg("-c:a pcm_mulaw", ".wav"), _SOX, "libsndfile"),
    Format("WAV, IMA ADPCM", ".wav", "sox -D SRC -e ima-adpcm FILE.wav", _SOX, "libsndfile"),
    Format("WAV, GSM 6.10", ".wav", "sox -D SRC -r 8000 -c 1 -e gsm-full-rate FILE.wav", _SOX, "libsndfile"),
    Format("AIFF from a pipe", ".aiff", "sox -D SRC -t aiff - | cat > FILE.aiff", _INPUT, "libsndfile"),
    Format("CAF from a pipe", ".caf", "ffmpeg -v error -i SRC -f caf - | cat > FILE.caf", _INPUT, "FFmpeg"),
    Format("W64 from a pipe", ".w64", "ffmpeg -v error -i SRC -f w64 - | cat > FILE.w64", _INPUT, "libsndfile"),
    Format("ALAC in CAF", ".caf", _ffmpeg("-c:a alac", ".caf"), _INPUT, "FFmpeg"),
    Format("ALAC in MP4", ".m4a", _ffmpeg("-c:a alac", ".m4a"), _INPUT, "FFmpeg"),
    Format("FLAC", ".flac", _ffmpeg("", ".flac"), _FLAC, "libFLAC (libsndfile)"),
    Format("FLAC from a pipe", ".flac", "ffmpeg -v error -i SRC -f flac - | cat > FILE.flac", _FLAC, "FFmpeg"),
    Format("FLAC, 20 bits", ".flac", "sox -D SRC -b 24 FILE.20.wav && flac -s -f -o FILE.flac FILE.20.wav", _FLAC,
        "libFLAC (libsndfile)"),
    Format("FLAC in Ogg", ".oga", _ffmpeg("-c:a flac", ".oga"), _FLAC, "own pages, FFmpeg"),
    Format("WavPack", ".wv", _ffmpeg("-c:a wavpack", ".wv"), _WV, "FFmpeg"),
    Format("WavPack, hybrid", ".wv", "wavpack -y -q -b256 SRC -o FILE.wv", _WV, "FFmpeg"),
    Format("TTA", ".tta", _ffmpeg("-c:a tta", ".tta"), _INPUT, "FFmpeg"),
    Format("MP3, CBR with LAME tag", ".mp3", _ffmpeg("-c:a libmp3lame -b:a 64k", ".mp3"), _MPG, "own frames, FFmpeg"),
    Format("MP3, VBR from a pipe", ".mp3", "ffmpeg -v error -i SRC -q:a 4 -f mp3 - | cat > FILE.mp3", _MPG,
        "own frames, FFmpeg"),
    Format("MP3, free format", ".mp3", "lame --quiet --freeformat -b 160 SRC FILE.mp3", _MPG, "libmpg123 (libsndfile)"),
    Format("MP2", ".mp2", _ffmpeg("-c:a mp2", ".mp2"), _MPG, "own frames, FFmpeg"),
    Format("Opus in Ogg", ".opus", _ffmpeg("-c:a libopus", ".opus"), _OPUS, "own pages, libopus"),
    Format("Opus in Ogg, input of 16 kHz", ".opus",
        "sox -D SRC -r 16000 FILE.16.wav && opusenc --quiet FILE.16.wav FILE.opus", _OPUS, "own pages, libopus"),
    Format("Opus in Ogg, two files joined", ".opus",
        "opusenc --quiet SRC FILE.a.opus && opusenc --quiet SRC FILE.b.opus && "
        "cat FILE.a.opus FILE.b.opus > FILE.opus", _OPUS, "own pages, libopus"),
    Format("Opus in WebM", ".webm", _ffmpeg("-c:a libopus", ".webm"),
        ("sh", "-c", "ffmpeg -v error -y -i IN -c copy OUT.opus && " + " ".join(_OPUS).replace("IN", "OUT.opus")),
        "FFmpeg, libopus"),
    Format("Opus in MP4", ".mp4", _ffmpeg("-c:a libopus -strict -2", ".mp4"), _INPUT, "FFmpeg, libopus"),
    Format("Vorbis in Ogg", ".ogg", _ffmpeg("-c:a libvorbis", ".ogg"), _OGG, "own pages, FFmpeg"),
    Format("Speex in Ogg", ".spx", _ffmpeg("-ar 16000 -ac 1 -c:a libspeex", ".spx"), _INPUT, "own pages, FFmpeg"),
    Format("AAC in MP4", ".m4a", _ffmpeg("-c:a aac -aac_pns 0", ".m4a"), _FAAD, "FFmpeg"),
    Format("AAC in MP4, against the input", ".m4a", _ffmpeg("-c:a aac -aac_pns 0", ".m4a"), _INPUT, "FFmpeg"),
    Format("AAC, ADTS", ".aac", _ffmpeg("-c:a aac -aac_pns 0", ".aac"), _INPUT, "FFmpeg"),
    Format("AAC in Matroska", ".mka", _ffmpeg("-c:a aac -aac_pns 0", ".mka"), _INPUT, "FFmpeg"),
    Format("Vorbis in WebM", ".webm", _ffmpeg("-c:a libvorbis", ".webm"), _INPUT, "FFmpeg"),
    Format("WMA 2", ".wma", _ffmpeg("-c:a wmav2", ".wma"), _INPUT, "FFmpeg"),
    Format("AC-3", ".ac3", _ffmpeg("-c:a ac3 -b:a 192k", ".ac3"), _INPUT, "FFmpeg"),
    Format("G.722 in WAV", ".wav", _ffmpeg("-ar 16000 -ac 1 -c:a g722", ".wav"), _INPUT, "FFmpeg"),
)  # fmt: skip


def measure_delay(decoded: FloatArray, original: FloatArray) -> int:
    """Measure the delay of a decoded waveform by cross-correlation.

    Args:
        decoded: waveform ``[samples]``.
        original: waveform ``[samples]`` of any other length.

    Returns:
        Samples by which ``decoded`` is late; negative if it is early.

    >>> measure_delay(np.eye(1, 9, 5)[0], np.eye(1, 9, 3)[0])
    2
    """
    size = 1 << (len(decoded) + len(original)).bit_length()
    spectrum = np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(original, size))
    peak = int(np.argmax(np.fft.irfft(spectrum, size)))
    return peak if peak < size // 2 else peak - size


def _source(path: Path) -> None:
    """Write stereo noise of a moving spectrum, rounded to 16 bits."""
    rng = np.random.default_rng(0)
    phase = np.cumsum(0.1 * rng.standard_normal((_SAMPLES, 2)), axis=0)
    soundfile.write(path, (0.3 * np.sin(phase) + 0.01 * rng.standard_normal((_SAMPLES, 2))), _RATE_HZ)


def _cells(case: Format, folder: Path, source: Path) -> list[str]:
    tool = case.decode[0] if case.decode else "the encoder's input"
    file, out = folder / f"made{case.suffix}", folder / "decoded.wav"
    run = {"shell": True, "check": True, "capture_output": True}
    try:
        made = case.make.replace("SRC", str(source)).replace("FILE", str(folder / "made"))
        subprocess.run(made, **run)  # type: ignore[call-overload]
        read = audio.read(file)
        if case.decode:
            command = [part.replace("IN", str(file)).replace("OUT", str(out)) for part in case.decode]
            subprocess.run(command, check=True, capture_output=True)
    except (subprocess.CalledProcessError, FileNotFoundError, AudioError) as error:
        return [case.name, case.back_end, tool, f"not compared: {error}"[:80], "", "", ""]
    reference, rate = soundfile.read(out if case.decode else source, dtype="float32", always_2d=True)
    waveform = audio.resample(reference.T, rate, read.sample_rate)
    if len(waveform) != len(read.samples):
        waveform = waveform.mean(axis=0, keepdims=True)
    late = measure_delay(read.samples[0], waveform[0])
    count = min(read.samples.shape[1] - max(0, late), waveform.shape[1])
    here, there = read.samples[:, max(0, late) :][:, :count], waveform[:, max(0, -late) :][:, :count]
    difference = np.abs(here - there).max()
    shown = "0" if difference == 0 else f"{difference:.1g}"
    if not case.decode and difference > _LOSSLESS:
        shown = f"lossy, r = {np.corrcoef(here.ravel(), there.ravel())[0, 1]:.4f}"
    return [
        case.name, case.back_end, "opusdec" if tool == "sh" else tool, f"{count:,}",
        f"{read.samples.shape[1] - waveform.shape[1]:+d}", f"{late:d}", shown,
    ]  # fmt: skip


def make_format_table(cases: Sequence[Format] = CASES) -> str:
    """Read files of all formats and compare the output with independent decoders.

    Args:
        cases: formats, a row each.

    Returns:
        A table in Markdown.
    """
    heads = ["format", "back end", "independent decoder", "samples compared", "extra samples", "delay", "difference"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for case in cases:
        with tempfile.TemporaryDirectory() as name:
            source = Path(name, "source.wav")
            _source(source)
            lines.append(f"| {' | '.join(_cells(case, Path(name), source))} |")
    return "\n".join(lines)


def _main() -> None:
    argparse.ArgumentParser(
        prog="python -m eval.benchmarks.format_table",
        description="Print which library reads each audio format, and how its output differs from that of an"
        " independent decoder. The decoders and FFmpeg have to be installed.",
    ).parse_args()
    if shutil.which("ffmpeg") is None:
        sys.exit("error: ffmpeg is not installed, which makes the inputs; install it")
    print(make_format_table())


if __name__ == "__main__":
    _main()
