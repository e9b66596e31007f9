"""Codes for language models: sound files to shards of arrays with metadata, see shards.py, and back to sound.

The array of a mono file is ``[quantizers, frames]``, of others ``[channels, quantizers, frames]``, where the channels
are those that the model codes: mid and side of a stereo file, if its metadata says so. All frames have all codes.
"""

import contextlib
import csv
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codec import audio, shards
from codec.bitstream.header import SAMPLE_RATES
from codec.channels import Stereo
from codec.checkpoint import fingerprint
from codec.errors import UserError
from codec.files import FileReport, Progress, choose_codebooks, expected_seconds, part, source_blocks
from codec.inputs import SOUND, Found, below_common, find
from codec.jobs import Failure, Job, Kept, named, one_each
from codec.model.codec import Codec
from codec.running import BatchReport, Outcome, attempt, run
from codec.side_by_side import side_by_side
from codec.sound import Sound, encoded, model_samples

MAX_CHANNELS = 255


@dataclass(frozen=True)
class TokenInfo:
    """The metadata of one array. ``sample_rate``, ``channels``, ``samples`` (per channel) and ``seconds`` are the
    source's."""

    source: str
    sample_rate: int
    channels: int
    samples: int
    seconds: float
    model: str
    """Fingerprint."""
    model_rate: int
    """Sample rate in Hz at which the model works."""
    codebooks: int
    codebook_size: int
    frames: int
    frames_per_second: float
    axes: list[str]
    """Of the array: channels (where there are several), quantizers, frames."""
    stereo: Stereo | None
    """What the two channels of an array are; None where they are one, or more than two, which are separate."""
    manifest: dict[str, str]
    """The columns of the manifest's row for this file, apart from its path."""

    @property
    def fingerprint(self) -> str:
        return self.model


@dataclass(frozen=True)
class Entry:
    """A file that becomes one array, under the ``key``."""

    source: Path
    key: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class ShardJob(Job):
    """Entries that become one shard; ``source`` is the shard itself, by which failures of all of it are named."""

    entries: tuple[Entry, ...] = field(compare=False)

    @property
    def sources(self) -> tuple[Path, ...]:
        return tuple(entry.source for entry in self.entries)


@dataclass(frozen=True)
class TokenJob(Job):
    """One array of a shard that becomes sound."""

    sample: shards.Sample

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.sample.path,)


# --- sound to shards ------------------------------------------------------------------------------


def encode_tokens(
    sources: Sequence[Path],
    out: Path,
    codec: Codec,
    *,
    lists: Sequence[Path] = (),
    codebooks: int | None = None,
    per_shard: int = 1000,
    manifest: Path | None = None,
    force: bool = False,
    workers: int = 1,
    lanes: int = 1,
) -> BatchReport:
    """Codes sound files into shards ``out/tokens-000000.tar`` and so on; for ``sources`` and ``lists`` see
    :func:`codec.inputs.find`. Without both, the ``manifest`` is the list: all files that it names are taken.

    Files are taken in the order of their keys, ``per_shard`` to a shard. What is there already, newer than its source,
    of this model, this number of ``codebooks`` (default: all) and these columns of the ``manifest`` is kept, unless
    ``force``; and without that, no other file than such a shard is replaced. ``workers``: processes, each at a shard,
    which write the same bytes as one. ``lanes``: so many files of a shard are coded
    :func:`codec.side_by_side.side_by_side`.

    Raises:
        UserError: nothing to do, two sources with one key, ``out`` cannot be made or holds shards that are not of this
            call, a manifest that is none or names no source.
    """
    count = choose_codebooks(codec, 1, kbps=None, codebooks=codebooks)
    rows = read_manifest(manifest) if manifest else {}
    if manifest and not (sources or lists):
        found = Found(below_common([(path, Path(path.name)) for path in rows]))
    else:
        found = find(sources, SOUND, lists)
    keyed = one_each(Job(path, out / shards.key_of(place)) for path, place in named(found.files))
    columns = _rows_of([job.source for job in keyed], rows)
    if manifest and not columns:
        raise UserError(
            f"{manifest}: names none of the sound files; its column path is relative to the manifest's folder"
        )
    keys = {job.target.relative_to(out).as_posix(): job.source for job in keyed}
    entries = [Entry(keys[key], key, columns.get(keys[key], {})) for key in sorted(keys)]
    jobs: list[Job] = []
    for first in range(0, len(entries), per_shard):
        shard = out / f"tokens-{first // per_shard:06}{shards.SUFFIX}"
        jobs.append(ShardJob(shard, shard, tuple(entries[first : first + per_shard])))
    others = sorted(set(out.glob(f"tokens-*{shards.SUFFIX}")) - {job.target for job in jobs})
    if others:
        raise UserError(f"{others[0]}: of other files or another --per-shard; delete it or choose another --out")
    return run(Tokenising(codec, fingerprint(codec), count, force, lanes), jobs, force, workers).with_inputs(found)


