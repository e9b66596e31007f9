"""The range coder's tables, fitted to codes of the training split when training is over.

What votes on the class of a code's context (see :mod:`codec.model.entropy`) is learnt by gradient descent under cross
entropy. Each codebook is a small mixture: the points of the voters go through a softmax to a share of each class, and
each class has logits over the codes. The loss moves, step by step, from the likelihood under the mixture to the mean of
what the code costs in each class, which is lowest where one class has it all. Then points become integers, and the
tables of the classes are counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from codec.bitstream.container import packet_frames
from codec.bitstream.rangecoder import UNKNOWN, RangeCoder, beside, count_voters
from codec.channels import fold
from codec.model.codec import Codec
from codec.model.entropy import CODE_VOTERS, COUNT_VOTERS, FrequencyTables, frequencies
from codec.model.quantizers import ABSENT, Coded, bounds
from codec.packed import PackedSplit

SECONDS = 7200.0
PIECE_S = 30.0
SEED = 30_000
RATES = (0.08, 0.16, 0.3, 0.5, 0.75)
"""Shares of all codes that are in use in what the tables are fitted to; beside that, all codes in use."""
STEPS, BATCH, LEARNING_RATE = 2000, 1024, 2e-2
EPOCHS = 3
"""No code is looked at more often, on average: with little data there are fewer steps."""
PRIORS = (30.0, 100.0, 400.0, 1600.0, 6400.0)
"""A class counts so many occurrences as the codebook's codes occur overall; how many, is tried on packets held out."""
HELD_OUT = 8
"""One packet of so many is held out."""
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
class Packets:
    """Codes ``[packets, codebooks, frames]``. ``variable``: some are absent, and how many is coded, too."""

    codes: Tensor
    variable: bool


