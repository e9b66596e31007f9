"""Audio scan: decode and measure every file once, and check which clips can be used. Headers are not trusted.

Measurements are appended to a journal, one line per file, so that an interrupted or repeated run continues there.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, Literal

from codec import audio
from codec.audio.statistics import AudioMeter, AudioStats
from codec.errors import UserError
from codec.runtime.atomic_files import write_text
from codec.runtime.process_pool import PoolOptions, Workers, map_in_processes
from data_prep.segments import AudioSegment

SCAN_JOURNAL = "inventory.jsonl"
"""Name of the journal in the data folder."""
SILENT_DBFS = -60.0
"""Clips below this RMS level are excluded."""
CLIPPED_SHARE = 1e-3
"""Clips with a larger share of clipped samples are excluded."""
CLIPPED_SHARE_WARNING = 1e-4
"""Clips with a larger share of clipped samples are used with a warning."""
_VERSION = 2
"""Version of the measurements. Lines of other versions are ignored."""


@dataclass(frozen=True, slots=True)
class ScanRecord:
    """Measurements of a file, or of a segment of it: a line of the journal."""

    path: str
    size: int
    """Size of the file in bytes; with ``mtime_ns``, it shows whether the file has changed since."""
    mtime_ns: int
    """Time of the last change, in nanoseconds."""
    error_kind: str = ""
    """Reason, in one or two words, why the file could not be decoded completely; empty if it could."""
    error: str = ""
    """Details of the reason."""
    format: str = ""
    """Container and encoding, such as ``WAV/PCM_16``."""
    stats: AudioStats = field(default_factory=AudioStats)
    """Measurements; at their defaults after an error."""
    start_s: float = 0.0
    """Start of the segment in seconds."""
    end_s: float = 0.0
    """End of the segment in seconds; 0 means the whole file."""

    @property
    def segment(self) -> AudioSegment:
        """The audio that was measured."""
        return AudioSegment(Path(self.path), self.start_s, self.end_s)

    @property
    def seconds(self) -> float:
        """Duration in seconds, 0 after an error."""
        return self.stats.frames / self.stats.sample_rate if self.stats.sample_rate else 0.0


@dataclass(frozen=True)
class ClipCheck:
    """Result of :func:`check_clip`."""

    status: Literal["ok", "warned", "excluded"]
    reason: str = ""
    """Kind of the reason, under which the summary counts it, a colon, and the details; empty if the status is ok."""


def scan_file(segment: AudioSegment) -> ScanRecord:
    """Decode and measure a file, or a part of it.

    Args:
        segment: the audio.

    Returns:
        Its measurements. A file that cannot be decoded is no error here: the record gives the reason.
    """
    try:
        stat = segment.path.stat()
    except OSError as error:
        return _failed(segment, 0, 0, "unreadable", error.strerror or str(error))
    try:
        head = audio.info(segment.path)
        meter = AudioMeter(head.sample_rate)
        for block in segment.blocks(head.sample_rate):
            meter.push(block)
        if meter.frames == 0:
            raise audio.AudioError(segment.path, "empty", "holds no samples")
    except audio.AudioError as error:
        return _failed(segment, stat.st_size, stat.st_mtime_ns, error.kind, error.reason)
    return ScanRecord(
        str(segment.path),
        stat.st_size,
        stat.st_mtime_ns,
        format=f"{head.format}/{head.subtype}",
        stats=meter.stats(),
        start_s=segment.start_s,
        end_s=segment.end_s,
    )


def _failed(segment: AudioSegment, size: int, mtime_ns: int, kind: str, error: str) -> ScanRecord:
    start_s, end_s = segment.start_s, segment.end_s
    return ScanRecord(str(segment.path), size, mtime_ns, kind, error, start_s=start_s, end_s=end_s)


def scan_files(segments: Sequence[AudioSegment], journal: Path, workers: Workers) -> dict[str, ScanRecord]:
    """Measure files that are not in the journal, or whose size or time has changed since, and write them there.

    Args:
        segments: the audio.
        journal: path of the journal.
        workers: number of processes, or processes elsewhere.

    Returns:
        Measurements of all segments, by :attr:`AudioSegment.key`.

    Raises:
        UserError: the journal cannot be written, or a process died.
    """
    known = read_journal(journal)
    done = {segment.key: known[segment.key] for segment in segments if _is_current(known.get(segment.key))}
    todo = [segment for segment in segments if segment.key not in done]
    options = PoolOptions(workers, "scanning", inline_first=True, max_chunk=8)
    try:
        with journal.open("a+b") as file:
            if _is_cut_off(file):
                file.write(b"\n")
            for result in map_in_processes(scan_file, todo, options):
                file.write(_format_line(result).encode())
                file.flush()
                done[result.segment.key] = result
    except OSError as error:
        raise UserError(f"{journal}: cannot write ({error.strerror})") from error
    if todo:
        known.update(done)
        write_text(journal, (_format_line(known[key]) for key in sorted(known)))
    return done


def _is_current(record: ScanRecord | None) -> bool:
    """Return whether the file still has the size and time of the record."""
    if record is None:
        return False
    try:
        stat = os.stat(record.path)
    except OSError:
        return False
    return (record.size, record.mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def _is_cut_off(file: BinaryIO) -> bool:
    """Return whether the last line is truncated, so that a new line must be started before writing."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def _format_line(record: ScanRecord) -> str:
    """Return the line of the journal, in which the statistics stand between the other fields."""
    values: dict[str, object] = {"v": _VERSION}
    for name, value in asdict(record).items():
        values.update(value if name == "stats" else {name: value})
    return json.dumps(values) + "\n"


