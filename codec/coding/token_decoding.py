"""Shards of codes back to sound."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codec import audio
from codec.batch.jobs import Failure, Job
from codec.batch.runner import attempt
from codec.coding import shards
from codec.coding.files import FileReport, Progress, part
from codec.coding.pipeline import Sound
from codec.coding.token_arrays import read_codes, read_info
from codec.errors import UserError
from codec.model.codec import Codec


@dataclass(frozen=True)
class TokenJob(Job):
    """One array of a shard that becomes sound."""

    sample: shards.Sample

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.sample.path,)


def token_jobs(shard: Path, out: Path, suffix: str) -> tuple[list[Job], list[Failure]]:
    """Return a job for each array in a shard, its target below ``out``, and whatever is wrong with the shard."""
    found = attempt(shard, partial(shards.contents, shard))
    if isinstance(found, Failure):
        return [], [found]
    jobs: list[Job] = []
    for sample in found.samples:
        path = shards.path_of(sample.key)
        jobs.append(TokenJob(sample.name, out / path.with_name(path.name + suffix), sample))
    return jobs, [Failure(shard, found.fault)] if found.fault else []


def decode_tokens(
    job: TokenJob,
    codec: Codec,
    *,
    model: str,
    subtype: str,
    start: float = 0.0,
    end: float | None = None,
    progress: Progress | None = None,
) -> FileReport:
    """Decodes one array; as :func:`codec.coding.files.decode_file` does with a ``.nac`` file. ``model``: the codec's
    fingerprint."""
    started = time.perf_counter()
    info = read_info(job.sample)
    if info.model not in (model, *codec.decodes):
        raise UserError(f"{job.source}: coded with model {info.model}, but this one is {model}; pass the right --model")
    codes = read_codes(job.sample, info, codec)

    def between(frame: int, stop: int) -> list[Tensor]:
        return [torch.from_numpy(codes[..., frame:stop].astype(np.int64))]

    first, last = part(job.source, info, start, end)
    sound = Sound(codec, info.sample_rate, info.channels, info.samples, between)
    with audio.AudioWriter(job.target, info.sample_rate, info.channels, subtype, last - first, decoded=True) as writer:
        for wave in sound.blocks(first, last):
            writer.write(wave)
            if progress:
                progress(wave.shape[1] / info.sample_rate)
    return FileReport(
        source=job.source,
        target=job.target,
        seconds=(last - first) / info.sample_rate,
        sample_rate=info.sample_rate,
        channels=info.channels,
        codebooks=codes.shape[1],
        bytes_total=sum(extent.size for extent in (job.sample.array, job.sample.metadata) if extent),
        bytes_payload=codes.nbytes,
        bytes_seconds=info.seconds,
        elapsed_seconds=time.perf_counter() - started,
        clipped=writer.clipped,
    )
