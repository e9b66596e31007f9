"""The range coder's tables, fitted to codes of the training split when training is over.

What votes on the class of a code's context is learnt by :mod:`codec.training.context_scores`.

Where little is known, tables that fit it are worse than none: a part of the packets is held out, and each codebook gets
what costs least there, of the tables fitted to the rest, smoothed more or less
(:mod:`codec.training.frequency_smoothing`),
those that the model has already, its parent's, and uniform ones, which are codes of fixed width.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from codec.audio.channels import channels_to_streams
from codec.bitstream.codes import NO_CODE
from codec.bitstream.framing import packet_frames
from codec.bitstream.range_coder import RangeCoder, shift_frames
from codec.dataset.packed import Clip, PackedSplit
from codec.model.codec import Codec
from codec.model.frequency_tables import FrequencyTables, to_frequencies
from codec.model.quantizers import CodesWithImportance, importance_thresholds
from codec.training.context_scores import SEED, Packets, learn_votes
from codec.training.frequency_smoothing import Counts, cost, smooth

SECONDS = 7200.0
PIECE_S = 30.0
RATES = (0.08, 0.16, 0.3, 0.5, 0.75)
"""Shares of all codes that are in use in what the tables are fitted to; beside that, all codes in use."""
HELD_OUT = 8
"""One group of so many is held out; where there are fewer groups, one clip, piece or packet of so many."""
MOST_NEEDS = 1 << 22
"""So many decide where the bounds lie."""
AT_ONCE = 64
"""Packets whose contexts are classified at once; more take much memory."""


@dataclass(frozen=True)
class Fitted:
    """What the tables were fitted to; stands in the model's ``config.json``."""

    seconds: float
    frames: int
    """Latent frames, over all streams."""


@dataclass(frozen=True)
class _Piece:
    """``clip``: the index of the clip that it is of."""

    coded: CodesWithImportance
    samples: int
    clip: int