def fit_tables(codec: Codec, split: PackedSplit, *, quiet: bool = False) -> Fitted:
    """Fits ``codec.tables`` to the codes of the split: of all of it, or of pieces drawn from it that make two hours
    and depend on nothing but the split."""
    tables = codec.tables
    parts, samples, frames = [], 0, 0
    total = sum(clip.frames for clip in split.clips)
    total = min(total, round(SECONDS * split.sample_rate)) // split.sample_rate
    layout = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} s [{elapsed}<{remaining}]"
    with tqdm(total=total, desc="code statistics", bar_format=layout, disable=quiet) as bar:
        for coded, length in _coded(codec, split):
            parts.append(_packets(coded, packet_frames(codec.config.latents_per_second)))
            samples, frames = samples + length, frames + coded.codes.shape[0] * coded.codes.shape[2]
            bar.update(samples // split.sample_rate - bar.n)
    fitted = Fitted(samples / split.sample_rate, frames)
    codes, need = (torch.cat(kind) for kind in zip(*parts))
    if tables.classes == 1:
        present = [row[row != ABSENT] for row in codes.transpose(0, 1)]
        tables.fit(torch.stack([torch.bincount(row, minlength=tables.size) for row in present]))
        return fitted
    fit_contexts(tables, codes, need, _entries(codec), quiet=quiet)
    return fitted


def fit_contexts(tables: FrequencyTables, codes: Tensor, need: Tensor, entries: Tensor, *, quiet: bool = False) -> None:
    """Fits tables with classes to codes and needs ``[packets, codebooks, frames]``; in frames that are only there to
    fill a packet, codes are absent. ``entries`` ``[codebooks, size + 1, features]``: what each code stands for, of mean
    power 1; the last, for none, is zero."""
    variants = [Packets(codes, variable=False)]
    thinned = need[:: -(-need.numel() // MOST_NEEDS)]  # torch.quantile takes 2^24 values
    for rate in RATES:
        bound = bounds(thinned, torch.tensor([rate * tables.codebooks]))
        variants.append(Packets(torch.where(need >= bound, codes, ABSENT), variable=True))
    for codebook in tqdm(range(tables.codebooks), desc="contexts of codes", disable=quiet, leave=False):
        _learn_votes(tables, codebook, variants, entries[codebook])
    _count(tables, variants)


@torch.inference_mode()
def _coded(codec: Codec, split: PackedSplit) -> Iterator[tuple[Coded, int]]:
    """Pieces of the split, coded, and their samples."""
    rate, left = split.sample_rate, round(SECONDS * split.sample_rate)
    length = round(PIECE_S * rate)
    pieces = [(i, at) for i, clip in enumerate(split.clips) for at in range(0, clip.frames, length)]
    for index in np.random.default_rng(SEED).permutation(len(pieces)):
        clip, start = pieces[index]
        wave = split.wave(clip, start, min(length, left)).T.astype(np.float32) / 32768
        streams = fold(torch.from_numpy(wave), codec.config.stereo)
        stream = codec.stream_encoder(len(streams))
        yield Coded.join([stream.push(streams), stream.flush()]), wave.shape[1]
        left -= wave.shape[1]
        if left <= 0:
            return


def _packets(coded: Coded, size: int) -> tuple[Tensor, Tensor]:
    """Codes and needs ``[packets, codebooks, frames]``: contexts end with a packet. What is missing in the last one of
    a stream is absent, and needed by no one."""
    missing = -coded.codes.shape[2] % size
    codes = F.pad(coded.codes, (0, missing), value=ABSENT).unflatten(2, (-1, size))
    need = F.pad(coded.need, (0, missing), value=-1.0).unflatten(2, (-1, size))
    return codes.transpose(1, 2).flatten(0, 1), need.transpose(1, 2).flatten(0, 1)


def _entries(codec: Codec) -> Tensor:
    """What each code alone stands for, ``[codebooks, size + 1, features]``, the last for none; each codebook of mean
    power 1."""
    tables = codec.tables
    codes = torch.full((tables.codebooks, tables.codebooks, tables.size), ABSENT)
    codes.diagonal().copy_(torch.arange(tables.size)[:, None].expand(-1, tables.codebooks))
    entries = codec.quantizer.folded().decode(codes)
    entries = entries / entries.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1e-9)
    return F.pad(entries, (0, 0, 0, 1))


def _voters(packets: Packets, codebook: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each code of the codebook: the codes ``[codes, CODE_VOTERS]`` and the numbers of codes ``[codes,
    COUNT_VOTERS]`` that vote on its class, and the code itself ``[codes]``."""
    codes = packets.codes.numpy()
    first, counts = codes[:, 0], (codes != ABSENT).sum(1)
    if not packets.variable:
        counts = np.full_like(counts, UNKNOWN)
    if codebook == 0:
        none = np.full_like(first, ABSENT)
        voters = [beside(first, -1), beside(first, -2), none, none]
    else:
        voters = [beside(first, -1), first, beside(first, 1), codes[:, codebook - 1]]
    present = codes[:, codebook] != ABSENT
    near = np.stack([values[present] for values in voters], 1)
    numbers = np.stack([values[present] for values in count_voters(counts)], 1)
    return torch.from_numpy(near), torch.from_numpy(numbers), torch.from_numpy(codes[:, codebook][present])


class _Mixture(nn.Module):
    """The contexts of one codebook while they are learnt. The points that codes give start from a linear function of
    what the codes stand for, so that codes alike vote alike."""

    def __init__(self, tables: FrequencyTables, entries: Tensor, codes: Tensor, generator: torch.Generator):
        super().__init__()

        def random(*shape: int) -> nn.Parameter:
            return nn.Parameter(0.3 * torch.randn(shape, generator=generator))

        self.entries = entries
        self.directions = random(CODE_VOTERS, entries.shape[1], tables.classes)
        self.own = nn.Parameter(torch.zeros(CODE_VOTERS, tables.size + 1, tables.classes))
        self.counts = random(COUNT_VOTERS, tables.codebooks + 2, tables.classes)
        overall = torch.bincount(codes, minlength=tables.size) + 0.5
        # nearly alike, or few classes would win all at the start
        self.tables = nn.Parameter(overall.log() + 0.3 * random(tables.classes, tables.size).data)

    def votes(self) -> Tensor:
        return self.entries @ self.directions + self.own

    def forward(self, near: Tensor, numbers: Tensor, codes: Tensor, hardness: float) -> Tensor:
        votes = self.votes()
        points = torch.stack([votes[i, near[:, i]] for i in range(CODE_VOTERS)]).sum(0)
        points = points + torch.stack([self.counts[i, numbers[:, i]] for i in range(COUNT_VOTERS)]).sum(0)
        share = F.log_softmax(points, -1)
        fits = F.log_softmax(self.tables, -1).T[codes]
        mixture, mean = torch.logsumexp(share + fits, -1), (share.exp() * fits).sum(-1)
        return -((1 - hardness) * mixture + hardness * mean).mean()


@torch.enable_grad()
def _learn_votes(tables: FrequencyTables, codebook: int, variants: list[Packets], entries: Tensor) -> None:
    near, numbers, codes = (torch.cat(kind) for kind in zip(*(_voters(packets, codebook) for packets in variants)))
    generator = torch.Generator().manual_seed(SEED + codebook)
    mixture = _Mixture(tables, entries, codes, generator)
    steps = min(STEPS, EPOCHS * len(codes) // BATCH)
    groups = [
        {"params": [mixture.directions, mixture.counts, mixture.tables], "lr": LEARNING_RATE},
        {"params": [mixture.own], "lr": LEARNING_RATE / 3},
    ]
    optimizer = torch.optim.Adam(groups, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, max(1, steps))
    for step in range(steps):
        batch = torch.randint(len(codes), (BATCH,), generator=generator)
        loss = mixture(near[batch], numbers[batch], codes[batch], min(1.0, 2 * step / steps))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        votes, counts = mixture.votes(), mixture.counts
        largest = max(votes.abs().max(), counts.abs().max())
        tables.votes[codebook] = (votes * (127 / largest)).round().to(torch.int8)
        tables.count_votes[codebook] = (counts * (127 / largest)).round().to(torch.int8)


def _count(tables: FrequencyTables, variants: list[Packets]) -> None:
    """Sets all tables from how often each code occurs in each class."""
    coder = RangeCoder(tables)
    counts, shares = (torch.zeros(tables.codebooks, tables.classes, tables.size).double() for _ in range(2))
    held_out = torch.zeros_like(counts)
    real = [codes[:, 0] != ABSENT for codes in variants[0].codes.split(AT_ONCE)]
    numbers = torch.zeros(tables.codebooks + 2, tables.codebooks + 1).double()
    for packets in variants:
        for part, codes in enumerate(packets.codes.split(AT_ONCE)):
            groups = torch.from_numpy(coder.groups(codes.numpy(), packets.variable))
            after = (codes != ABSENT).sum(1).numpy()
            codes = codes.transpose(0, 1)[: len(groups)]
            books = torch.arange(len(groups))[:, None, None].expand_as(codes)
            index = torch.stack([books, groups, codes])[:, codes != ABSENT]
            for target in [held_out if part % HELD_OUT == 0 else counts] + [shares] * (not packets.variable):
                target.index_put_(tuple(index), torch.ones((), dtype=target.dtype), accumulate=True)
            if packets.variable:
                index = torch.from_numpy(np.stack([beside(after, -1), after]))[:, real[part]]
                numbers.index_put_(tuple(index), torch.ones((), dtype=numbers.dtype), accumulate=True)
    tables.shares.copy_(frequencies(shares.sum(2) + 0.01))
    tables.counts.copy_(frequencies(numbers + 0.05))
    overall = (counts + held_out).sum(1, keepdim=True)
    overall = overall + overall.sum(2, keepdim=True).sqrt().clamp(min=1) / tables.size
    overall = overall / overall.sum(2, keepdim=True)

    def bits(prior: float) -> float:
        shares = counts + prior * overall
        return -float((held_out * (shares / shares.sum(2, keepdim=True)).log2()).sum())

    tables.frequencies.copy_(frequencies(counts + held_out + min(PRIORS, key=bits) * overall))
