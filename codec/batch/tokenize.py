"""Many audio files, encoded to codes for language models: shards of arrays with metadata.

See :mod:`codec.coding.shards` for the files and :mod:`codec.coding.token_arrays` for their contents.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from codec.audio import AudioError, AudioInfo, info
from codec.batch.inputs import AUDIO_FILES, Inputs, below_common, find_inputs
from codec.batch.jobs import BatchOptions, Job, name_outputs, unique_jobs
from codec.batch.manifest import find_rows, read_manifest
from codec.batch.progress import expected_seconds
from codec.batch.report import BatchReport, Failure, FileOutcome, Skipped
from codec.batch.runner import run_batch
from codec.batch.task import BatchTask, attempt
from codec.batch.threads import run_by_length
from codec.coding import shard_writer, shards
from codec.coding.bit_rate import check_options
from codec.coding.options import CodingOptions
from codec.coding.report import Progress
from codec.coding.salvage import SALVAGED, parse_losses, with_advice
from codec.coding.token_arrays import DTYPE, TokenInfo, read_codes, read_token_info
from codec.coding.tokens import Tokens, encode_to_tokens, token_settings
from codec.errors import UserError
from codec.runtime.file_lock import Lock, exclusive
from codec.runtime.read_once import ReadOnce

if TYPE_CHECKING:
    from codec.pretrained.loaded_model import LoadedModel

MOST_PER_SHARD = 1000
"""Maximum number of files in a shard, unless another number is requested."""
FEWEST_SHARDS = 8
"""Minimum number of shards if there are as many files: data loaders give whole shards to their workers."""


@dataclass(frozen=True)
class _TokenEntry:
    """An audio file that becomes one array of a shard."""

    source: Path
    key: str
    """Name of the array in the shard."""
    columns: Mapping[str, str]
    """Columns of the manifest's row for this file."""
    audio: ReadOnce[AudioInfo]
    """The description of the file."""


@dataclass(frozen=True)
class _ShardJob(Job):
    """Audio files that become one shard. ``source`` is the shard itself, for failures of the whole shard."""

    entries: tuple[_TokenEntry, ...] = field(compare=False)

    @property
    def sources(self) -> tuple[Path, ...]:
        return tuple(entry.source for entry in self.entries)

    @property
    def members(self) -> Path:
        """The file in which arrays are collected until the shard is complete."""
        return self.target.with_name(f".{self.target.name}{_MEMBERS}")

    @property
    def lock(self) -> Path:
        """Lock file of the process that writes the shard. On a cluster, a process that counts as dead may still run."""
        return self.target.with_name(f".{self.target.name}{_LOCK}")


_MEMBERS, _LOCK = ".members", ".lock"


def encode_tokens(
    sources: Sequence[Path],
    out: Path,
    model: LoadedModel,
    batch: BatchOptions = BatchOptions(),
    *,
    lists: Sequence[Path] = (),
    codebooks: int | None = None,
    per_shard: int | None = None,
    manifest: Path | None = None,
    flat: bool = False,
    salvage: bool = False,
) -> BatchReport:
    """Encode audio files into shards ``out/tokens-000000.tar`` and so on.

    Arrays that are newer than their source and have this model, number of codebooks and columns of the manifest are
    reused, unless ``batch.force``. Without ``batch.force``, no file other than such a shard is replaced.

    Args:
        sources: files, folders and patterns, see :func:`codec.batch.inputs.find_inputs`
        out: folder of the shards
        model: encodes
        batch: overwriting and concurrency; a process works on a whole shard, and within a shard several files may be
            encoded concurrently
        lists: text files that name further sources. Without sources and lists, all files of the manifest are encoded.
        codebooks: number of codebooks (default: all)
        per_shard: number of files per shard, in the order of their keys (default: :func:`default_per_shard`)
        manifest: CSV table whose columns become part of the metadata
        flat: whether arrays hold the ids of :mod:`codec.coding.flat_tokens` instead of codes
        salvage: whether what can be read of damaged sources is encoded

    Returns:
        The outcome of each source.

    Raises:
        UserError: nothing to do; two sources with one key; ``out`` cannot be made, holds other shards, or is in use by
            another process; a manifest that is none or names none of the sources.
    """
    check_options(model, CodingOptions(codebooks=codebooks))
    rows = read_manifest(manifest) if manifest else {}
    if manifest and not (sources or lists):
        inputs = Inputs(below_common([(path, Path(path.name)) for path in rows]))
    else:
        inputs = find_inputs(sources, AUDIO_FILES, lists)
    entries = _entries(inputs, out, rows)
    if not entries:
        raise UserError(
            f"{manifest}: names none of the audio files; its column path is relative to the manifest's folder"
        )
    jobs = _shard_jobs(entries, out, per_shard or default_per_shard(len(entries)))
    with exclusive(out):
        others = sorted(set(out.glob(f"tokens-*{shards.SUFFIX}")) - {job.target for job in jobs})
        if others:
            raise UserError(f"{others[0]}: of other files or another --per-shard; delete it or choose another --out")
        task = _TokenizeTask(model, codebooks or model.n_codebooks, flat, salvage, batch.force, batch.concurrent_files)
        report = run_batch(task, jobs, replace(batch, concurrent_files=1), inputs, out)
        failed = {failure.path for failure in report.failures}
        kept = {job.members for job in jobs if job.source in failed}  # the same call goes on from there
        for suffix in (_MEMBERS, _LOCK):
            for left in set(out.glob(f".tokens-*{shards.SUFFIX}{suffix}")) - kept:
                left.unlink()
    return report


