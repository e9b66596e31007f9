"""Audio files and pipes: read, write, resample and measure. No other package opens audio files.

Waveforms are NumPy arrays, float32 ``[channels, samples]``, full scale 1. The names below are imported when they are
first used (PEP 562), so that importing this package loads neither PyAV nor libsndfile.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codec.audio.errors import AudioError, AudioErrorKind
    from codec.audio.reader import Audio, AudioInfo, blocks, info, read
    from codec.audio.resampling import SegmentResampler, StreamResampler, resample, resample_blocks
    from codec.audio.suffixes import AUDIO_SUFFIXES
    from codec.audio.tags import DECODER, TAGS, join_values, split_values
    from codec.audio.waveform import MAX_CHANNELS, SAMPLE_RATES, FloatArray, count_over_full_scale
    from codec.audio.writer import AudioWriter, write

_MODULES = {
    "errors": ("AudioError", "AudioErrorKind"),
    "reader": ("Audio", "AudioInfo", "blocks", "info", "read"),
    "resampling": ("SegmentResampler", "StreamResampler", "resample", "resample_blocks"),
    "suffixes": ("AUDIO_SUFFIXES",),
    "tags": ("DECODER", "TAGS", "join_values", "split_values"),
    "waveform": ("MAX_CHANNELS", "SAMPLE_RATES", "FloatArray", "count_over_full_scale"),
    "writer": ("AudioWriter", "write"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AUDIO_SUFFIXES",
    "DECODER",
    "MAX_CHANNELS",
    "SAMPLE_RATES",
    "TAGS",
    "Audio",
    "AudioError",
    "AudioErrorKind",
    "AudioInfo",
    "AudioWriter",
    "FloatArray",
    "SegmentResampler",
    "StreamResampler",
    "blocks",
    "count_over_full_scale",
    "info",
    "join_values",
    "read",
    "resample",
    "resample_blocks",
    "split_values",
    "write",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import the module that defines a name of :data:`__all__`."""
    from importlib import import_module

    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
