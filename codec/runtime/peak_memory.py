"""The maximum memory that a process has used (peak resident set size)."""

import sys
from pathlib import Path

try:
    import resource
except ImportError:  # Windows has no such module
    resource = None  # type: ignore[assignment]

_STATUS = Path("/proc/self/status")


def peak_memory_bytes() -> int | None:
    """Return the peak resident memory of this process.

    Linux counts ``ru_maxrss`` over from the program that started this one, so its own record of the present program
    (``VmHWM``) is read there.

    Returns:
        Bytes, or None on systems that do not report it (Windows).
    """
    try:
        return int(_STATUS.read_text().split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return None if resource is None else rss_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def rss_bytes(maximum: int) -> int:
    """Convert the field ``ru_maxrss`` of a ``struct rusage`` to bytes.

    Args:
        maximum: the field: bytes on macOS, KiB on other systems (getrusage(2))

    Returns:
        Bytes.
    """
    return maximum if sys.platform == "darwin" else 1024 * maximum