def _entries(inputs: Inputs, out: Path, rows: Mapping[Path, dict[str, str]]) -> list[_TokenEntry]:
    """Return the audio files in the order of their keys; none if the manifest's rows are all of other files."""
    keyed = unique_jobs(Job(path, out / shards.sample_key(place)) for path, place in name_outputs(inputs.files))
    columns = find_rows([job.source for job in keyed], rows)
    if rows and not columns:
        return []
    keys = {job.target.relative_to(out).as_posix(): job.source for job in keyed}
    return [
        _TokenEntry(source, key, columns.get(source, {}), ReadOnce(source, partial(info, source)))
        for key, source in sorted(keys.items())
    ]


def _shard_jobs(entries: Sequence[_TokenEntry], out: Path, per_shard: int) -> list[_ShardJob]:
    jobs = []
    for first in range(0, len(entries), per_shard):
        shard = out / f"tokens-{first // per_shard:06}{shards.SUFFIX}"
        jobs.append(_ShardJob(shard, shard, tuple(entries[first : first + per_shard])))
    return jobs


def default_per_shard(files: int) -> int:
    """Choose the number of files per shard.

    Args:
        files: number of files in all

    Returns:
        At most :data:`MOST_PER_SHARD`, and a power of two as long as that leaves fewer than :data:`FEWEST_SHARDS`
        shards, so that a few more files change few shards.

    >>> default_per_shard(100), default_per_shard(1_000_000)
    (8, 1000)
    """
    per_shard = 1
    while 2 * per_shard * FEWEST_SHARDS <= files:
        per_shard *= 2
    return min(MOST_PER_SHARD, per_shard)


