"""Many ``.nac`` files, and arrays of tokens, decoded to audio files."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from codec import audio
from codec.batch.encode import has_length
from codec.batch.inputs import NAC, FileKinds, find_inputs
from codec.batch.jobs import BatchOptions, Job, name_outputs, names_file, unique_jobs, with_target
from codec.batch.report import BatchReport, Failure, Skipped
from codec.batch.runner import run_batch
from codec.batch.task import BatchTask, attempt
from codec.bitstream.header import Header, is_fingerprint_of
from codec.bitstream.loss_concealment import find_losses
from codec.bitstream.reader import PacketReader, read_nac_header
from codec.coding import shards
from codec.coding.files import decode_file, sample_range
from codec.coding.nac_reader import FindModel, resolve_model
from codec.coding.options import DecodingOptions
from codec.coding.report import FileReport, Progress
from codec.coding.token_arrays import TokenInfo, describe_bare_array, read_token_info
from codec.coding.token_decoding import decode_tokens
from codec.errors import UserError
from codec.pretrained.loaded_model import LoadedModel
from codec.runtime.read_once import ReadOnce

ARRAY_FILE = f".{shards.ARRAY}"
CODED_FILES = FileKinds(
    f"{NAC} files or codes (.tar, .npy)",
    {NAC, shards.SUFFIX, ARRAY_FILE},
    companions=tuple(f"*{suffix}" for suffix in audio.AUDIO_SUFFIXES),
)
"""Files that are decoded. Sources and earlier outputs may be in the same folders."""
SUBTYPES: dict[str, dict[str, str]] = {
    ".wav": {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"},
    ".flac": {"16": "PCM_16", "24": "PCM_24"},
    ".ogg": {},
}
"""Formats of the outputs by suffix, and the sample formats of each by their bits, the default first. Ogg Vorbis has
none."""


def decode_batch(
    sources: Sequence[Path],
    out: Path,
    model: LoadedModel | FindModel,
    options: DecodingOptions = DecodingOptions(),
    batch: BatchOptions = BatchOptions(),
    *,
    lists: Sequence[Path] = (),
    suffix: str | None = None,
    bits: str | None = None,
) -> BatchReport:
    """Decode ``.nac`` files, and shards of tokens, into a folder, or a single one to a file.

    An output is skipped if it is newer than its source and has its length, sample rate, channel count and these bits.
    An existing file that was not decoded from codes is not replaced, which is a failure. Neither holds with
    ``batch.force``; outputs are never skipped if only a part is decoded or damage is an error.

    Args:
        sources: files, folders and patterns, see :func:`codec.batch.inputs.find_inputs`
        out: the folder, or a file if it has the suffix of an audio file and is no folder
        model: decodes all files, or a function that finds the model for the fingerprint in a file
        options: part to decode, and whether damage is an error; its ``subtype`` is not used
        batch: overwriting and concurrency
        lists: text files that name further sources
        suffix: ``wav``, ``flac`` or ``ogg`` (default: that of the file ``out``, otherwise ``wav``)
        bits: bits per sample, see :data:`SUBTYPES`

    Returns:
        The outcome of each source.

    Raises:
        UserError: nothing to do, two sources with one target, several for one file, ``out`` cannot be made, an unknown
            suffix or one that contradicts that of ``out``, or bits that its format cannot hold.
    """
    one_file = names_file(out, audio.AUDIO_SUFFIXES)
    suffix = f".{suffix.lower().lstrip('.')}" if suffix else out.suffix.lower() if one_file else ".wav"
    if one_file and suffix != out.suffix.lower():
        raise UserError(f"{out}: --suffix {suffix} contradicts this name; give one of the two, or a folder as --out")
    options = replace(options, subtype=_subtype(suffix, bits))
    inputs = find_inputs(sources, CODED_FILES, lists)
    jobs: list[DecodeJob] = []
    for path, place in name_outputs(inputs.files):
        target = out / place.with_name(place.name + suffix)
        if path.suffix.lower() == shards.SUFFIX:
            arrays, failures = token_jobs(path, target.parent, suffix)
            jobs += arrays
            inputs.failures.extend(failures)
        elif path.suffix.lower() == ARRAY_FILE:
            sample = attempt(path, partial(shards.array_file, path))
            if isinstance(sample, Failure):
                inputs.failures.append(sample)
            else:
                jobs.append(_array_job(sample, target))
        else:
            jobs.append(DecodeJob(path, target, ReadOnce(path, partial(read_nac_header, path, whole=False))))
    jobs = with_target(unique_jobs(jobs), out) if one_file else unique_jobs(jobs)
    return run_batch(_DecodeTask(model, options), jobs, batch, inputs, out.parent if one_file else out)


def _subtype(suffix: str, bits: str | None) -> str:
    if suffix not in SUBTYPES:
        raise UserError(f"cannot decode to {suffix!r}; use one of {', '.join(SUBTYPES)}")
    available = SUBTYPES[suffix]
    if bits is None:
        return next(iter(available.values()), "VORBIS")
    if bits not in available:
        fitting = [other for other, widths in SUBTYPES.items() if bits in widths]
        raise UserError(f"{suffix} cannot hold samples of {bits} bits; use --suffix {' or '.join(fitting)}")
    return available[bits]


@dataclass(frozen=True)
class DecodeJob(Job):
    """A ``.nac`` file, or an array of a shard, that becomes an audio file."""

    stated: ReadOnce[Header] | ReadOnce[TokenInfo] | None = field(compare=False)
    """Header of the coded file; None for codes without metadata."""
    sample: shards.Sample | None = None
    """The array, unless the source is a ``.nac`` file."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The coded file, or the shard."""
        return (self.source if self.sample is None else self.sample.path,)


