"""Arrays of codes back to audio files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from codec import audio
from codec.bitstream.codes import CodeArray
from codec.coding import shards
from codec.coding.files import sample_range
from codec.coding.nac_reader import wrong_model
from codec.coding.options import DecodingOptions
from codec.coding.pipeline import DecodingPipeline
from codec.coding.report import FileMeter, FileReport, Progress
from codec.coding.token_arrays import describe_bare_array, read_codes, read_token_info

if TYPE_CHECKING:
    from pathlib import Path

    from codec.pretrained.loaded_model import LoadedModel


def decode_tokens(
    sample: shards.Sample,
    target: Path,
    model: LoadedModel,
    options: DecodingOptions = DecodingOptions(),
    *,
    progress: Progress | None = None,
) -> FileReport:
    """Decode one array of a shard to an audio file, as :func:`codec.coding.files.decode_file` decodes a ``.nac`` file.

    Args:
        sample: the array and its metadata
        target: the audio file, whose suffix (.wav, .flac, .ogg) sets its format
        model: decodes
        options: part to decode, and sample format
        progress: called after each block with the seconds of audio that it holds

    Returns:
        The figures of the file.

    Raises:
        UserError: the array is damaged or of another model; times outside the audio; target not writable.
    """
    info = describe_bare_array(sample, model) if sample.bare else read_token_info(sample)
    meter = FileMeter(sample.name, target, info.sample_rate, info.channels, progress=progress)
    if info.model not in model.compatible_fingerprints:
        raise wrong_model(sample.name, info.model, model)
    codes = read_codes(sample, info, model)

    def frames(first: int, stop: int) -> list[CodeArray]:
        return [codes[..., first:stop].astype(np.int64)]

    first, stop = sample_range(sample.name, info, options.start, options.end)
    pipeline = DecodingPipeline(model, info.sample_rate, info.channels, info.samples, frames)
    with audio.AudioWriter(
        target, info.sample_rate, info.channels, options.subtype, stop - first, decoded=True
    ) as writer:
        for waveform in meter.measure(pipeline.blocks(first, stop)):
            writer.write(waveform)
    return meter.report(
        codebooks=codes.shape[1],
        bytes_total=sum(extent.size for extent in (sample.array, sample.metadata) if extent),
        bytes_payload=codes.nbytes,
        bytes_seconds=info.seconds,
        clipped=writer.clipped,
        tokens=codes.size,
    )
