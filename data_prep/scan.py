"""Audio scan: decode and measure every file once, and check which clips can be used. Headers are not trusted."""

from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from codec import audio
from codec.audio.statistics import AudioMeter
from codec.runtime.process_pool import PoolOptions, Workers, map_in_processes
from data_prep.journal import ScanJournal, ScanRecord, SegmentQueue
from data_prep.segments import AudioSegment

SILENT_DBFS = -60.0
"""Clips below this RMS level are excluded."""
CLIPPED_SHARE = 1e-3
"""Clips with a larger share of clipped samples are excluded."""
CLIPPED_SHARE_WARNING = 1e-4
"""Clips with a larger share of clipped samples are used with a warning."""


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


def scan_files(todo: SegmentQueue, journal: ScanJournal, workers: Workers) -> None:
    """Measure files and enter them into the journal.

    Args:
        todo: the audio, see :meth:`ScanJournal.queue`.
        journal: the journal.
        workers: number of processes, or processes elsewhere.

    Raises:
        UserError: the journal cannot be written, or a process died.
    """
    if len(todo):
        options = PoolOptions(workers, "scanning", inline_first=True, max_chunk=8)
        with closing(map_in_processes(scan_file, todo, options)) as records:
            journal.append(records)


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
