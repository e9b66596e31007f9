"""Audio formats that tests can write, by name."""

from pathlib import Path

import numpy as np
import soundfile

from tests.helpers.audio import encode_with_ffmpeg

WRITERS = {
    "WAV": ("pcm_s16le", "wav"), "AIFF": ("pcm_s24be", "aiff"), "W64": ("pcm_s24le", "w64"),
    "CAF": ("pcm_f32be", "caf"),
    "AU": ("pcm_s16be", "au"), "FLAC": ("flac", "flac"), "Ogg FLAC": ("flac", "ogg"), "Opus": ("libopus", "ogg"),
    "Opus in WebM": ("libopus", "webm"), "Opus in MP4": ("libopus", "mp4"), "MP3": ("libmp3lame", "mp3"),
    "MP2": ("mp2", "mp2"), "AAC": ("aac", "mp4"), "AAC in ADTS": ("aac", "adts"),
    "AAC in Matroska": ("aac", "matroska"),
    "ALAC": ("alac", "mp4"), "ALAC in CAF": ("alac", "caf"), "WavPack": ("wavpack", "wv"), "TTA": ("tta", "tta"),
    "WMA": ("wmav2", "asf"), "AC-3": ("ac3", "ac3"), "IMA ADPCM": ("adpcm_ima_wav", "wav"),
    "MS ADPCM": ("adpcm_ms", "wav"),
    "A-law": ("pcm_alaw", "wav"), "mu-law in AU": ("pcm_mulaw", "au"), "G.722": ("g722", "wav"),
}  # fmt: skip
"""FFmpeg's encoder and container of each format."""
LIBSNDFILE = {
    "Vorbis": ("OGG", "VORBIS"), "GSM": ("WAV", "GSM610"), "ALAC by libsndfile": ("CAF", "ALAC_16"),
    "RF64": ("RF64", "PCM_24"), "8 bits": ("WAV", "PCM_U8"), "double": ("WAV", "DOUBLE"), "VOC": ("VOC", "PCM_16"),
    "SPH": ("NIST", "PCM_16"), "IRCAM": ("IRCAM", "FLOAT"), "PAF": ("PAF", "PCM_24"), "SVX": ("SVX", "PCM_16"),
}  # fmt: skip
"""libsndfile's format and subtype of each format."""
RATES = {**dict.fromkeys(("Opus", "Opus in WebM", "Opus in MP4"), (16000, 48000)),
         "AC-3": (32000, 48000), "MP2": (16000, 44100), "MP3": (16000, 44100), "GSM": (8000,),
         "G.722": (16000,)}  # fmt: skip
"""Sample rates of the formats that do not support all."""
LOSSY_CUT = ("Opus", "Opus in WebM", "Opus in MP4", "MP3", "AAC", "AAC in Matroska", "WMA", "Vorbis")
LOSSLESS_CUT = ("FLAC", "Ogg FLAC", "ALAC", "ALAC in CAF", "WavPack", "TTA", "IMA ADPCM", "MS ADPCM", "GSM", "G.722")
"""Formats in which a file that is cut off can be recognised."""


def write_format(path: Path, name: str, wave: np.ndarray, rate: int) -> Path:
    """Write float32 ``[channels, samples]`` in one of the formats above."""
    if name in LIBSNDFILE:
        format, subtype = LIBSNDFILE[name]
        soundfile.write(path, wave.T, rate, format=format, subtype=subtype)
        return path
    codec, container = WRITERS[name]
    rates = {"libopus": 64_000, "libmp3lame": 64_000, "mp2": 64_000, "aac": 48_000, "wmav2": 64_000, "ac3": 96_000}
    return encode_with_ffmpeg(path, wave, rate, codec, container, bit_rate=rates.get(codec))