def token_jobs(shard: Path, out: Path, suffix: str) -> tuple[list[DecodeJob], list[Failure]]:
    """Make a job for each array in a shard.

    Args:
        shard: the tar file
        out: folder of the outputs
        suffix: suffix of the outputs

    Returns:
        The jobs, and a failure if the shard is damaged.
    """
    found = attempt(shard, partial(shards.read_shard, shard))
    if isinstance(found, Failure):
        return [], [found]
    jobs = []
    for sample in found.samples:
        path = shards.key_path(sample.key)
        target = out / path.with_name(path.name + suffix)
        jobs.append(_array_job(sample, target))
    return jobs, [Failure(shard, found.fault)] if found.fault else []


def _array_job(sample: shards.Sample, target: Path) -> DecodeJob:
    stated = None if sample.bare else ReadOnce(sample.path, partial(read_token_info, sample))
    return DecodeJob(sample.name, target, stated, sample)


@dataclass(frozen=True)
class _DecodeTask(BatchTask[DecodeJob]):
    """Decodes one file; see :class:`codec.batch.task.BatchTask`."""

    model: LoadedModel | FindModel
    options: DecodingOptions
    verb = "decode"

    def describe_result(self, job: DecodeJob) -> str | None:
        if self.options.strict or not self.options.is_whole:
            return None  # as in find_up_to_date
        named = self.model.fingerprint if isinstance(self.model, LoadedModel) else "the model that the file names"
        return f"{named} {self.options}"

    def _model_for(self, job: DecodeJob) -> LoadedModel:
        if job.stated:
            return resolve_model(self.model, job.stated.get().fingerprint, job.source)
        if not isinstance(self.model, LoadedModel):
            raise UserError(f"{job.source}: these codes do not name their model; give it with --model")
        return self.model

    def _stated(self, job: DecodeJob) -> Header | TokenInfo:
        if job.sample and job.sample.bare:
            return describe_bare_array(job.sample, self._model_for(job))
        assert job.stated
        return job.stated.get()

    def find_up_to_date(self, job: DecodeJob) -> list[Skipped]:
        if self.options.strict or not self.options.is_whole:
            return []  # an audio file has no record of its part of the source or of concealed damage
        head, found, model = self._stated(job), audio.info(job.target), self._model_for(job)
        same = (
            is_fingerprint_of(head.fingerprint, model.compatible_fingerprints)
            and (head.sample_rate, head.channels) == (found.sample_rate, found.channels)
            and found.subtype == self.options.subtype
            and found.decoded
            and has_length(found, head.samples)
        )
        if not same or job.sample:
            return [Skipped(job.source)] if same else []
        with PacketReader(job.source) as reader:
            lost, tags_damaged = find_losses(reader, model.config.hop), reader.tags_damaged
        return [Skipped(job.source, lost.spans, lost.cut_off, tags_damaged)]

    def can_overwrite(self, job: DecodeJob) -> bool:
        self._model_for(job)
        with contextlib.suppress(UserError):
            return audio.info(job.target).decoded
        return False

    def expected_seconds(self, job: DecodeJob) -> float:
        head = self._stated(job)
        first, stop = sample_range(job.source, head, self.options.start, self.options.end)
        return (stop - first) / head.sample_rate

    def __call__(self, job: DecodeJob, progress: Progress) -> FileReport:
        model = self._model_for(job)
        if job.sample:
            return decode_tokens(job.sample, job.target, model, self.options, progress=progress)
        return decode_file(job.source, job.target, model, self.options, progress=progress)
