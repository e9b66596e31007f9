"""Codes for language models: sound files to shards of arrays with metadata, see shards.py and token_arrays.py."""

import contextlib
import csv
import io
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from codec import audio
from codec.audio.bandwidth import AboveBandMeter
from codec.audio.waveform import MAX_CHANNELS, SAMPLE_RATES
from codec.batch.inputs import SOUND, Found, below_common, find, read_text
from codec.batch.jobs import Failure, Job, Kept, named, one_each
from codec.batch.runner import BatchReport, Outcome, attempt, run
from codec.batch.threads import run_in_threads
from codec.coding import shards
from codec.coding.files import FileReport, Progress, choose_codebooks, expected_seconds
from codec.coding.pipeline import encoded
from codec.coding.token_arrays import DTYPE, TokenInfo, read_codes, read_info
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import fingerprint
from codec.runtime.file_lock import exclusive

MOST_PER_SHARD = 1000
FEWEST_SHARDS = 8
"""Where there are as many files: loaders give whole shards to their workers."""


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

    @property
    def members(self) -> Path:
        """Where arrays wait until the shard is whole."""
        return self.target.with_name(f".{self.target.name}{_WAITING}")


_WAITING = ".members"


def encode_tokens(
    sources: Sequence[Path],
    out: Path,
    codec: Codec,
    *,
    lists: Sequence[Path] = (),
    codebooks: int | None = None,
    per_shard: int | None = None,
    manifest: Path | None = None,
    force: bool = False,
    workers: int = 1,
    lanes: int = 1,
) -> BatchReport:
    """Codes sound files into shards ``out/tokens-000000.tar`` and so on; for ``sources`` and ``lists`` see
    :func:`codec.batch.inputs.find`. Without both, the ``manifest`` is the list: all files that it names are taken.

    Files are taken in the order of their keys, ``per_shard`` to a shard (default: :func:`default_per_shard`). What is
    there already, newer than its source, of this model, this number of ``codebooks`` (default: all) and these columns
    of the ``manifest`` is kept, unless ``force``; and without that, no other file than such a shard is replaced.
    ``workers``: processes, each at a shard, which write the same bytes as one. ``lanes``: number of files of a shard
    that are coded :func:`codec.batch.threads.run_in_threads`.

    Raises:
        UserError: nothing to do, two sources with one key, ``out`` cannot be made, holds shards that are not of this
            call or is in use by another process, a manifest that is none or names no source.
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
    per_shard = per_shard or default_per_shard(len(entries))
    jobs: list[Job] = []
    for first in range(0, len(entries), per_shard):
        shard = out / f"tokens-{first // per_shard:06}{shards.SUFFIX}"
        jobs.append(ShardJob(shard, shard, tuple(entries[first : first + per_shard])))
    with exclusive(out):
        others = sorted(set(out.glob(f"tokens-*{shards.SUFFIX}")) - {job.target for job in jobs})
        if others:
            raise UserError(f"{others[0]}: of other files or another --per-shard; delete it or choose another --out")
        batch = run(Tokenising(codec, fingerprint(codec), count, force, lanes), jobs, force, workers)
        for left in out.glob(f".tokens-*{shards.SUFFIX}{_WAITING}"):  # by earlier calls, for shards that are whole now
            left.unlink()
    return batch.with_inputs(found)


def default_per_shard(files: int) -> int:
    """Return the number of files per shard: at most :data:`MOST_PER_SHARD`, and a power of two where that leaves fewer
    than :data:`FEWEST_SHARDS` shards, so that some files more change little."""
    per_shard = 1
    while 2 * per_shard * FEWEST_SHARDS <= files:
        per_shard *= 2
    return min(MOST_PER_SHARD, per_shard)


def read_manifest(path: Path) -> dict[Path, dict[str, str]]:
    """The files that the column ``path`` of a CSV table names, relative to the table's folder, with the other columns.
    Raises :class:`UserError` where it is no such table, or names none."""
    found = {}
    try:
        for row in csv.DictReader(io.StringIO(read_text(path, "manifest"), newline="")):
            if place := row.pop("path"):
                found[path.parent / place] = {name: text or "" for name, text in row.items() if name}
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
    """The task for :class:`ShardJob`; see :mod:`codec.batch.runner`."""

    codec: Codec
    model: str
    codebooks: int
    force: bool
    lanes: int
    verb = "tokens of"

    def kept(self, job: Job) -> list[Kept]:
        assert isinstance(job, ShardJob)
        whole = self._kept(job).keys() == self._old(job.target).keys() == {entry.key for entry in job.entries}
        return [Kept(path) for path in job.sources] if whole else []

    def may_replace(self, job: Job) -> bool:
        assert isinstance(job, ShardJob)
        samples = self._old(job.target).values()
        return any(isinstance(attempt(sample.name, partial(read_info, sample)), TokenInfo) for sample in samples)

    def seconds(self, job: Job) -> float:
        stated = [attempt(source, partial(expected_seconds, source)) for source in job.sources]
        return sum(seconds for seconds in stated if isinstance(seconds, float))

    def __call__(self, job: Job, progress: Progress) -> list[Outcome]:
        assert isinstance(job, ShardJob)
        checked_ns = time.time_ns()  # sources that change from now on are not those of the samples
        samples = {} if self.force else self._kept(job) | self._kept_in(job, job.members)
        if not any(sample.path == job.members for sample in samples.values()):
            job.members.unlink(missing_ok=True)  # nothing of it is of use
        outcomes: dict[str, Outcome] = {entry.key: Kept(entry.source) for entry in job.entries if entry.key in samples}
        left = [entry for entry in job.entries if entry.key not in samples]

        def work(entry: Entry, progress: Progress) -> _Tokens | Failure:
            return attempt(entry.source, partial(self._encode, entry, job.target, progress))

        ended = run_in_threads(work, left, self.lanes, lambda _, seconds: progress(seconds))
        with shards.Members(job.members) as members, contextlib.closing(ended):
            for entry, made in ended:
                if isinstance(made, Failure):
                    outcomes[entry.key] = made
                else:
                    size = members.append(entry.key, made.codes, asdict(made.info))
                    outcomes[entry.key] = replace(made.report, bytes_total=size)
                    samples[entry.key] = members.samples[entry.key]
        old = self._old(job.target)
        if old and not samples:
            job.target.unlink()  # a shard of nothing does not say whose it is, and could not be replaced
        elif samples != old:
            ordered = (samples[entry.key] for entry in job.entries if entry.key in samples)
            shards.write(job.target, ordered, checked_ns)
        job.members.unlink(missing_ok=True)
        return [outcomes[entry.key] for entry in job.entries]

    def _encode(self, entry: Entry, target: Path, progress: Progress) -> "_Tokens":
        started = time.perf_counter()
        described = audio.info(entry.source)
        rate, channels = described.sample_rate, described.channels
        count = too_loud = 0
        band = AboveBandMeter(rate, self.codec.config.sample_rate)
        if channels > MAX_CHANNELS or rate not in SAMPLE_RATES:
            raise UserError(f"{entry.source}: {channels} channels at {rate} Hz are beyond what can be coded")

        def counted() -> Iterable[audio.FloatArray]:
            nonlocal count, too_loud
            for block in described.blocks():
                count += block.shape[1]
                too_loud += audio.count_over_full_scale(block)
                band.push(block)
                yield block
                progress(block.shape[1] / rate)

        parts: list[shards.IntArray] = [
            coded.codes.cpu().numpy().astype(DTYPE)
            for coded in encoded(self.codec, counted(), rate, channels, self.codebooks)
        ]
        codes = shards.ArrayParts([part[0] for part in parts] if channels == 1 else parts)
        info = TokenInfo(
            **self._settled(entry),
            sample_rate=rate,
            channels=channels,
            samples=count,
            seconds=count / rate,
            frames=codes.shape[-1],
            axes=["channels", "quantizers", "frames"][channels == 1 :],
            stereo=self.codec.config.stereo if channels == 2 else None,
        )
        report = FileReport(
            source=entry.source,
            target=target,
            seconds=info.seconds,
            sample_rate=rate,
            channels=channels,
            codebooks=self.codebooks,
            bytes_total=0,
            bytes_payload=codes.nbytes,
            bytes_seconds=info.seconds,
            elapsed_seconds=time.perf_counter() - started,
            too_loud=too_loud,
            above_band=band.share,
            pictures=described.pictures,
        )
        return _Tokens(report, codes, info)

    def _settled(self, entry: Entry) -> dict[str, Any]:
        """What the metadata say before the sound is read."""
        config = self.codec.config
        return {
            "source": str(entry.source),
            "model": self.model,
            "model_rate": config.sample_rate,
            "codebooks": self.codebooks,
            "codebook_size": config.quantizer.size,
            "frames_per_second": config.frame_rate_hz,
            "manifest": dict(entry.columns),
        }

    def _kept(self, job: ShardJob) -> dict[str, shards.Sample]:
        """Samples of the shard as it is that are what would be written, by their keys."""
        return self._kept_in(job, job.target)

    def _kept_in(self, job: ShardJob, path: Path) -> dict[str, shards.Sample]:
        old = self._old(path)
        there = [(entry, old[entry.key]) for entry in job.entries if entry.key in old]
        return {
            entry.key: sample
            for entry, sample in there
            if attempt(entry.source, partial(self._is_good, entry, sample)) is True
        }

    def _is_good(self, entry: Entry, sample: shards.Sample) -> bool:
        if sample.path.stat().st_mtime < entry.source.stat().st_mtime:
            return False
        metadata, settled = shards.read_metadata(sample), self._settled(entry)
        if {name: metadata.get(name) for name in settled} != settled:
            return False
        return read_codes(sample, read_info(sample), self.codec).dtype == DTYPE

    def _old(self, path: Path) -> dict[str, shards.Sample]:
        found = attempt(path, partial(shards.contents, path))
        return {sample.key: sample for sample in found.samples} if isinstance(found, shards.Contents) else {}


@dataclass(frozen=True)
class _Tokens:
    """What one file became."""

    report: FileReport
    """Without the size in the shard."""
    codes: shards.ArrayParts
    info: TokenInfo
