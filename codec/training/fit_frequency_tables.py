"""The frequency tables of the range coder, fitted to codes of the training split when a training is over.

With little data, tables fitted to it are worse than none. Each codebook therefore gets the table with the lowest cost
on validation clips, among four: one with new contexts (:mod:`codec.training.context_scores`), smoothed; the one that
the model has already, its parent's; the parent's, drawn towards the codes of this data as far as there are enough of
them; and a uniform one, which gives codes of fixed width. How much is smoothed and drawn is decided by a part of the
training packets that is held out (:mod:`codec.training.frequency_smoothing`).
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
from codec.bitstream.framing import packet_frames
from codec.dataset.arrays import DamagedShardError
from codec.dataset.clips import Clip
from codec.dataset.packed_split import PackedSplit
from codec.model.codec import Codec
from codec.model.frequency_tables import FrequencyTables, to_frequencies
from codec.model.quantizers.importance import importance_thresholds
from codec.runtime.progress import ProgressBar
from codec.training.code_counts import count_codes, count_numbers_of_codes
from codec.training.context_scores import Packets, context_steps, learn_context_scores
from codec.training.frequency_smoothing import Counts, adapt, coding_cost, smooth

MAX_FITTED_S = 7200.0
"""Seconds of audio that tables are fitted to."""
MAX_COMPARED_S = 600.0
"""Seconds of validation audio that tables are compared on."""
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


@dataclass(frozen=True)
class CodedPackets:
    """Packets of a split, since contexts end with a packet."""

    codes: Tensor
    """``[packets, codebooks, frames]``; absent (``NO_CODE``) in frames that only fill a packet."""
    importances: Tensor
    """Importance of each code, of the same shape."""

    def variants(self, thresholds: Sequence[Tensor]) -> list[Packets]:
        """Return the packets with all codes, and with the more important ones alone.

        Args:
            thresholds: smallest importance of a code that is present, for each further variant

        Returns:
            The variants.
        """
        thinned = [torch.where(self.importances >= threshold, self.codes, NO_CODE) for threshold in thresholds]
        return [Packets(self.codes, variable=False), *(Packets(codes, variable=True) for codes in thinned)]


@dataclass(frozen=True)
class _CodedSplit:
    packets: CodedPackets
    held_out: Tensor
    data: FittingData


def fit_tables(codec: Codec, split: PackedSplit, validation: PackedSplit, *, quiet: bool = False) -> FittingData:
    """Fit the frequency tables of a codec to the codes of a split.

    Args:
        codec: the codec, whose tables are replaced
        split: training clips. Of a large split, random pieces of two hours in total are used, which depend on nothing
            but the split.
        validation: validation clips, of which up to ten minutes are used: tables that cost more bits for them than
            those before, or than codes of fixed width, are not used
        quiet: show no progress bars

    Returns:
        Size of the data that was used.

    Raises:
        UserError: more of a split is damaged than it allows.
    """
    training = _encode_split(codec, split, MAX_FITTED_S, quiet)
    compared = _encode_split(codec, validation, MAX_COMPARED_S, quiet=True).packets
    if codec.tables.classes == 1:
        _fit_order_0(codec.tables, training.packets, compared, training.held_out)
    else:
        vectors = _code_vectors(codec)
        fit_contexts(codec.tables, training.packets, compared, training.held_out, vectors, quiet=quiet)
    return training.data


def _encode_split(codec: Codec, split: PackedSplit, most_s: float, quiet: bool) -> _CodedSplit:
    parts, clips, samples, frames = [], [], 0, 0
    total = _fitted_frames(split, most_s) // split.sample_rate
    layout = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} s [{elapsed}<{remaining}]"
    with ProgressBar(total=total, desc="code statistics", bar_format=layout, disable=quiet) as bar:
        for piece in _encode_pieces(codec, split, most_s):
            parts.append(_split_into_packets(piece.coded, packet_frames(codec.config.frame_rate_hz)))
            clips.append(split.clips[piece.clip])
            samples += piece.samples
            frames += piece.coded.codes.shape[0] * piece.coded.codes.shape[2]
            bar.update(samples // split.sample_rate - bar.n)
    packets = CodedPackets(*(torch.cat(kind) for kind in zip(*parts)))
    held_out = _choose_held_out(clips, [len(packets) for packets, _ in parts])
    return _CodedSplit(packets, held_out, FittingData(samples / split.sample_rate, frames))


def estimate_fitting_s(codec: Codec, split: PackedSplit) -> float:
    """Estimate how long :func:`fit_tables` takes, from one piece of the split.

    Args:
        codec: the codec, which remains unchanged
        split: training clips

    Returns:
        Seconds: of encoding, of learning context scores, and of counting codes in their contexts.
    """
    started = time.perf_counter()
    piece = next(_encode_pieces(codec, split, MAX_FITTED_S))
    encoding_s = time.perf_counter() - started
    pieces = _fitted_frames(split, MAX_FITTED_S) / piece.samples
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
    count_codes(tables, variants)
    counting_s = (time.perf_counter() - started) * pieces * 2 * (1 + len(_RATES))
    return encoding_s * pieces + learning_s + counting_s


@torch.inference_mode()
def _encode_pieces(codec: Codec, split: PackedSplit, most_s: float) -> Iterator[_Piece]:
    """Yield pieces of the split in random order, encoded; those of arrays that turn out to be damaged are skipped."""
    rate, left = split.sample_rate, round(most_s * split.sample_rate)
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


def _fitted_frames(split: PackedSplit, most_s: float) -> int:
    """Return how many samples per channel are encoded."""
    usable = int(split.clips.numbers("frames")[_usable_clips(split)].sum())
    return min(usable, round(most_s * split.sample_rate))


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


def _fit_order_0(tables: FrequencyTables, training: CodedPackets, validation: CodedPackets, held_out: Tensor) -> None:
    fitted, compared = ([Packets(training.codes[part], variable=False)] for part in (~held_out, held_out))
    counts = Counts(count_codes(tables, fitted), count_codes(tables, compared))
    own, adapted = copy.deepcopy(tables), copy.deepcopy(tables)
    own.frequencies.copy_(smooth(counts, [math.inf])[:, 0])
    adapted.frequencies.copy_(adapt(counts, tables.frequencies[:, None])[:, 0])
    alternatives = [adapted, own] if _are_fitted(tables) else [own]
    _take_cheapest(tables, alternatives, [Packets(validation.codes, variable=False)])


def fit_contexts(
    tables: FrequencyTables,
    training: CodedPackets,
    validation: CodedPackets,
    held_out: Tensor,
    vectors: Tensor,
    *,
    quiet: bool = False,
) -> None:
    """Fit tables with several context classes.

    Args:
        tables: the tables, which are replaced
        training: packets that tables are fitted to
        validation: packets that the alternatives are compared on
        held_out: bool ``[packets]``: training packets that smoothing is chosen by
        vectors: latent vector of each code ``[codebooks, size + 1, dimension]``, of mean power 1; the last one, of an
            absent code, is zero
        quiet: show no progress bar
    """
    thinned = training.importances[:: -(-training.importances.numel() // _MAX_IMPORTANCES)]
    thresholds = [importance_thresholds(thinned, torch.tensor([rate * tables.codebooks])) for rate in _RATES]
    variants = training.variants(thresholds)
    fitted, compared = (
        [Packets(packets.codes[part], packets.variable) for packets in variants] for part in (~held_out, held_out)
    )
    own = copy.deepcopy(tables)
    for codebook in ProgressBar(range(tables.codebooks), desc="contexts of codes", disable=quiet, leave=False):
        learn_context_scores(own, codebook, fitted, vectors[codebook])
    own.frequencies.copy_(smooth(Counts(count_codes(own, fitted), count_codes(own, compared))))
    numbers = Counts(*(count_numbers_of_codes(tables.codebooks, part) for part in (fitted, compared)))
    own.counts.copy_(smooth(numbers)[0])
    alternatives = [own]
    if _are_fitted(tables):
        adapted = copy.deepcopy(tables)
        counts = Counts(count_codes(tables, fitted), count_codes(tables, compared))
        adapted.frequencies.copy_(adapt(counts, tables.frequencies))
        adapted.counts.copy_(adapt(numbers, tables.counts[None])[0])
        alternatives.insert(0, adapted)
    _take_cheapest(tables, alternatives, validation.variants(thresholds))
    tables.shares.copy_(to_frequencies(count_codes(tables, variants[:1]).sum(2) + 0.01))


def _take_cheapest(
    tables: FrequencyTables, alternatives: Sequence[FrequencyTables], validation: Sequence[Packets]
) -> None:
    """Set the tables of each codebook, and those of the numbers of codes, to the cheapest for the validation packets.

    Args:
        tables: the tables before, which are preferred to others of the same cost
        alternatives: other tables
        validation: packets that costs are computed for
    """
    fixed_width = FrequencyTables(tables.codebooks, tables.size, tables.classes)
    offered = [copy.deepcopy(tables), *alternatives, fixed_width]
    best = _cheapest([_cost(one, validation) for one in offered])
    for name in ("frequencies", "votes", "count_votes") if tables.classes > 1 else ("frequencies",):
        getattr(tables, name).copy_(_take(best, [getattr(one, name) for one in offered]))
    if tables.classes > 1:
        numbers = count_numbers_of_codes(tables.codebooks, validation)
        best = _cheapest([coding_cost(numbers, one.counts[None]) for one in offered])
        tables.counts.copy_(_take(best, [one.counts[None] for one in offered])[0])


def _cost(tables: FrequencyTables, packets: Sequence[Packets]) -> Tensor:
    """Return the bits that the codes of each codebook cost."""
    counts = count_codes(tables, packets)
    return coding_cost(counts, tables.frequencies.reshape(counts.shape))


def _cheapest(bits: Sequence[Tensor]) -> Tensor:
    """Return the number of the cheapest alternative for each codebook; of equal ones, the first."""
    return torch.stack(list(bits)).argmin(0)


def _take(best: Tensor, tables: Sequence[Tensor]) -> Tensor:
    """Take the table with the number in ``best`` for each codebook."""
    return torch.stack(list(tables))[best, torch.arange(len(best))]


def _are_fitted(tables: FrequencyTables) -> bool:
    return not torch.equal(tables.frequencies, to_frequencies(torch.zeros_like(tables.frequencies)))
