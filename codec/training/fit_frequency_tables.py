"""The frequency tables of the range coder, fitted to codes of the training split when a training is over.

With little data, tables fitted to it are worse than none. Part of the packets is therefore held out, and each codebook
gets the table with the lowest cost on them, among three: the one fitted to the other packets, smoothed by
:mod:`codec.training.frequency_smoothing`; the one that the model has already (its parent's); and a uniform one, which
gives codes of fixed width. Context scores are learnt by :mod:`codec.training.context_scores`.
"""

import copy
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.audio.channels import channels_to_streams
from codec.bitstream.codes import NO_CODE, CodesWithImportance
from codec.bitstream.context_classes import shift_frames
from codec.bitstream.framing import packet_frames
from codec.bitstream.range_coder import RangeCoder
from codec.dataset.arrays import DamagedShardError
from codec.dataset.clips import Clip
from codec.dataset.packed_split import PackedSplit
from codec.model.codec import Codec
from codec.model.frequency_tables import FrequencyTables, to_frequencies
from codec.model.quantizers.importance import importance_thresholds
from codec.runtime.progress import ProgressBar
from codec.training.context_scores import Packets, context_steps, learn_context_scores
from codec.training.frequency_smoothing import Counts, coding_cost, smooth

MAX_FITTED_S = 7200.0
"""Seconds of audio that tables are fitted to."""
PIECE_S = 30.0
_SEED = 30_000
_STREAMED_SHARDS = 16
"""Shards that tables are fitted to, if the data is streamed."""
_RATES = (0.08, 0.16, 0.3, 0.5, 0.75)
"""Shares of all codes that are present in the packets that tables are fitted to, in addition to packets with all."""
_HELD_OUT = 8
"""One group in this number of groups is held out; with fewer groups, one clip, piece or packet in this number."""
_MAX_IMPORTANCES = 1 << 22
"""Number of importances that thresholds are computed from."""
_TRIED_TIMES = 5
"""Times that the codes of a piece are repeated to estimate how long context scores take to learn."""
_PACKETS_AT_ONCE = 64
"""Packets whose contexts are classified at once; more need much memory."""


@dataclass(frozen=True)
class FittingData:
    """The data that tables were fitted to; its fields are keys in the model's ``config.json``."""

    seconds: float
    frames: int
    """Latent frames, over all streams."""


@dataclass(frozen=True)
class _Piece:
    coded: CodesWithImportance
    samples: int
    clip: int
    """Index of the clip that it is part of."""


