"""The progress bar of a batch."""

import math
import time
from types import TracebackType

from codec.audio import AudioInfo
from codec.batch.jobs import Job
from codec.runtime.progress import ProgressBar

_TYPICAL_BYTES_PER_S = 16_000
"""Bytes per second of a compressed file (128 kbit/s)."""

_LAYOUT = "{desc} {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]"


def expected_seconds(info: AudioInfo) -> float:
    """Estimate the duration of an audio file.

    Args:
        info: description of the file

    Returns:
        The stated duration, otherwise a guess from the size of the file.
    """
    return info.path.stat().st_size / _TYPICAL_BYTES_PER_S if info.seconds is None else info.seconds


class BatchProgress:
    """Shows files, hours of audio, speed and remaining time. A context manager.

    Args:
        verb: what is done to the files
        planned: expected seconds of audio of each job; the total is corrected when there are more or fewer
    """

    def __init__(self, verb: str, planned: dict[Job, float]) -> None:
        self._verb, self._planned, self._done = verb, planned, dict.fromkeys(planned, 0.0)
        self._started, self._files, self._passed, self._total = time.monotonic(), 0, 0.0, sum(planned.values())
        self._all = sum(len(job.sources) for job in planned)
        self._bar = ProgressBar(total=int(self._total), bar_format=_LAYOUT, disable=not planned)
        self._show()

    def __enter__(self) -> "BatchProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, job: Job, seconds: float) -> None:
        """Add processed audio.

        Args:
            job: job to which it belongs
            seconds: its duration
        """
        self._passed += seconds
        self._done[job] += seconds
        self._plan(job, max(self._done[job], self._planned[job]))

    def end(self, job: Job) -> None:
        """Count a job as ended.

        Args:
            job: job that ended or failed
        """
        self._files += len(job.sources)
        self._plan(job, self._done[job])

    def _plan(self, job: Job, seconds: float) -> None:
        self._total += seconds - self._planned[job]
        self._planned[job] = seconds
        self._show()

    def _show(self) -> None:
        files = f"{self._verb} {self._files}/{self._all} files"
        hours = f"{self._passed / 3600:.2f}/{self._total / 3600:.2f} h"
        # the clocks of some systems advance in steps
        speed = self._passed / max(1e-3, time.monotonic() - self._started)
        self._bar.set_description_str(f"{files}, {hours}", refresh=False)
        self._bar.set_postfix_str(f"{speed:.0f} x real time", refresh=False)
        self._bar.total = max(1, math.ceil(self._total))
        done = self._bar.total if self._files == self._all else int(self._passed)
        self._bar.update(done - self._bar.n)
