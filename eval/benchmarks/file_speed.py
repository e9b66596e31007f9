"""Speed from a sound file to a coded file and back, of the commands of builds of this package and of libopus.

The time of the same work on the first second of the audio, most of which is the start of a program or the loading of a
model, is subtracted. Systems take turns.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec import audio
from codec.errors import UserError
from codec.runtime.progress import ProgressBar
from eval.benchmarks.build_process import BuildProcess
from eval.benchmarks.coding_speed import FILE, CodingTiming, RoundTime

HEAD_S = 1.0
"""Seconds of audio of which nearly all the time is a start."""
_LEAST_S = 1e-3


@dataclass(frozen=True)
class FileCoder:
    """A system that codes files."""

    name: str
    kbps: float | None
    """Bit rate in kbit/s; None with all codes."""
    suffix: str
    """Suffix of coded files."""
    encode: Callable[[Path, Path], None]
    """Function of a sound file and of the coded file to write."""
    decode: Callable[[Path, Path], None]
    """Function of a coded file and of the WAV file to write."""


def build_coder(
    build: BuildProcess,
    name: str,
    model: str,
    kbps: float | None,
    options: Sequence[str] = (),
    decode_options: Sequence[str] = (),
) -> FileCoder:
    """Return a build's ``codec encode`` and ``codec decode``.

    Args:
        build: the process that runs them.
        name: name of the system.
        model: name or folder of the model.
        kbps: bit rate in kbit/s; None with all codes.
        options: more words for both commands.
        decode_options: more words for ``codec decode``.

    Returns:
        The coder.
    """
    rate = [] if kbps is None else ["--kbps", f"{kbps:g}"]

    def run(command: str, source: Path, target: Path, more: Sequence[str]) -> None:
        words = [str(source), "--out", str(target), "--model", model, "--force", *options, *more]
        build.call("command", command, *words)

    return FileCoder(
        name,
        kbps,
        ".nac",
        lambda source, target: run("encode", source, target, rate),
        lambda source, target: run("decode", source, target, decode_options),
    )


def opus_name(kbps: float) -> str:
    """Name libopus as a system.

    Args:
        kbps: bit rate in kbit/s.

    Returns:
        The name.
    """
    return f"libopus, {kbps:g} kbps"


def opus_coder(kbps: float) -> FileCoder | None:
    """Return libopus at its greatest complexity, as the program ``ffmpeg`` runs it.

    Args:
        kbps: bit rate in kbit/s.

    Returns:
        The coder; None if there is no ``ffmpeg`` with libopus.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        return None
    encoders = subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, text=True, check=False)
    if "libopus" not in encoders.stdout:
        return None

    def run(before: Sequence[str], source: Path, target: Path, after: Sequence[str]) -> None:
        words = [program, "-v", "error", "-nostdin", "-y", "-threads", "1", *before, "-i", str(source), *after]
        done = subprocess.run([*words, str(target)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"ffmpeg failed: {(done.stderr.strip() or 'killed').splitlines()[-1]}")

    setting = ["-c:a", "libopus", "-b:a", f"{1000 * kbps:.0f}", "-compression_level", "10"]
    return FileCoder(
        opus_name(kbps),
        kbps,
        ".opus",
        lambda source, target: run([], source, target, setting),
        lambda source, target: run(["-c:a", "libopus"], source, target, ["-c:a", "pcm_s16le"]),
    )


def time_files(
    coders: Sequence[FileCoder], source: Path, rounds: int, folder: Path, *, quiet: bool = False
) -> list[CodingTiming]:
    """Time coders on a sound file.

    Args:
        coders: they take turns.
        source: sound file of several seconds.
        rounds: how often each codes it.
        folder: folder for coded files.
        quiet: whether to hide the progress bar.

    Returns:
        One timing for each coder.

    Raises:
        UserError: the file cannot be read or is too short, or a coder failed.
    """
    sound = audio.read(source)
    seconds, head_samples = sound.samples.shape[1] / sound.sample_rate, round(HEAD_S * sound.sample_rate)
    if seconds < 2 * HEAD_S:
        raise UserError(f"{source}: at least {2 * HEAD_S:g} s are needed to time the coding of files")
    head = folder / "head.wav"
    audio.write(head, sound.samples[:, :head_samples], sound.sample_rate)
    for coder in ProgressBar(coders, desc="files, warming up", unit="coding", disable=quiet):
        _time_once(coder, head, folder)
    times: list[list[RoundTime]] = [[] for _ in coders]
    with ProgressBar(total=rounds * len(coders), desc="files", unit="coding", disable=quiet) as bar:
        for number in range(rounds):
            for coder, found in zip(coders, times):
                (encode, decode), (head_encode, head_decode) = (
                    _time_once(coder, one, folder) for one in (source.resolve(), head)
                )
                # a short file may take no longer than its first second
                times_s = max(encode - head_encode, _LEAST_S), max(decode - head_decode, _LEAST_S)
                found.append(RoundTime(number, *times_s))
                bar.update()
    return [
        CodingTiming.of(coder.name, FILE, coder.kbps, None, seconds - HEAD_S, found)
        for coder, found in zip(coders, times)
    ]


def _time_once(coder: FileCoder, source: Path, folder: Path) -> tuple[float, float]:
    coded = folder / f"coded{coder.suffix}"
    started = time.perf_counter()
    coder.encode(source, coded)
    middle = time.perf_counter()
    coder.decode(coded, folder / "decoded.wav")
    return middle - started, time.perf_counter() - middle
