"""Processor time of ``codec encode`` and ``codec decode``, of this build beside that of another one.

Commands are what all builds have in common. The time of a command on one second of the audio, most of which is its
start, is subtracted from that on the whole; builds take turns.
"""

import statistics
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

import codec
from codec import audio
from codec.errors import UserError
from eval.benchmarks.coding_speed import TimingQuantiles
from eval.benchmarks.processor_time import cpu_seconds

HEAD_S = 1.0
"""Seconds of audio of which nearly all the time is the start of the command."""


@dataclass(frozen=True)
class CommandTiming:
    """Speed of the commands of one build, without their start."""

    name: str
    """Name of the model, with the data type of the decoder and the wheel, if it is not this build in float32."""
    kbps: float | None
    """Bit rate in kbit/s; None with all codes."""
    encode: TimingQuantiles
    """Times real time."""
    decode: TimingQuantiles
    encode_start_s: float
    """Median processor time in seconds of encoding :data:`HEAD_S` of audio."""
    decode_start_s: float
    encode_ratio: TimingQuantiles | None
    """Speed relative to the other build in the same round; None for that itself."""
    decode_ratio: TimingQuantiles | None


@dataclass(frozen=True)
class _Build:
    """A way to run the commands."""

    name: str
    folder: Path
    """Folder that holds the package ``codec``."""
    decode_options: Sequence[str] = ()

    def run(self, *words: str) -> float:
        """Run a command, and return its processor time in seconds."""
        try:
            return cpu_seconds(["-m", "codec", *words, "--force"], self.folder)
        except UserError as error:
            raise UserError(f"{self.name}: codec {words[0]} failed: {error}") from error


def time_commands(
    model: str, source: Path, wheel: Path, kbps: Sequence[float], rounds: int, *, quiet: bool = False
) -> list[CommandTiming]:
    """Time the commands on a sound file: those of this build, with its decoder in float32 and in int8, and of another.

    Args:
        model: name or folder of a model that both builds have.
        source: sound file of several seconds.
        wheel: wheel of the other build, whose dependencies are installed.
        kbps: bit rates in kbit/s; all codes are timed in any case.
        rounds: how often each command is run.
        quiet: whether to hide the progress bar.

    Returns:
        One timing for each bit rate and build.

    Raises:
        UserError: a file cannot be read, or a command failed.
    """
    sound = audio.read(source)
    seconds, head_samples = sound.samples.shape[1] / sound.sample_rate, round(HEAD_S * sound.sample_rate)
    if seconds < 2 * HEAD_S:
        raise UserError(f"{source}: at least {2 * HEAD_S:g} s are needed to time commands")
    if Path(model).exists():
        model = str(Path(model).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _unpack(wheel, folder / "other")
        head = folder / "head.wav"
        audio.write(head, sound.samples[:, :head_samples], sound.sample_rate)
        own = Path(codec.__file__).parent.parent
        other = _Build(f"{model}, {wheel.name}", folder / "other")
        builds = [_Build(model, own), _Build(f"{model}, int8", own, ["--dtype", "int8"]), other]
        rates = [None, *kbps]
        times: dict[tuple[str, float | None], list[tuple[float, float, float, float]]] = {}
        with tqdm(total=rounds * len(rates) * len(builds), desc="commands", disable=quiet) as bar:
            for _ in range(rounds):
                for rate in rates:
                    for build in builds:
                        row = _time_once(build, model, source.resolve(), head, rate, folder)
                        times.setdefault((build.name, rate), []).append(row)
                        bar.update()
    return [
        _summarise(build.name, rate, seconds - HEAD_S, times[build.name, rate], times[other.name, rate], build is other)
        for rate in rates
        for build in builds
    ]


def _unpack(wheel: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{wheel}: not a wheel that can be read ({error})") from error


def _time_once(
    build: _Build, model: str, source: Path, head: Path, kbps: float | None, folder: Path
) -> tuple[float, float, float, float]:
    """Return the processor times of encoding the whole, its head, and of decoding both."""
    rate = [] if kbps is None else ["--kbps", f"{kbps:g}"]
    coded, decoded = folder / "coded.nac", str(folder / "decoded.wav")
    times = []
    for sound in (source, head):
        times.append(build.run("encode", str(sound), "--out", str(coded), "--model", model, *rate))
        times.append(build.run("decode", str(coded), "--out", decoded, "--model", model, *build.decode_options))
    return times[0], times[2], times[1], times[3]


def _summarise(
    name: str,
    kbps: float | None,
    seconds: float,
    rows: Sequence[tuple[float, float, float, float]],
    others: Sequence[tuple[float, float, float, float]],
    is_other: bool,
) -> CommandTiming:
    def net(row: tuple[float, float, float, float], which: int) -> float:
        return max(row[which] - row[which + 1], 1e-3)  # a short command may take no longer than its start

    def speed(which: int) -> TimingQuantiles:
        return TimingQuantiles.of([seconds / net(row, which) for row in rows])

    def ratio(which: int) -> TimingQuantiles | None:
        pairs = zip(rows, others)
        return None if is_other else TimingQuantiles.of([net(old, which) / net(new, which) for new, old in pairs])

    encode_start, decode_start = (statistics.median(row[which] for row in rows) for which in (1, 3))
    return CommandTiming(name, kbps, speed(0), speed(2), encode_start, decode_start, ratio(0), ratio(2))
