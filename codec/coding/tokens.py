"""One audio file to an array of codes with metadata, for language models; see :mod:`codec.coding.token_arrays`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from codec.audio.errors import AudioError
from codec.audio.waveform import MAX_CHANNELS, SAMPLE_RATES, FloatArray
from codec.bitstream.codes import IntArray
from codec.coding.flat_tokens import flatten_codes
from codec.coding.pipeline import encode_blocks
from codec.coding.report import FileMeter, FileReport, Progress
from codec.coding.salvage import SALVAGED, find_source_losses
from codec.coding.shard_writer import ArrayParts
from codec.coding.token_arrays import DTYPE, TokenInfo
from codec.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from codec.audio import AudioInfo
    from codec.pretrained.loaded_model import LoadedModel


@dataclass(frozen=True)
class Tokens:
    """The codes of one file."""

    codes: ArrayParts
    info: TokenInfo
    report: FileReport
    """Report without the size in the shard, which is known only after writing."""
    salvaged: str = ""
    """What is lost of a damaged source, see :mod:`codec.coding.salvage`; else empty."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What is written beside the array."""
        return asdict(self.info) | ({SALVAGED: self.salvaged} if self.salvaged else {})


def token_settings(model: LoadedModel, codebooks: int, source: Path, columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the metadata that are known before a file is read.

    Args:
        model: encodes
        codebooks: number of codebooks
        source: the audio file
        columns: columns of the manifest's row for this file

    Returns:
        Fields of :class:`codec.coding.token_arrays.TokenInfo`. Tokens with the same ones, of an unchanged source, are
        up to date.
    """
    return {
        "source": str(source),
        "model": model.fingerprint,
        "model_rate": model.sample_rate,
        "codebooks": codebooks,
        "codebook_size": model.codebook_size,
        "frames_per_second": model.frame_rate_hz,
        "manifest": dict(columns),
    }


def encode_to_tokens(
    source: AudioInfo,
    target: Path,
    model: LoadedModel,
    codebooks: int,
    columns: Mapping[str, str],
    progress: Progress | None = None,
    *,
    flat: bool = False,
    salvage: bool = False,
) -> Tokens:
    """Encode an audio file to an array of codes.

    Args:
        source: description of the audio file
        target: the shard, for the report
        model: encodes
        codebooks: number of codebooks
        columns: columns of the manifest's row for this file
        progress: called after each block with the seconds of audio that it holds
        flat: whether the array holds the ids of :mod:`codec.coding.flat_tokens` instead of codes
        salvage: whether what can be read of a damaged source is encoded; otherwise it is an error

    Returns:
        Codes, metadata and figures.

    Raises:
        UserError: the file is not readable or damaged, or its sample rate or channels are out of range.
    """

    def encode(blocks: Iterable[FloatArray]) -> Tokens:
        return _encode(source, blocks, target, model, codebooks, columns, progress, flat)

    try:
        return encode(source.blocks())
    except AudioError as error:
        if not (salvage and error.is_damage):
            raise
        damage = error
    losses = find_source_losses(source)
    made = encode(source.salvaged_blocks())
    report = replace(made.report, lost=losses.spans, cut_off=losses.cut_off)
    return replace(made, report=report, salvaged=losses.describe(damage))


def _encode(
    source: AudioInfo,
    blocks: Iterable[FloatArray],
    target: Path,
    model: LoadedModel,
    codebooks: int,
    columns: Mapping[str, str],
    progress: Progress | None,
    flat: bool,
) -> Tokens:
    rate, channels = source.sample_rate, source.channels
    meter = FileMeter(source.path, target, rate, channels, model_rate=model.sample_rate, progress=progress)
    if channels > MAX_CHANNELS or rate not in SAMPLE_RATES:
        raise UserError(f"{source.path}: {channels} channels at {rate} Hz are beyond what can be encoded")
    parts: list[IntArray] = [
        coded.codes.astype(DTYPE) for coded in encode_blocks(model, meter.measure(blocks), rate, channels, codebooks)
    ]
    frames = sum(part.shape[-1] for part in parts)
    if flat:
        parts = [flatten_codes(part, model.codebook_size) for part in parts]
    codes = ArrayParts([part[0] for part in parts] if channels == 1 else parts)
    metadata = TokenInfo(
        **token_settings(model, codebooks, source.path, columns),
        sample_rate=rate,
        channels=channels,
        samples=meter.samples,
        seconds=meter.samples / rate,
        frames=frames,
        axes=["channels", *(["ids"] if flat else ["quantizers", "frames"])][channels == 1 :],
        stereo=model.config.stereo if channels == 2 else None,
    )
    report = meter.report(
        codebooks=codebooks,
        bytes_total=0,
        bytes_payload=codes.nbytes,
        tokens=channels * codebooks * frames,
        pictures=source.pictures,
        pictures_left_out=source.pictures,
    )
    return Tokens(codes, metadata, report)
