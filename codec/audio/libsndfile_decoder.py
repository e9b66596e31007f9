"""Decoding by libsndfile, which reads PCM and related codings correctly.

python-soundfile seeks after each read, which corrupts codings whose decoder has a state (MP3, ADPCM, GSM, ALAC). Here a
file is read from its start to its end without seeking.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from codec.audio.backend import AudioDamage, StreamInfo, UnsupportedAudio
from codec.audio.file_format import FileFormat
from codec.audio.file_view import FileView
from codec.audio.waveform import FloatArray

_UNKNOWN_FRAMES = 1 << 62
_READ_FRAMES = 65536
"""Frames per read. In shorter reads libsndfile loses samples of some codings, such as PAF of 24 bits."""


class _Forward(soundfile.SoundFile):
    """A file that claims not to be seekable, so that python-soundfile does not seek in it."""

    def seekable(self) -> bool:
        return False


def libsndfile_reason(error: Exception) -> str:
    """Return the reason for an error of libsndfile.

    Args:
        error: the error

    Returns:
        The reason in one line, without the path; the number of an error for which libsndfile has no text.
    """
    if isinstance(error, soundfile.LibsndfileError):
        text = error.error_string.removeprefix("Error : ").strip().rstrip(".")
        return text if text and "No Error" not in text else f"libsndfile error {error.code}"
    return " ".join(str(error).split()) or type(error).__name__


class LibsndfileDecoder:
    """A file that libsndfile decodes, see :class:`codec.audio.backend.Decoder`.

    Args:
        path: the file
        file_format: its detected format
        descriptor: descriptor of the open file, for a caller that needs to know how far it was read. The caller closes
            it.

    Raises:
        UnsupportedAudio: libsndfile cannot read the file.
    """

    def __init__(self, path: Path, file_format: FileFormat, descriptor: int | None = None) -> None:
        self._view: FileView | None = None
        if file_format.patches or file_format.start or file_format.end < path.stat().st_size:
            self._view = FileView(path.open("rb"), file_format.start, file_format.end, file_format.patches)
        # Names need not be valid UTF-8.
        source = self._view or (os.fsencode(path) if descriptor is None else descriptor)
        try:
            self._file = _Forward(source, closefd=False)
        except (soundfile.LibsndfileError, OSError, ValueError, TypeError) as error:
            if self._view is not None:
                self._view.close()
            raise UnsupportedAudio(libsndfile_reason(error)) from error
        file = self._file
        known = file.frames < _UNKNOWN_FRAMES and file.format not in ("MP3", "MPEG")  # of which it estimates them
        self._frames = file.frames if known else None
        if self._frames is not None and file_format.max_frames is not None:
            self._frames = min(self._frames, file_format.max_frames)
        self.stream_info = StreamInfo(file.format, file.subtype, file.samplerate, file.channels, self._frames)

    def blocks(self) -> Iterator[FloatArray]:
        """Decode the file, see :class:`codec.audio.backend.Decoder`.

        Yields:
            float32 ``[channels, n]``.

        Raises:
            AudioDamage: the file is truncated or damaged.
            UnsupportedAudio: something in it cannot be read.
        """
        announced, done = self._frames, 0
        most = _READ_FRAMES if announced is None else min(_READ_FRAMES, announced)
        buffer = np.empty((most, self._file.channels), np.float32)
        while announced is None or done < announced:
            wanted = _READ_FRAMES if announced is None else min(_READ_FRAMES, announced - done)
            try:
                block = self._file.read(wanted, out=buffer[:wanted])
            except (soundfile.LibsndfileError, OSError, ValueError, MemoryError) as error:
                reason = libsndfile_reason(error)
                raise AudioDamage(f"{reason} after {done / self._file.samplerate:.2f} s", reason) from error
            if len(block) == 0:
                break
            done += len(block)
            yield block.T.copy()
        if announced is not None and done < announced:
            raise AudioDamage(f"only {done} of {announced} samples could be read")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._view is not None:
            self._view.close()
