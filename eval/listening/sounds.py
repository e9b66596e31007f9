"""The sounds of a report, read back from its page, and the anchors of MUSHRA.

Source: ITU-R BS.1534-3 (2015), section 5.1: a low-pass filter of 3.5 kHz (at most 0.1 dB of ripple, 25 dB at 4 kHz and
50 dB at 4.5 kHz), and one of 7 kHz.
"""

import base64
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import fftconvolve, firwin, kaiserord

from codec import audio
from codec.audio import FloatArray
from codec.errors import UserError
from eval.pages.players import AudioVersion, read_players

LOW_ANCHOR, MID_ANCHOR = "Anchor 3.5 kHz", "Anchor 7 kHz"
_ANCHORS_HZ = {LOW_ANCHOR: 3500.0, MID_ANCHOR: 7000.0}
_TRANSITION_HZ, _ATTENUATION_DB = 500.0, 60.0


@dataclass(frozen=True)
class Sound:
    """A version of a clip."""

    label: str
    samples: FloatArray
    """``[channels, samples]``, as loud as the original."""
    sample_rate: int


@dataclass(frozen=True)
class Clip:
    """A clip with its versions, the original first."""

    name: str
    sounds: list[Sound]


def read_clips(report: Path) -> list[Clip]:
    """Read the sounds that a report plays.

    Args:
        report: its page, ``report.html``.

    Returns:
        The clips, in the order of the page.

    Raises:
        UserError: the page cannot be read, or holds no sounds.
    """
    clips = [
        Clip(f"{number}, {clip.title}", [_decode(version) for version in clip.versions])
        for number, clip in enumerate(read_players(report), 1)
    ]
    if not clips:
        raise UserError(f"{report}: plays no sounds; repeat codec evaluate")
    return clips


def _decode(version: AudioVersion) -> Sound:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.flac"
        path.write_bytes(base64.b64decode(version.address.partition(",")[2]))
        found = audio.read(path)
    return Sound(version.label, (version.gain * found.samples).astype(np.float32), found.sample_rate)


def make_anchors(original: Sound) -> list[Sound]:
    """Filter a sound to the anchors of MUSHRA.

    Args:
        original: the reference.

    Returns:
        The low anchor, and above 16 kHz of sample rate the mid-range one as well.
    """
    wanted = _ANCHORS_HZ if original.sample_rate > 16000 else {LOW_ANCHOR: _ANCHORS_HZ[LOW_ANCHOR]}
    return [Sound(name, _low_pass(original, cutoff), original.sample_rate) for name, cutoff in wanted.items()]


def _low_pass(sound: Sound, pass_hz: float) -> FloatArray:
    taps, beta = kaiserord(_ATTENUATION_DB, 2 * _TRANSITION_HZ / sound.sample_rate)
    taps |= 1
    kernel = firwin(taps, pass_hz + _TRANSITION_HZ / 2, window=("kaiser", beta), fs=sound.sample_rate)
    return fftconvolve(sound.samples, kernel[None], mode="same", axes=1).astype(np.float32)
