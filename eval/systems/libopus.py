"""The version of the libopus that PyAV encodes with."""

import ctypes
import ctypes.util
import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path

UNKNOWN = "libopus of unknown version"


@functools.cache
def libopus_version() -> str:
    """Ask libopus for its version: that in the wheel of PyAV, or else the system's, which PyAV was built with.

    Returns:
        The library's own words, such as "libopus 1.6.1", or :data:`UNKNOWN`.
    """
    for path in _candidates():
        try:
            version = ctypes.CDLL(path).opus_get_version_string
        except (OSError, AttributeError):
            continue
        version.restype = ctypes.c_char_p
        return version().decode(errors="replace")
    return UNKNOWN


def _candidates() -> Iterator[str]:
    spec = importlib.util.find_spec("av")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        for folder in (package.with_name("av.libs"), package / ".dylibs"):  # in wheels for Linux and Windows; for macOS
            yield from map(str, sorted(folder.glob("*opus*")))
    if (found := ctypes.util.find_library("opus")) is not None:
        yield found