def _parse_line(line: bytes) -> ScanRecord | None:
    """Return the record of a line, None if it is damaged or of another version."""
    try:
        values = json.loads(line)
        if values.pop("v") != _VERSION:
            return None
        stats = {entry.name: _checked(values.pop(entry.name), entry.type) for entry in fields(AudioStats)}
        others = {entry.name: entry.type for entry in fields(ScanRecord) if entry.name != "stats"}
        return ScanRecord(
            **{name: _checked(values.pop(name), kind) for name, kind in others.items()},
            stats=AudioStats(**stats),
            **values,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _checked(value: object, kind: object) -> Any:
    """Return the value of a field of this type. Raises ``ValueError`` for another type, NaN and infinity."""
    wanted = (int, float) if kind is float else (kind,)
    if type(value) not in wanted or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{value!r} is no {kind}")
    return value


def read_journal(journal: Path) -> dict[str, ScanRecord]:
    """Read the journal. Lines that are damaged are left out, so that their files are measured again.

    Args:
        journal: path of the journal.

    Returns:
        Measurements by :attr:`AudioSegment.key`; empty if there is no journal.
    """
    if not journal.is_file():
        return {}
    with journal.open("rb") as lines:
        return {record.segment.key: record for record in map(_parse_line, lines) if record}


def read_content_hashes(journal: Path) -> dict[str, str]:
    """Read the SHA-256 of the samples of each file when it was measured.

    Args:
        journal: path of the journal.

    Returns:
        SHA-256 of the samples of each whole file that was ever measured, by its path.
    """
    return {record.path: record.stats.sha256 for record in read_journal(journal).values() if record.segment.whole}


def check_clip(record: ScanRecord, *, min_seconds: float, sample_rate: int, channels: int) -> ClipCheck:
    """Decide whether a clip can be used.

    Args:
        record: measurements of the clip.
        min_seconds: minimum duration of a usable clip.
        sample_rate: sample rate of the packed arrays, in Hz.
        channels: channels of the packed arrays; for 1, the level of the mixed channels counts.

    Returns:
        The status and its reason: the first that applies of error, silence, duration and clipping.
    """
    stats = record.stats
    level = stats.mix_rms_dbfs if channels == 1 else stats.rms_dbfs
    if record.error_kind:
        return ClipCheck("excluded", f"{record.error_kind}: {record.error.removeprefix(record.error_kind).strip()}")
    if level < SILENT_DBFS:
        mixed = " when mixed to one channel" if stats.rms_dbfs >= SILENT_DBFS else ""
        return ClipCheck("excluded", f"silent: RMS {level:.1f} dBFS{mixed}, below {SILENT_DBFS:.0f}")
    if record.seconds < min_seconds:
        return ClipCheck("excluded", f"too short: {record.seconds:.2f} s, below {min_seconds:g}")
    share = f"{100 * stats.clipped_share:.2g} % of the samples"
    if stats.clipped_share > CLIPPED_SHARE:
        return ClipCheck("excluded", f"clipped: {share}, above {100 * CLIPPED_SHARE:g} %")
    if stats.clipped_share > CLIPPED_SHARE_WARNING:
        return ClipCheck("warned", f"some clipping: {share}")
    if stats.peak_dbfs > 0.01:
        return ClipCheck("warned", f"beyond full scale: peak {stats.peak_dbfs:+.1f} dBFS, scaled down when packed")
    if stats.sample_rate < sample_rate:
        return ClipCheck("warned", f"low rate: {stats.sample_rate} Hz, nothing above {stats.sample_rate // 2} Hz")
    return ClipCheck("ok")