def read_manifest(path: Path) -> dict[Path, dict[str, str]]:
    """The files that the column ``path`` of a CSV table names, relative to the table's folder, with the other columns.
    Raises :class:`UserError` where it is no such table, or names none."""
    found = {}
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            for row in csv.DictReader(file):
                if place := row.pop("path"):
                    found[path.parent / place] = {name: text or "" for name, text in row.items() if name}
    except OSError as error:
        raise UserError(f"{path}: this manifest cannot be read ({error.strerror})") from error
    except (KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: not a manifest; write a CSV table with a column named path") from error
    if not found:
        raise UserError(f"{path}: names no files; write their paths into the column path")
    return found


def _rows_of(sources: Iterable[Path], rows: Mapping[Path, dict[str, str]]) -> dict[Path, dict[str, str]]:
    """Those of the ``rows`` that are of the ``sources``, however their paths are written."""
    whole = {os.path.abspath(path): columns for path, columns in rows.items()}
    paths = {source: os.path.abspath(source) for source in sources}
    return {source: whole[path] for source, path in paths.items() if path in whole}


@dataclass(frozen=True)
class Tokenising:
    """The task for :class:`ShardJob`; see :mod:`codec.running`."""

    codec: Codec
    model: str
    codebooks: int
    force: bool
    lanes: int
    verb = "tokens of"

    def kept(self, job: Job) -> list[Kept]:
        assert isinstance(job, ShardJob)
        whole = self._kept(job).keys() == self._old(job).keys() == {entry.key for entry in job.entries}
        return [Kept(path) for path in job.sources] if whole else []

    def may_replace(self, job: Job) -> bool:
        assert isinstance(job, ShardJob)
        samples = self._old(job).values()
        return any(isinstance(attempt(sample.name, partial(read_info, sample)), TokenInfo) for sample in samples)

    def seconds(self, job: Job) -> float:
        stated = [attempt(source, partial(expected_seconds, source)) for source in job.sources]
        return sum(seconds for seconds in stated if isinstance(seconds, float))

    def __call__(self, job: Job, progress: Progress) -> list[Outcome]:
        assert isinstance(job, ShardJob)
        samples = {} if self.force else self._kept(job)
        outcomes: dict[str, Outcome] = {entry.key: Kept(entry.source) for entry in job.entries if entry.key in samples}
        left = [entry for entry in job.entries if entry.key not in samples]

        def work(entry: Entry, progress: Progress) -> tuple[FileReport, bytes] | Failure:
            return attempt(entry.source, partial(self._encode, entry, job.target, progress))

        with contextlib.closing(side_by_side(work, left, self.lanes, lambda _, seconds: progress(seconds))) as ended:
            for entry, made in ended:
                if isinstance(made, Failure):
                    outcomes[entry.key] = made
                else:
                    outcomes[entry.key], samples[entry.key] = made
        old = self._old(job)
        if old and not samples:
            job.target.unlink()  # a shard of nothing does not say whose it is, and could not be replaced
        elif any(isinstance(one, FileReport) for one in outcomes.values()) or len(samples) < len(old):
            shards.write(job.target, [samples[entry.key] for entry in job.entries if entry.key in samples])
        return [outcomes[entry.key] for entry in job.entries]

    def _encode(self, entry: Entry, target: Path, progress: Progress) -> tuple[FileReport, bytes]:
        """And the packed sample."""
        started = time.perf_counter()
        described = audio.info(entry.source)
        rate, channels = described.sample_rate, described.channels
        count = too_loud = 0
        if channels > MAX_CHANNELS or rate not in SAMPLE_RATES:
            raise UserError(f"{entry.source}: {channels} channels at {rate} Hz are beyond what can be coded")

        def counted() -> Iterable[audio.FloatArray]:
            nonlocal count, too_loud
            for block in source_blocks(described):
                count += block.shape[1]
                too_loud += audio.beyond_full_scale(block)
                yield block
                progress(block.shape[1] / rate)

        size = self.codec.config.quantizer.size
        kind = np.dtype("<u2" if size <= 1 << 16 else "<u4")
        parts = [
            coded.codes.cpu().numpy().astype(kind)
            for coded in encoded(self.codec, counted(), rate, channels, self.codebooks)
        ]
        codes = np.concatenate(parts, 2)
        info = TokenInfo(
            **self._settled(entry),
            sample_rate=rate,
            channels=channels,
            samples=count,
            seconds=count / rate,
            frames=codes.shape[2],
            axes=["channels", "quantizers", "frames"][channels == 1 :],
            stereo=self.codec.config.stereo if channels == 2 else None,
        )
        sample = shards.packed(entry.key, codes[0] if channels == 1 else codes, asdict(info))
        report = FileReport(
            source=entry.source,
            target=target,
            seconds=info.seconds,
            sample_rate=rate,
            channels=channels,
            codebooks=self.codebooks,
            bytes_total=len(sample),
            bytes_payload=codes.nbytes,
            bytes_seconds=info.seconds,
            elapsed_seconds=time.perf_counter() - started,
            too_loud=too_loud,
        )
        return report, sample

    def _settled(self, entry: Entry) -> dict[str, Any]:
        """What the metadata say before the sound is read."""
        config = self.codec.config
        return {
            "source": str(entry.source),
            "model": self.model,
            "model_rate": config.sample_rate,
            "codebooks": self.codebooks,
            "codebook_size": config.quantizer.size,
            "frames_per_second": config.latents_per_second,
            "manifest": dict(entry.columns),
        }

    def _kept(self, job: ShardJob) -> dict[str, bytes]:
        """Samples of the shard as it is that are what would be written, by their keys."""
        kept = {}
        old = self._old(job)
        for entry in job.entries:
            if (sample := old.get(entry.key)) is not None:
                kept_or_failed = attempt(entry.source, partial(self._kept_sample, entry, sample))
                if isinstance(kept_or_failed, bytes):
                    kept[entry.key] = kept_or_failed
        return kept

    def _kept_sample(self, entry: Entry, sample: shards.Sample) -> bytes | None:
        if sample.path.stat().st_mtime < entry.source.stat().st_mtime:
            return None
        metadata, settled = shards.read_metadata(sample), self._settled(entry)
        if {name: metadata.get(name) for name in settled} != settled:
            return None
        _read_codes(sample, read_info(sample), self.codec)
        return shards.packed(entry.key, shards.read_array(sample), metadata)

    def _old(self, job: ShardJob) -> dict[str, shards.Sample]:
        found = attempt(job.target, partial(shards.contents, job.target))
        return {sample.key: sample for sample in found.samples} if isinstance(found, shards.Contents) else {}


# --- shards to sound ------------------------------------------------------------------------------


def token_jobs(shard: Path, out: Path, suffix: str) -> list[Job]:
    """A job for each array in a shard, its target below ``out``. What is wrong is a job too, whose turn reports it."""
    whole = Job(shard, out / shard.with_suffix(suffix).name)
    found = attempt(shard, partial(shards.contents, shard))
    if isinstance(found, Failure):
        return [whole]
    jobs = [whole] if found.fault else []
    for sample in found.samples:
        path = shards.path_of(sample.key)
        jobs.append(TokenJob(sample.name, out / path.with_name(path.name + suffix), sample))
    return jobs


def read_info(sample: shards.Sample) -> TokenInfo:
    """The metadata, of which the numbers are possible. Raises :class:`UserError` where they are not."""
    found = shards.read_metadata(sample)
    kinds: dict[str, Any] = {"source": str, "model": str, "axes": list, "manifest": dict, "stereo": str | None}
    kinds |= {"seconds": float | int, "frames_per_second": float | int}
    for each in fields(TokenInfo):
        value = found.get(each.name)
        if isinstance(value, bool) or not isinstance(value, kinds.get(each.name, int)):
            raise shards.damaged(sample, f"{each.name} is {value!r:.40}")
    info = TokenInfo(**{each.name: found[each.name] for each in fields(TokenInfo)})
    for name, value, allowed in (
        ("sample_rate", info.sample_rate, SAMPLE_RATES),
        ("channels", info.channels, range(1, MAX_CHANNELS + 1)),
        ("samples", info.samples, range(1 << 63)),
    ):
        if value not in allowed:
            raise shards.damaged(sample, f"{name} {value} is outside {allowed.start} to {allowed.stop - 1}")
    return info


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
    """Decodes one array; as :func:`codec.files.decode_file` does with a ``.nac`` file. ``model``: the codec's
    fingerprint."""
    started = time.perf_counter()
    info = read_info(job.sample)
    if info.model not in (model, *codec.decodes):
        raise UserError(f"{job.source}: coded with model {info.model}, but this one is {model}; pass the right --model")
    codes = _read_codes(job.sample, info, codec)

    def between(frame: int, stop: int) -> list[Tensor]:
        return [torch.from_numpy(codes[..., frame:stop].astype(np.int64))]

    first, last = part(job.source, info, start, end)
    sound = Sound(codec, info.sample_rate, info.channels, info.samples, between)
    with audio.Writer(job.target, info.sample_rate, info.channels, subtype, last - first, decoded=True) as writer:
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


def _read_codes(sample: shards.Sample, info: TokenInfo, codec: Codec) -> shards.IntArray:
    """``[channels, quantizers, frames]``, all of which the model can decode to what ``info`` says. Raises
    :class:`UserError` where it cannot."""
    codes = shards.read_array(sample)
    if info.channels == 1:
        codes = codes[None]
    frames = codec.config.latents_for(model_samples(codec, info.samples, info.sample_rate))
    quantizer = codec.config.quantizer
    if codes.ndim != 3 or (codes.shape[0], codes.shape[2]) != (info.channels, frames):
        raise shards.damaged(sample, f"shape {list(codes.shape)} in place of {[info.channels, 'quantizers', frames]}")
    if not 1 <= codes.shape[1] <= quantizer.codebooks:
        raise shards.damaged(sample, f"{codes.shape[1]} quantizers, of which the model has {quantizer.codebooks}")
    if codes.size and not (0 <= codes.min() and codes.max() < quantizer.size):
        raise shards.damaged(sample, f"codes that are not all from 0 to {quantizer.size - 1}")
    return codes