def fit_tables(codec: Codec, split: PackedSplit, *, quiet: bool = False) -> FittingData:
    """Fit the frequency tables of a codec to the codes of a split.

    Args:
        codec: the codec, whose tables are replaced
        split: training clips. Of a large split, random pieces of two hours in total are used, which depend on nothing
            but the split.
        quiet: show no progress bars

    Returns:
        Size of the data that was used.

    Raises:
        UserError: more of the split is damaged than it allows.
    """
    parts, clips, samples, frames = [], [], 0, 0
    total = _fitted_frames(split) // split.sample_rate
    layout = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} s [{elapsed}<{remaining}]"
    with ProgressBar(total=total, desc="code statistics", bar_format=layout, disable=quiet) as bar:
        for piece in _encode_pieces(codec, split):
            parts.append(_split_into_packets(piece.coded, packet_frames(codec.config.frame_rate_hz)))
            clips.append(split.clips[piece.clip])
            samples += piece.samples
            frames += piece.coded.codes.shape[0] * piece.coded.codes.shape[2]
            bar.update(samples // split.sample_rate - bar.n)
    codes, importances = (torch.cat(kind) for kind in zip(*parts))
    held_out = _choose_held_out(clips, [len(packets) for packets, _ in parts])
    if codec.tables.classes == 1:
        _fit_order_0(codec.tables, codes, held_out)
    else:
        fit_contexts(codec.tables, codes, importances, held_out, _code_vectors(codec), quiet=quiet)
    return FittingData(samples / split.sample_rate, frames)


def estimate_fitting_s(codec: Codec, split: PackedSplit) -> float:
    """Estimate how long :func:`fit_tables` takes, from one piece of the split.

    Args:
        codec: the codec, which remains unchanged
        split: training clips

    Returns:
        Seconds: of encoding, of learning context scores, and of counting codes in their contexts.
    """
    started = time.perf_counter()
    piece = next(_encode_pieces(codec, split))
    encoding_s = time.perf_counter() - started
    pieces = _fitted_frames(split) / piece.samples
    if codec.tables.classes == 1:
        return encoding_s * pieces
    tables = copy.deepcopy(codec.tables)
    variants = [Packets(_split_into_packets(piece.coded, packet_frames(codec.config.frame_rate_hz))[0], variable=False)]
    codes = int((variants[0].codes[:, 0] != NO_CODE).sum())
    started = time.perf_counter()
    learn_context_scores(tables, 0, variants * _TRIED_TIMES, _code_vectors(codec)[0])
    step_s = (time.perf_counter() - started) / max(1, context_steps(codes * _TRIED_TIMES))
    learning_s = tables.codebooks * step_s * context_steps(round(codes * pieces * (1 + sum(_RATES))))
    started = time.perf_counter()
    _count_codes(RangeCoder(tables.to_numpy()), variants)
    counting_s = (time.perf_counter() - started) * pieces * 2 * (1 + len(_RATES))
    return encoding_s * pieces + learning_s + counting_s


@torch.inference_mode()
def _encode_pieces(codec: Codec, split: PackedSplit) -> Iterator[_Piece]:
    """Yield pieces of the split in random order, encoded; those of arrays that turn out to be damaged are skipped."""
    rate, left = split.sample_rate, round(MAX_FITTED_S * split.sample_rate)
    length = round(PIECE_S * rate)
    frames = split.clips.numbers("frames")
    pieces = [(i, start) for i in _usable_clips(split) for start in range(0, int(frames[i]), length)]
    for index in np.random.default_rng(_SEED).permutation(len(pieces)):
        clip, start = pieces[index]
        if (shard := split.shard_of(clip)) in split.damaged:
            continue
        try:
            wave = split.waveform(clip, start, min(length, left))
        except DamagedShardError as error:
            split.skip(shard, str(error))
            continue
        streams = channels_to_streams(wave, codec.config.stereo)
        encoder = codec.stream_encoder(len(streams))
        yield _Piece(CodesWithImportance.join([encoder.push(streams), encoder.flush()]), wave.shape[1], clip)
        left -= wave.shape[1]
        if left <= 0:
            return


def _usable_clips(split: PackedSplit) -> list[int]:
    """Return the clips that tables are fitted to: of streamed data, those of a few shards; of damaged arrays, none."""
    shards = {shard: clips for shard, clips in split.shards.items() if shard not in split.damaged}
    if split.arrays.random_access:
        return sorted(clip for clips in shards.values() for clip in clips.tolist())
    names = [
        sorted(shards)[index] for index in np.random.default_rng(_SEED).permutation(len(shards))[:_STREAMED_SHARDS]
    ]
    return sorted(clip for name in names for clip in shards[name].tolist())


def _fitted_frames(split: PackedSplit) -> int:
    """Return how many samples per channel tables are fitted to."""
    usable = int(split.clips.numbers("frames")[_usable_clips(split)].sum())
    return min(usable, round(MAX_FITTED_S * split.sample_rate))


def _split_into_packets(coded: CodesWithImportance, size: int) -> tuple[Tensor, Tensor]:
    """Return codes and importances ``[packets, codebooks, frames]``, since contexts end with a packet.

    Codes that are missing in the last packet of a stream are absent, and of less importance than any other.
    """
    missing = -coded.codes.shape[2] % size
    codes = F.pad(torch.from_numpy(coded.codes), (0, missing), value=NO_CODE).unflatten(2, (-1, size))
    importances = F.pad(torch.from_numpy(coded.importances), (0, missing), value=-1.0).unflatten(2, (-1, size))
    return codes.transpose(1, 2).flatten(0, 1), importances.transpose(1, 2).flatten(0, 1)


def _choose_held_out(clips: Sequence[Clip], sizes: Sequence[int]) -> Tensor:
    """Choose the packets that are held out: if possible from other groups than the rest, like the files to be coded.

    Args:
        clips: clip of each piece
        sizes: number of packets of each piece

    Returns:
        bool ``[packets]``.
    """
    of_piece = [clip for clip, size in zip(clips, sizes) for _ in range(size)]
    kinds: list[list[Any]] = [
        [clip.group for clip in of_piece],
        [clip.clip_id for clip in of_piece],
        [piece for piece, size in enumerate(sizes) for _ in range(size)],
        list(range(len(of_piece))),
    ]
    labels = next((kind for kind in kinds if len(set(kind)) >= _HELD_OUT), kinds[-1])
    names = sorted(set(labels))
    chosen = {names[i] for i in np.random.default_rng(_SEED).permutation(len(names))[::_HELD_OUT]}
    return torch.tensor([label in chosen for label in labels])


def _code_vectors(codec: Codec) -> Tensor:
    """Return the latent vector of each single code ``[codebooks, size + 1, dimension]``.

    The last vector, of an absent code, is zero. The mean power of each codebook is 1.
    """
    tables = codec.tables
    codes = torch.full((tables.codebooks, tables.codebooks, tables.size), NO_CODE)
    codes.diagonal().copy_(torch.arange(tables.size)[:, None].expand(-1, tables.codebooks))
    vectors = codec.quantizer.fused().decode(codes)
    vectors = vectors / vectors.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1e-9)
    return F.pad(vectors, (0, 0, 0, 1))