@dataclass(frozen=True)
class _TokenizeTask(BatchTask[_ShardJob]):
    """Makes one shard; see :class:`codec.batch.task.BatchTask`."""

    model: LoadedModel
    codebooks: int
    flat: bool
    salvage: bool
    force: bool
    concurrent_files: int | None
    verb = "tokens of"

    def describe_result(self, job: _ShardJob) -> str:
        entries = [(entry.key, dict(entry.columns)) for entry in job.entries]
        return f"{self.model.fingerprint} {self.codebooks} {'flat ' * self.flat}{entries}"

    def find_up_to_date(self, job: _ShardJob) -> list[Skipped]:
        keys = {entry.key for entry in job.entries}
        usable = self._usable(job, job.target)
        complete = usable.keys() == _read_samples(job.target).keys() == keys
        return [_skipped(entry, usable[entry.key]) for entry in job.entries] if complete else []

    def can_overwrite(self, job: _ShardJob) -> bool:
        samples = _read_samples(job.target).values()
        return any(isinstance(attempt(sample.name, partial(read_token_info, sample)), TokenInfo) for sample in samples)

    def expected_seconds(self, job: _ShardJob) -> float:
        return sum(map(_entry_seconds, job.entries))

    def __call__(self, job: _ShardJob, progress: Progress) -> list[FileOutcome]:
        with Lock(job.lock).held():
            return self._make(job, progress)

    def _make(self, job: _ShardJob, progress: Progress) -> list[FileOutcome]:
        checked_ns = time.time_ns()  # the samples do not belong to sources that change after this
        samples = {} if self.force else self._usable(job, job.target) | self._usable(job, job.members)
        if not any(sample.path == job.members for sample in samples.values()):
            job.members.unlink(missing_ok=True)  # nothing in it is of use
        outcomes: dict[str, FileOutcome] = {
            entry.key: _skipped(entry, samples[entry.key]) for entry in job.entries if entry.key in samples
        }
        left = [entry for entry in job.entries if entry.key not in samples]
        ended = run_by_length(
            partial(self._encode, job), left, _entry_seconds, self.concurrent_files, lambda _, s: progress(s)
        )
        with shard_writer.Members(job.members) as members, contextlib.closing(ended):
            for entry, made in ended:
                if isinstance(made, Failure):
                    outcomes[entry.key] = made
                else:
                    size = members.append(entry.key, made.codes, made.metadata)
                    outcomes[entry.key] = replace(made.report, bytes_total=size)
                    samples[entry.key] = members.samples[entry.key]
        self._write(job, samples, checked_ns)
        return [outcomes[entry.key] for entry in job.entries]

    def _encode(self, job: _ShardJob, entry: _TokenEntry, progress: Progress) -> Tokens | Failure:
        def encode() -> Tokens:
            try:
                return encode_to_tokens(
                    entry.audio.get(),
                    job.target,
                    self.model,
                    self.codebooks,
                    entry.columns,
                    progress,
                    flat=self.flat,
                    salvage=self.salvage,
                )
            except AudioError as error:
                raise (error if self.salvage else with_advice(error, entry.audio.get())) from error

        return attempt(entry.source, encode)

    def _write(self, job: _ShardJob, samples: Mapping[str, shards.Sample], checked_ns: int) -> None:
        """Write the shard if it changes, and remove the collected arrays."""
        old = _read_samples(job.target)
        if old and not samples:
            job.target.unlink()  # an empty shard has no record of its model, and could not be replaced
        elif samples != old:
            ordered = (samples[entry.key] for entry in job.entries if entry.key in samples)
            shard_writer.write_shard(job.target, ordered, checked_ns)
        job.members.unlink(missing_ok=True)

    def _usable(self, job: _ShardJob, path: Path) -> dict[str, shards.Sample]:
        """Return the samples of a file, by their keys, that are the same as would be written."""
        old = _read_samples(path)
        pairs = [(entry, old[entry.key]) for entry in job.entries if entry.key in old]
        return {
            entry.key: sample
            for entry, sample in pairs
            if attempt(entry.source, partial(self._is_up_to_date, entry, sample)) is True
        }

    def _is_up_to_date(self, entry: _TokenEntry, sample: shards.Sample) -> bool:
        if sample.path.stat().st_mtime < entry.source.stat().st_mtime:
            return False
        metadata = shards.read_metadata(sample)
        settings = token_settings(self.model, self.codebooks, entry.source, entry.columns)
        if {name: metadata.get(name) for name in settings} != settings:
            return False
        if SALVAGED in metadata and not self.salvage:
            return False
        info = read_token_info(sample)
        return read_codes(sample, info, self.model).dtype == DTYPE and info.is_flat == self.flat


def _skipped(entry: _TokenEntry, sample: shards.Sample) -> Skipped:
    salvaged = shards.read_metadata(sample).get(SALVAGED)
    if not salvaged:
        return Skipped(entry.source)
    losses = parse_losses(str(salvaged), entry.audio.get())
    return Skipped(entry.source, losses.spans, losses.cut_off)


def _entry_seconds(entry: _TokenEntry) -> float:
    """Estimate the duration of a file in seconds; 0 if it cannot be read, which is reported when it is encoded."""
    stated = attempt(entry.source, entry.audio.get)
    return expected_seconds(stated) if isinstance(stated, AudioInfo) else 0.0


def _read_samples(path: Path) -> dict[str, shards.Sample]:
    """Return the samples of a shard by their keys; none if it is damaged or missing."""
    found = attempt(path, partial(shards.read_shard, path))
    return {sample.key: sample for sample in found.samples} if isinstance(found, shards.ShardContents) else {}