def fit_tables(codec: Codec, split: PackedSplit, *, quiet: bool = False) -> Fitted:
    """Fits ``codec.tables`` to the codes of the split: of all of it, or of pieces drawn from it that make two hours
    and depend on nothing but the split."""
    tables = codec.tables
    parts, clips, samples, frames = [], [], 0, 0
    total = sum(clip.frames for clip in split.clips)
    total = min(total, round(SECONDS * split.sample_rate)) // split.sample_rate
    layout = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} s [{elapsed}<{remaining}]"
    with tqdm(total=total, desc="code statistics", bar_format=layout, disable=quiet) as bar:
        for piece in _coded(codec, split):
            parts.append(_packets(piece.coded, packet_frames(codec.config.frame_rate_hz)))
            clips.append(split.clips[piece.clip])
            samples += piece.samples
            frames += piece.coded.codes.shape[0] * piece.coded.codes.shape[2]
            bar.update(samples // split.sample_rate - bar.n)
    codes, need = (torch.cat(kind) for kind in zip(*parts))
    held_out = _held_out(clips, [len(packets) for packets, _ in parts])
    if tables.classes == 1:
        _fit_order_0(tables, codes, held_out)
    else:
        fit_contexts(tables, codes, need, held_out, _entries(codec), quiet=quiet)
    return Fitted(samples / split.sample_rate, frames)


def _held_out(clips: Sequence[Clip], sizes: Sequence[int]) -> Tensor:
    """Which packets are held out, ``[packets]``; ``clips`` and ``sizes``: the clip of each piece, and its packets. They
    are other groups' than those that are fitted to, as what will be coded is, where there are enough groups."""
    of_piece = [clip for clip, size in zip(clips, sizes) for _ in range(size)]
    kinds: list[list[Any]] = [
        [clip.group for clip in of_piece],
        [clip.clip_id for clip in of_piece],
        [piece for piece, size in enumerate(sizes) for _ in range(size)],
        list(range(len(of_piece))),
    ]
    labels = next((kind for kind in kinds if len(set(kind)) >= HELD_OUT), kinds[-1])
    names = sorted(set(labels))
    chosen = {names[i] for i in np.random.default_rng(SEED).permutation(len(names))[::HELD_OUT]}
    return torch.tensor([label in chosen for label in labels])


def _fit_order_0(tables: FrequencyTables, codes: Tensor, held_out: Tensor) -> None:
    def count(packets: Tensor) -> Tensor:
        present = [row[row != NO_CODE] for row in packets.transpose(0, 1)]
        return torch.stack([torch.bincount(row, minlength=tables.size) for row in present])[:, None].double()

    counts = Counts(count(codes[~held_out]), count(codes[held_out]))
    smoothed = smooth(counts, [math.inf])
    before = tables.frequencies[:, None]
    best = _cheapest(cost(counts.held_out, before), _uniform_bits(counts.held_out), smoothed.bits)
    tables.frequencies.copy_(_chosen(best, before, _uniform(before), smoothed.frequencies)[:, 0])


def _cheapest(*bits: Tensor) -> Tensor:
    """Of each codebook, which costs least; of equals, the first."""
    return torch.stack(bits).argmin(0)


def _chosen(best: Tensor, *tables: Tensor) -> Tensor:
    """Of each codebook, the table that ``best`` says."""
    return torch.stack(tables)[best, torch.arange(len(best))]


def _uniform(tables: Tensor) -> Tensor:
    return to_frequencies(torch.zeros_like(tables, dtype=torch.float64))


def _uniform_bits(counts: Tensor) -> Tensor:
    return cost(counts, _uniform(counts))


def fit_contexts(
    tables: FrequencyTables, codes: Tensor, need: Tensor, held_out: Tensor, entries: Tensor, *, quiet: bool = False
) -> None:
    """Fits tables with classes to codes and needs ``[packets, codebooks, frames]``, and chooses between them and those
    that are there by the packets that are ``held_out`` ``[packets]``.

    In frames that are only there to fill a packet, codes are absent. ``entries`` ``[codebooks, size + 1, features]``:
    what each code stands for, of mean power 1; the last, for none, is zero."""
    before = copy.deepcopy(tables)
    variants = [Packets(codes, variable=False)]
    thinned = need[:: -(-need.numel() // MOST_NEEDS)]  # torch.quantile takes 2^24 values
    for rate in RATES:
        bound = importance_thresholds(thinned, torch.tensor([rate * tables.codebooks]))
        variants.append(Packets(torch.where(need >= bound, codes, NO_CODE), variable=True))
    known, unknown = (
        [Packets(packets.codes[part], packets.variable) for packets in variants] for part in (~held_out, held_out)
    )
    for codebook in tqdm(range(tables.codebooks), desc="contexts of codes", disable=quiet, leave=False):
        learn_votes(tables, codebook, known, entries[codebook])
    _choose(tables, before, known, unknown)


@torch.inference_mode()
def _coded(codec: Codec, split: PackedSplit) -> Iterator[_Piece]:
    """Pieces of the split, coded, in random order."""
    rate, left = split.sample_rate, round(SECONDS * split.sample_rate)
    length = round(PIECE_S * rate)
    pieces = [(i, at) for i, clip in enumerate(split.clips) for at in range(0, clip.frames, length)]
    for index in np.random.default_rng(SEED).permutation(len(pieces)):
        clip, start = pieces[index]
        wave = split.waveform(clip, start, min(length, left))
        streams = torch.from_numpy(channels_to_streams(wave, codec.config.stereo))
        stream = codec.stream_encoder(len(streams))
        yield _Piece(CodesWithImportance.join([stream.push(streams), stream.flush()]), wave.shape[1], clip)
        left -= wave.shape[1]
        if left <= 0:
            return


def _packets(coded: CodesWithImportance, size: int) -> tuple[Tensor, Tensor]:
    """Codes and needs ``[packets, codebooks, frames]``: contexts end with a packet. What is missing in the last one of
    a stream is absent, and needed by no one."""
    missing = -coded.codes.shape[2] % size
    codes = F.pad(coded.codes, (0, missing), value=NO_CODE).unflatten(2, (-1, size))
    need = F.pad(coded.importances, (0, missing), value=-1.0).unflatten(2, (-1, size))
    return codes.transpose(1, 2).flatten(0, 1), need.transpose(1, 2).flatten(0, 1)


def _entries(codec: Codec) -> Tensor:
    """What each code alone stands for, ``[codebooks, size + 1, features]``, the last for none; each codebook of mean
    power 1."""
    tables = codec.tables
    codes = torch.full((tables.codebooks, tables.codebooks, tables.size), NO_CODE)
    codes.diagonal().copy_(torch.arange(tables.size)[:, None].expand(-1, tables.codebooks))
    entries = codec.quantizer.fused().decode(codes)
    entries = entries / entries.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1e-9)
    return F.pad(entries, (0, 0, 0, 1))


def _choose(tables: FrequencyTables, before: FrequencyTables, known: list[Packets], unknown: list[Packets]) -> None:
    """Sets all frequencies of ``tables``, whose votes are learnt, and takes the votes of those ``before`` back where
    these are better."""
    coder = RangeCoder(tables.to_numpy())
    counts = Counts(_count(coder, known), _count(coder, unknown))
    smoothed, theirs = smooth(counts), _count(RangeCoder(before.to_numpy()), unknown)
    best = _cheapest(cost(theirs, before.frequencies), _uniform_bits(counts.held_out), smoothed.bits)
    tables.frequencies.copy_(
        _chosen(best, before.frequencies, _uniform(before.frequencies), smoothed.frequencies),
    )
    for votes, earlier in ((tables.votes, before.votes), (tables.count_votes, before.count_votes)):
        votes.copy_(_chosen(best, earlier, torch.zeros_like(votes), votes))
    numbers = Counts(_count_numbers(tables, known), _count_numbers(tables, unknown))
    smoothed, earlier = smooth(numbers), before.counts[None]
    best = _cheapest(cost(numbers.held_out, earlier), _uniform_bits(numbers.held_out), smoothed.bits)
    tables.counts.copy_(_chosen(best, earlier, _uniform(earlier), smoothed.frequencies)[0])
    whole = sum(_count(RangeCoder(tables.to_numpy()), packets[:1]) for packets in (known, unknown))
    assert isinstance(whole, Tensor)
    tables.shares.copy_(to_frequencies(whole.sum(2) + 0.01))


def _count(coder: RangeCoder, variants: Sequence[Packets]) -> Tensor:
    """How often each code occurs in each class, ``[codebooks, classes, size]``."""
    counts = torch.zeros(coder.codebooks, coder.classes, coder.size).double()
    for packets in variants:
        for codes in packets.codes.split(AT_ONCE):
            groups = torch.from_numpy(coder.context_classes(codes.numpy(), packets.variable))
            codes = codes.transpose(0, 1)[: len(groups)]
            books = torch.arange(len(groups))[:, None, None].expand_as(codes)
            index = torch.stack([books, groups, codes])[:, codes != NO_CODE]
            counts.index_put_(tuple(index), torch.ones((), dtype=counts.dtype), accumulate=True)
    return counts


def _count_numbers(tables: FrequencyTables, variants: Sequence[Packets]) -> Tensor:
    """How often each number of codes follows each other one, ``[1, codebooks + 2, codebooks + 1]``."""
    counts = torch.zeros(1, tables.codebooks + 2, tables.codebooks + 1).double()
    real = variants[0].codes[:, 0] != NO_CODE
    for packets in variants:
        if packets.variable:
            after = (packets.codes != NO_CODE).sum(1).numpy()
            index = torch.from_numpy(np.stack([shift_frames(after, -1), after]))[:, real]
            counts[0].index_put_(tuple(index), torch.ones((), dtype=counts.dtype), accumulate=True)
    return counts