def _fit_order_0(tables: FrequencyTables, codes: Tensor, held_out: Tensor) -> None:
    def count(packets: Tensor) -> Tensor:
        present = [row[row != NO_CODE] for row in packets.transpose(0, 1)]
        return torch.stack([torch.bincount(row, minlength=tables.size) for row in present])[:, None].double()

    counts = Counts(count(codes[~held_out]), count(codes[held_out]))
    smoothed = smooth(counts, [math.inf])
    before = tables.frequencies[:, None]
    best = _cheapest(coding_cost(counts.held_out, before), _uniform_cost(counts.held_out), smoothed.bits)
    tables.frequencies.copy_(_take(best, before, _uniform(before), smoothed.frequencies)[:, 0])


def fit_contexts(
    tables: FrequencyTables,
    codes: Tensor,
    importances: Tensor,
    held_out: Tensor,
    vectors: Tensor,
    *,
    quiet: bool = False,
) -> None:
    """Fit tables with several context classes; a codebook whose previous table is better retains it.

    Args:
        tables: the tables, which are replaced
        codes: ``[packets, codebooks, frames]``; absent (``NO_CODE``) in frames that only fill a packet
        importances: importance of each code, of the same shape
        held_out: bool ``[packets]``: packets that tables are compared on
        vectors: latent vector of each code ``[codebooks, size + 1, dimension]``, of mean power 1; the last one, of an
            absent code, is zero
        quiet: show no progress bar
    """
    before = copy.deepcopy(tables)
    variants = [Packets(codes, variable=False)]
    thinned = importances[:: -(-importances.numel() // _MAX_IMPORTANCES)]
    for rate in _RATES:
        threshold = importance_thresholds(thinned, torch.tensor([rate * tables.codebooks]))
        variants.append(Packets(torch.where(importances >= threshold, codes, NO_CODE), variable=True))
    fitted, compared = (
        [Packets(packets.codes[part], packets.variable) for packets in variants] for part in (~held_out, held_out)
    )
    for codebook in ProgressBar(range(tables.codebooks), desc="contexts of codes", disable=quiet, leave=False):
        learn_context_scores(tables, codebook, fitted, vectors[codebook])
    _choose_code_tables(tables, before, fitted, compared)
    _choose_count_table(tables, before, fitted, compared)
    coder = RangeCoder(tables.to_numpy())
    occurrences = _count_codes(coder, fitted[:1]) + _count_codes(coder, compared[:1])
    tables.shares.copy_(to_frequencies(occurrences.sum(2) + 0.01))


def _choose_code_tables(
    tables: FrequencyTables, before: FrequencyTables, fitted: list[Packets], compared: list[Packets]
) -> None:
    """Set the frequencies of codes, and discard the context scores of codebooks for which they are no improvement."""
    coder = RangeCoder(tables.to_numpy())
    counts = Counts(_count_codes(coder, fitted), _count_codes(coder, compared))
    smoothed = smooth(counts)
    cost_before = coding_cost(_count_codes(RangeCoder(before.to_numpy()), compared), before.frequencies)
    best = _cheapest(cost_before, _uniform_cost(counts.held_out), smoothed.bits)
    uniform = _uniform(before.frequencies)
    tables.frequencies.copy_(_take(best, before.frequencies, uniform, smoothed.frequencies))
    for scores, earlier in ((tables.votes, before.votes), (tables.count_votes, before.count_votes)):
        scores.copy_(_take(best, earlier, torch.zeros_like(scores), scores))


def _choose_count_table(
    tables: FrequencyTables, before: FrequencyTables, fitted: list[Packets], compared: list[Packets]
) -> None:
    """Set the frequencies of the numbers of codes per frame."""
    counts = Counts(_count_numbers_of_codes(tables, fitted), _count_numbers_of_codes(tables, compared))
    smoothed, earlier = smooth(counts), before.counts[None]
    best = _cheapest(coding_cost(counts.held_out, earlier), _uniform_cost(counts.held_out), smoothed.bits)
    tables.counts.copy_(_take(best, earlier, _uniform(earlier), smoothed.frequencies)[0])


def _cheapest(*bits: Tensor) -> Tensor:
    """Return the number of the cheapest alternative for each codebook; of equal ones, the first."""
    return torch.stack(bits).argmin(0)


def _take(best: Tensor, *tables: Tensor) -> Tensor:
    """Take the table with the number in ``best`` for each codebook."""
    return torch.stack(tables)[best, torch.arange(len(best))]


def _uniform(tables: Tensor) -> Tensor:
    return to_frequencies(torch.zeros_like(tables, dtype=torch.float64))


def _uniform_cost(counts: Tensor) -> Tensor:
    return coding_cost(counts, _uniform(counts))


def _count_codes(coder: RangeCoder, variants: Sequence[Packets]) -> Tensor:
    """Count each code in each context class, ``[codebooks, classes, size]``."""
    counts = torch.zeros(coder.codebooks, coder.classes, coder.size).double()
    for packets in variants:
        for codes in packets.codes.split(_PACKETS_AT_ONCE):
            classes = torch.from_numpy(coder.context_classes(codes.numpy(), packets.variable))
            codes = codes.transpose(0, 1)[: len(classes)]
            books = torch.arange(len(classes))[:, None, None].expand_as(codes)
            index = torch.stack([books, classes, codes])[:, codes != NO_CODE]
            counts.index_put_(tuple(index), torch.ones((), dtype=counts.dtype), accumulate=True)
    return counts


def _count_numbers_of_codes(tables: FrequencyTables, variants: Sequence[Packets]) -> Tensor:
    """Count how often each number of codes follows each other one, ``[1, codebooks + 2, codebooks + 1]``."""
    counts = torch.zeros(1, tables.codebooks + 2, tables.codebooks + 1).double()
    real = variants[0].codes[:, 0] != NO_CODE
    for packets in variants:
        if packets.variable:
            after = (packets.codes != NO_CODE).sum(1).numpy()
            index = torch.from_numpy(np.stack([shift_frames(after, -1), after]))[:, real]
            counts[0].index_put_(tuple(index), torch.ones((), dtype=counts.dtype), accumulate=True)
    return counts
