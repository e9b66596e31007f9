"""Opus, the codec to beat, on the same clips: libopus through PyAV, in frames of 20 ms with its own default rate
control. Bits are those of the payload alone, as no container would be fair to both."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from tqdm import tqdm

from codec import audio
from codec.audio import resample
from codec.errors import UserError
from eval.coding import CodedClip
from eval.metrics import Wave, is_speech

RATES_HZ = (8000, 12000, 16000, 24000, 48000)
"""What libopus takes; other rates are resampled to the next above."""
DECODED_HZ = 48000


@dataclass(frozen=True)
class OpusResult:
    """``wave`` ``[channels, samples]``, aligned with the original and as long; ``bits`` of all packets."""

    wave: Wave
    bits: int


def check_opus(rates_kbps: Sequence[float]) -> None:
    """Raises ``UserError`` where PyAV is not installed, or a bit rate is none that Opus has."""
    if importlib.util.find_spec("av") is None:
        raise UserError("Opus needs PyAV; install lathe-codec[eval], or leave out --opus")
    for rate in rates_kbps:
        if not 6 <= rate <= 510:
            raise UserError(f"Opus has bit rates of 6 to 510 kbps, not {rate:g}")


def opus_clips(coded: Sequence[CodedClip], kbps: float, folder: Path) -> list[CodedClip]:
    """The same clips coded with Opus at ``kbps`` over all channels; decodes are written to ``folder``. No times."""
    folder.mkdir()
    found = []
    for entry in tqdm(coded, desc=f"Opus {kbps:g} kbps", unit="clip"):
        clip = audio.read(entry.original)
        result = opus(clip.samples, clip.sample_rate, kbps, entry.clip.domain)
        decoded = folder / entry.original.name
        audio.write(decoded, result.wave, clip.sample_rate)
        found.append(replace(entry, decoded=decoded, bytes=result.bits // 8, encode_s=0.0, decode_s=0.0))
    return found


def opus(wave: Wave, sample_rate: int, kbps: float, domain: str) -> OpusResult:
    """Codes and decodes ``[channels, samples]`` (one or two channels) at ``kbps`` over all channels."""
    import av

    channels, samples = wave.shape
    rate = next((hz for hz in RATES_HZ if hz >= sample_rate), RATES_HZ[-1])
    layout = "mono" if channels == 1 else "stereo"
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = rate, layout, "flt"
    encoder.bit_rate, encoder.time_base = round(1000 * kbps), Fraction(1, rate)
    encoder.options = {"application": "voip" if is_speech(domain) else "audio"}
    encoder.open()
    source = resample(wave, sample_rate, rate)
    size = rate // 50
    # what the encoder holds back comes out while the silence behind the end goes in
    padded = np.pad(source, ((0, 0), (0, -source.shape[1] % size + 5 * size)))
    packets = []
    for start in range(0, padded.shape[1], size):
        block = np.ascontiguousarray(padded[:, start : start + size].T.reshape(1, -1), np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
        frame.sample_rate, frame.pts = rate, start
        packets += encoder.encode(frame)
    decoder = av.CodecContext.create("opus", "r")
    assert isinstance(decoder, av.AudioCodecContext) and encoder.extradata is not None
    decoder.extradata = encoder.extradata
    decoder.open()
    decoded = [frame.to_ndarray() for packet in packets for frame in decoder.decode(packet)]
    # the stream's header states the delay in samples at 48 kHz; whether the decoder has removed it, its length tells
    skip = int.from_bytes(encoder.extradata[10:12], "little")
    out = np.concatenate(decoded, 1).astype(np.float32)
    given = len(packets) * DECODED_HZ // 50
    out = out[:, max(0, skip - (given - out.shape[1])) :]
    back = resample(out, DECODED_HZ, sample_rate)[:, :samples]
    needed = -(-(samples * DECODED_HZ // sample_rate + skip) // (DECODED_HZ // 50))
    bits = sum(8 * packet.size for packet in packets[:needed])
    return OpusResult(np.pad(back, ((0, 0), (0, samples - back.shape[1]))), bits)
