"""Inventory: decode every file once, measure it, and say which are fit for use. Headers are not believed.

What was measured is kept in a journal, a line per file, so that an interrupted or repeated run goes on where
it was.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO, Literal

from codec import audio
from codec.audio.statistics import FLOOR_DBFS, AudioMeter
from codec.errors import UserError
from codec.runtime.atomic_files import write_text
from codec.runtime.process_pool import PoolOptions, map_in_processes
from data_prep.segments import AudioSegment

SCAN_JOURNAL = "inventory.jsonl"
SILENT_DBFS = -60.0
CLIPPED_SHARE = 1e-3
CLIPPED_SHARE_WARNING = 1e-4
_VERSION = 2
"""Of the measurements; journals of another version are not read."""


@dataclass(frozen=True)
class ScanRecord:
    """One file or segment of a file, measured. Levels are in dB relative to full scale, never below -200."""

    path: str
    size: int
    mtime_ns: int
    error_kind: str = ""
    """Why the file could not be decoded whole, as it is counted; the measurements are then 0."""
    error: str = ""
    format: str = ""
    sample_rate: int = 0
    channels: int = 0
    frames: int = 0
    peak_dbfs: float = FLOOR_DBFS
    rms_dbfs: float = FLOOR_DBFS
    mix_rms_dbfs: float = FLOOR_DBFS
    """RMS level of the mean of the channels."""
    noise_dbfs: float = FLOOR_DBFS
    """RMS level of the quietest tenth of the 20 ms frames."""
    bandwidth_hz: float = 0.0
    """The frequency above which there is 60 dB less energy than in the strongest octave."""
    clipped_share: float = 0.0
    sha256: str = ""
    """Of the decoded samples, whatever the container."""
    start_s: float = 0.0
    end_s: float = 0.0
    """0: the whole file."""

    @property
    def segment(self) -> AudioSegment:
        return AudioSegment(Path(self.path), self.start_s, self.end_s)

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate if self.sample_rate else 0.0


@dataclass(frozen=True)
class ClipCheck:
    """Whether a file is used. ``reason`` begins with the kind it is counted under, then a colon."""

    status: Literal["ok", "warned", "excluded"]
    reason: str = ""


def scan_file(segment: AudioSegment) -> ScanRecord:
    """Decode and measure one file or a part of it; what is wrong with it is part of the result."""
    path, times = str(segment.path), {"start_s": segment.start_s, "end_s": segment.end_s}
    try:
        stat = segment.path.stat()
    except OSError as error:
        return ScanRecord(path, 0, 0, "unreadable", error.strerror or str(error), **times)  # type: ignore[arg-type]
    try:
        head = audio.info(segment.path)
        meter = AudioMeter(head.sample_rate)
        for block in segment.blocks(head.sample_rate):
            meter.push(block)
        if meter.frames == 0:
            raise audio.AudioError(segment.path, "empty", "holds no samples")
    except audio.AudioError as error:
        return ScanRecord(path, stat.st_size, stat.st_mtime_ns, error.kind, error.reason, **times)  # type: ignore[arg-type]
    stats = asdict(meter.stats())
    return ScanRecord(path, stat.st_size, stat.st_mtime_ns, format=f"{head.format}/{head.subtype}", **stats, **times)  # type: ignore[arg-type]


def scan_files(segments: Sequence[AudioSegment], journal: Path, workers: int) -> dict[str, ScanRecord]:
    """Measure every segment, by its key. Files whose size and time are those of the journal's line are not
    decoded again.
    """
    known = read_journal(journal)
    done: dict[str, ScanRecord] = {}
    for segment in segments:
        try:
            stat = segment.path.stat()
        except OSError:
            continue
        before = known.get(segment.key)
        if before and (before.size, before.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            done[segment.key] = before
    options = PoolOptions(workers, "inventory", inline_first=True, max_chunk=8)
    todo = [segment for segment in segments if segment.key not in done]
    try:
        with journal.open("a+b") as file:
            if _ends_in_a_line(file):
                file.write(b"\n")
            for result in map_in_processes(scan_file, todo, options):
                file.write(_line(result).encode())
                file.flush()
                done[result.segment.key] = result
    except OSError as error:
        raise UserError(f"{journal}: cannot write ({error.strerror})") from error
    if todo:
        kept = {**known, **done}
        write_text(journal, "".join(_line(kept[key]) for key in sorted(kept)))
    return done


def _line(probe: ScanRecord) -> str:
    return json.dumps({"v": _VERSION, **asdict(probe)}) + "\n"


def _ends_in_a_line(file: BinaryIO) -> bool:
    """Whether the last line was cut off, so that another must not follow in it."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def read_journal(journal: Path) -> dict[str, ScanRecord]:
    """Return what is known, by the key of the segment; lines that are damaged, or cut off, are measured again."""
    found: dict[str, ScanRecord] = {}
    if not journal.is_file():
        return found
    for line in journal.read_bytes().splitlines():
        try:
            values = json.loads(line)
            if values.pop("v") == _VERSION and _is_probe(values):
                result = ScanRecord(**values)
                found[result.segment.key] = result
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return found


def read_content_hashes(journal: Path) -> dict[str, str]:
    """Return the sha256 of the samples of each whole file that was ever measured, by its path."""
    return {probe.path: probe.sha256 for probe in read_journal(journal).values() if probe.segment.whole}


def _is_probe(values: dict[str, object]) -> bool:
    """Whether every value has its field's type, and is finite."""
    for field in fields(ScanRecord):
        value = values[field.name]
        wanted = (int, float) if field.type is float else (field.type,)
        if type(value) not in wanted or (isinstance(value, float) and not math.isfinite(value)):
            return False
    return True


def check_clip(probe: ScanRecord, *, min_seconds: float, sample_rate: int, channels: int) -> ClipCheck:
    """Whether the file is fit to be packed at this rate and channel count."""
    level = probe.mix_rms_dbfs if channels == 1 else probe.rms_dbfs
    if probe.error_kind:
        return ClipCheck("excluded", f"{probe.error_kind}: {probe.error.removeprefix(probe.error_kind).strip()}")
    if level < SILENT_DBFS:
        mixed = " when mixed to one channel" if probe.rms_dbfs >= SILENT_DBFS else ""
        return ClipCheck("excluded", f"silent: RMS {level:.1f} dBFS{mixed}, below {SILENT_DBFS:.0f}")
    if probe.seconds < min_seconds:
        return ClipCheck("excluded", f"too short: {probe.seconds:.2f} s, below {min_seconds:g}")
    share = f"{100 * probe.clipped_share:.2g} % of the samples cut off flat"
    if probe.clipped_share > CLIPPED_SHARE:
        return ClipCheck("excluded", f"clipped: {share}, above {100 * CLIPPED_SHARE:g} %")
    if probe.clipped_share > CLIPPED_SHARE_WARNING:
        return ClipCheck("warned", f"some clipping: {share}")
    if probe.peak_dbfs > 0.01:
        return ClipCheck("warned", f"beyond full scale: peak {probe.peak_dbfs:+.1f} dBFS, scaled down when packed")
    if probe.sample_rate < sample_rate:
        return ClipCheck("warned", f"low rate: {probe.sample_rate} Hz, nothing above {probe.sample_rate // 2} Hz")
    return ClipCheck("ok")
