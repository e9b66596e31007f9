"""Scoring of a trained candidate of any architecture on validation excerpts, at several bit rates.

Candidates have no file format, so they are coded in memory. Their bits are the cross entropy of the codes under order-0
frequency tables that are fitted on training excerpts: the same for every architecture, without packets and headers, and
therefore not comparable with the sizes of files that ``codec evaluate`` gives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from codec.audio import FloatArray
from codec.audio.channels import channels_to_streams, streams_to_channels
from codec.dataset.location import DataLocation, open_split
from codec.model.codec import Codec
from codec.model.codec_base import CodecBase
from codec.model.frequency_tables import FrequencyTables
from codec.runtime.progress import ProgressBar
from eval.evaluation.clip_selection import Excerpt, choose_excerpts, require_excerpts
from eval.evaluation.codec_scores import CodecScores
from eval.evaluation.scoring import Coding, score_excerpt
from eval.systems.bounds import bounds_of

COMPARISON_METRICS = ("pesq", "estoi", "stoi", "mel", "nmr")
"""Metrics of a comparison."""
TABLE_CLIPS = 32
"""Training excerpts whose codes the frequency tables are fitted on."""


@dataclass(frozen=True)
class ScoringOptions:
    """Bit rates, number of clips and metrics of the scoring of a candidate."""

    kbps: Sequence[float]
    """Bit rates in kbit/s over all channels; for each, the number of codebooks with the nearest bit rate is used."""
    clips: int
    """Maximum number of validation excerpts."""
    metrics: Sequence[str] = COMPARISON_METRICS


def fit_order_0_tables(codes: Tensor, size: int) -> FrequencyTables:
    """Fit frequency tables without contexts to codes of any architecture.

    Args:
        codes: ``[codebooks, number]``.
        size: number of entries of each codebook.

    Returns:
        The tables.
    """
    tables = FrequencyTables(len(codes), size)
    tables.fit(torch.stack([torch.bincount(row, minlength=size) for row in codes]))
    return tables


def cross_entropy_bits(codes: Tensor, tables: FrequencyTables) -> float:
    """Compute the bits of ideally coded codes under frequency tables.

    Args:
        codes: ``[codebooks, number]``.
        tables: frequency tables of at least as many codebooks.

    Returns:
        Bits of all codes together.
    """
    return float(tables.bits[: len(codes)].gather(1, codes).sum())


class CandidateCoder:
    """Coder of excerpts in memory with a candidate.

    Args:
        codec: the candidate, in evaluation mode.
        training: excerpts that the frequency tables are fitted on.
        progress: called after each excerpt that was coded.
    """

    def __init__(
        self, codec: CodecBase, training: Sequence[Excerpt], progress: Callable[[], object] = lambda: None
    ) -> None:
        self._codec, self._progress = codec, progress
        quantizer = codec.config.quantizer
        codes = [self._round_trip(excerpt.waveform, quantizer.codebooks)[1] for excerpt in training]
        nothing = torch.zeros(quantizer.codebooks, 0, dtype=torch.int64)
        self._tables = fit_order_0_tables(torch.cat([nothing, *codes], 1), quantizer.size)

    def code(self, waveform: FloatArray, codebooks: int) -> Coding:
        """Encode and decode a waveform.

        Args:
            waveform: waveform ``[channels, samples]``.
            codebooks: number of codebooks to use.

        Returns:
            The decoded waveform and the cross entropy of the codes.
        """
        decoded, codes = self._round_trip(waveform, codebooks)
        return Coding(decoded, cross_entropy_bits(codes, self._tables))

    @torch.no_grad()
    def _round_trip(self, waveform: FloatArray, codebooks: int) -> tuple[FloatArray, Tensor]:
        """Return the decoded waveform and the codes ``[codebooks, channels * frames]``."""
        stereo = self._codec.config.stereo
        streams = torch.from_numpy(channels_to_streams(np.ascontiguousarray(waveform), stereo))
        decoded, codes = self._codec.round_trip(streams.to(next(self._codec.parameters()).device), codebooks)
        self._progress()
        return streams_to_channels(decoded.cpu().numpy(), stereo), codes.transpose(0, 1).flatten(1).cpu()


def score_candidate(
    codec: CodecBase, data: DataLocation, channels: int, options: ScoringOptions, name: str
) -> list[CodecScores]:
    """Code and score validation excerpts at each of the bit rates.

    Args:
        codec: the candidate; it is moved to the GPU if there is one, and set to evaluation mode.
        data: folder that ``codec prepare`` wrote.
        channels: number of channels of the packed clips.
        options: what is to be scored.
        name: name of the candidate, for the progress bar.

    Returns:
        The scores at each rate.

    Raises:
        UserError: there is no data at this rate and number of channels, or no validation clip is long enough.
    """
    config = codec.config
    train, validation = (open_split(data, split, config.sample_rate, channels) for split in ("train", "val"))
    clips, learnt = choose_excerpts(validation, options.clips), choose_excerpts(train, TABLE_CLIPS)
    require_excerpts(clips, data)
    codec = codec.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    full, per_codebook = config.quantizer.codebooks, config.kbps_per_codebook * channels
    found = []
    with ProgressBar(total=len(learnt) + len(options.kbps) * len(clips), desc=f"score {name}", unit="clip") as bar:
        coder = CandidateCoder(codec, learnt, bar.update)
        for kbps in options.kbps:
            codebooks = min(full, max(1, round(kbps / per_codebook)))
            scores = [score_excerpt(clip, coder.code(clip.waveform, codebooks), options.metrics) for clip in clips]
            found.append(CodecScores(kbps, codebooks, codebooks * per_codebook, scores))
    return found


def score_bounds(
    codec: Codec, data: DataLocation, channels: int, options: ScoringOptions, name: str
) -> list[CodecScores]:
    """Score the validation excerpts of :func:`score_candidate` at the bounds of a model.

    Args:
        codec: the model, in evaluation mode.
        data: folder that ``codec prepare`` wrote.
        channels: number of channels of the packed clips.
        options: what is to be scored; bounds have no bit rate.
        name: name of the candidate, for the progress bar.

    Returns:
        The scores at each bound of :func:`eval.systems.bounds.bounds_of`.
    """
    clips = choose_excerpts(open_split(data, "val", codec.config.sample_rate, channels), options.clips)
    found = []
    for bound in bounds_of(codec):
        scores = [
            score_excerpt(clip, Coding(bound.decode(codec, clip.waveform), 0.0), options.metrics)
            for clip in ProgressBar(clips, desc=f"score {name}, {bound.name}", unit="clip")
        ]
        found.append(CodecScores(0.0, 0, 0.0, scores, bound.name))
    return found
