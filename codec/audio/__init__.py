"""Audio files: read, write, resample. The only place that touches them."""

from codec.audio.errors import AudioError, Kind
from codec.audio.reader import AUDIO_SUFFIXES, Audio, AudioInfo, blocks, info, read
from codec.audio.resampling import StreamResampler, resample
from codec.audio.samples import FloatArray, exceeds_full_scale
from codec.audio.tags import DECODER, TAGS, joined, values_of
from codec.audio.writer import Writer, write

__all__ = [
    "AUDIO_SUFFIXES",
    "DECODER",
    "TAGS",
    "Audio",
    "AudioError",
    "AudioInfo",
    "FloatArray",
    "Kind",
    "StreamResampler",
    "Writer",
    "blocks",
    "exceeds_full_scale",
    "info",
    "joined",
    "read",
    "resample",
    "values_of",
    "write",
]  # fmt: skip
