"""Many files, coded or decoded: what is done with each, and when its output is good already; see running.py."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from threading import Lock

from codec import audio
from codec.batch.inputs import SOUND, Kinds, find
from codec.batch.jobs import Job, Kept, into_file, is_file, named, one_each, plan
from codec.batch.runner import BatchReport, run
from codec.bitstream.header import Header
from codec.bitstream.loss_concealment import find_losses
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.reader import PacketReader, read_header
from codec.coding.files import (
    FileReport,
    Progress,
    choose_codebooks,
    decode_file,
    encode_file,
    expected_kbps,
    expected_seconds,
    part,
    target_bps,
)
from codec.coding.nac_reader import ModelFinder, model_for, range_coder
from codec.coding.shards import SUFFIX as SHARD
from codec.coding.token_arrays import TokenInfo, read_info
from codec.coding.token_decoding import TokenJob, decode_tokens, token_jobs
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import fingerprint

NAC = ".nac"
CODED = Kinds(
    f"{NAC} files or shards of tokens", {NAC, SHARD}, companions=tuple(f"*{suffix}" for suffix in audio.AUDIO_SUFFIXES)
)
"""What is decoded. Sources and earlier outputs may lie beside it."""
SUBTYPES: dict[str, dict[str, str]] = {
    ".wav": {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"},
    ".flac": {"16": "PCM_16", "24": "PCM_24"},
    ".ogg": {},
}
"""What can be decoded to, and with which bits per sample; the first is the usual one. Ogg Vorbis has none."""


def encode_batch(
    sources: Sequence[Path],
    out: Path,
    codec: Codec,
    *,
    lists: Sequence[Path] = (),
    kbps: float | None = None,
    codebooks: int | None = None,
    tags: Mapping[str, str] | None = None,
    force: bool = False,
    workers: int = 1,
    lanes: int = 1,
    note: Callable[[str], None] | None = None,
) -> BatchReport:
    """Codes sound files into the folder ``out``, or one sound file as ``out``, where that ends in ``.nac`` and is no
    folder; for ``sources`` and ``lists`` see :func:`codec.batch.inputs.find`.

    An output is skipped if it is newer than its source, complete, of this model and of the bit rate and with the tags
    asked for, unless ``force``. Without that, it is a failure where a file would be replaced that is no ``.nac`` file
    of a sound with the source's length, rate and channel count, or that the source may have been decoded from. For
    ``kbps``, ``codebooks`` and ``tags`` see :func:`codec.coding.files.encode_file`. More than one of ``workers`` are
    processes with one thread each, and write the same bytes. Without these, the blocks of ``lanes`` files are computed
    together, which a GPU needs; on a CPU, the bytes are the same. ``note`` is told beforehand, in a line, where the bit
    rate is not one that the model has.

    Raises:
        UserError: nothing to do, two sources with one target, several for one file, ``out`` cannot be made, a wrong
            bit rate.
    """
    choose_codebooks(codec, 1, kbps=kbps, codebooks=codebooks)
    if is_file(out, audio.AUDIO_SUFFIXES):
        raise UserError(f"{out}: encode writes {NAC} files; name one of these, or a folder, as --out")
    found = find(sources, SOUND, lists)
    jobs = plan(found.files, out, NAC)
    jobs = into_file(jobs, out) if is_file(out, {NAC}) else jobs
    if note and kbps is not None and (said := _beyond(codec, kbps, jobs)):
        note(said)
    batch = run(Encoding(_Model(codec), kbps, codebooks, dict(tags or {})), jobs, force, workers, lanes)
    return batch.with_inputs(found)


def decode_batch(
    sources: Sequence[Path],
    out: Path,
    codec: Codec | ModelFinder,
    *,
    lists: Sequence[Path] = (),
    start: float = 0.0,
    end: float | None = None,
    strict: bool = False,
    suffix: str | None = None,
    bits: str | None = None,
    force: bool = False,
    workers: int = 1,
    lanes: int = 1,
) -> BatchReport:
    """Decodes ``.nac`` files, and shards of tokens, into the folder ``out``, or a single sound as ``out``, where that
    has the suffix of a sound file and is no folder; for ``sources`` and ``lists`` see :func:`codec.batch.inputs.find`.

    ``codec``: the model of all files, or what finds it for the fingerprint in a file. ``suffix``: ``wav``, ``flac`` or
    ``ogg``, by default that of the file ``out``, else ``wav``; ``bits``: of a sample, see :data:`SUBTYPES`. For
    ``start``, ``end`` and ``strict`` see :func:`codec.coding.files.decode_file`. Unless one of these is given, or
    ``force``,
    an output is skipped if it is newer than its source and has its length, rate and channel count and these bits; and a
    file that was not decoded is not replaced, which is a failure. ``workers``, ``lanes``: see :func:`encode_batch`.

    Raises:
        UserError: nothing to do, two sources with one target, several for one file, ``out`` cannot be made, unknown
            suffix, or one that contradicts that of ``out``, bits that its format cannot hold.
    """
    one_file = is_file(out, audio.AUDIO_SUFFIXES)
    suffix = f".{suffix.lower().lstrip('.')}" if suffix else out.suffix.lower() if one_file else ".wav"
    if one_file and suffix != out.suffix.lower():
        raise UserError(f"{out}: --suffix {suffix} contradicts this name; give one of both, or a folder as --out")
    subtype = _subtype(suffix, bits)
    jobs: list[Job] = []
    found = find(sources, CODED, lists)
    for path, place in named(found.files):
        shard, target = path.suffix.lower() == SHARD, out / place.with_name(place.name + suffix)
        if shard:
            arrays, failures = token_jobs(path, target.parent, suffix)
            jobs += arrays
            found.failures.extend(failures)
        else:
            jobs.append(Job(path, target))
    jobs = into_file(one_each(jobs), out) if one_file else one_each(jobs)
    return run(Decoding(codec, subtype, start, end, strict), jobs, force, workers, lanes).with_inputs(found)


def _beyond(codec: Codec, kbps: float, jobs: Sequence[Job]) -> str | None:
    """That the model does not have this bit rate, and what comes of it, where that is so of one of the files."""
    rates = cache(partial(expected_kbps, codec))
    for job in jobs:
        with contextlib.suppress(UserError):  # such a file is told of in its turn
            channels = audio.info(job.source).channels
            least, most = rates(channels)[0], rates(channels)[-1]
            has = f"{least:.2g} to {most:.2g} kbit/s for {channels} channel{'s' if channels > 1 else ''}"
            if kbps > most:
                return f"has {has}; where --kbps {kbps:g} is above that, files get all codes"
            if kbps < least:
                fewer = codec.config.quantizer.contexts > 1
                what = "frames are left without codes" if fewer else "all frames get one code"
                return f"has {has}; where --kbps {kbps:g} is below that, {what}"
    return None


def _subtype(suffix: str, bits: str | None) -> str:
    if suffix not in SUBTYPES:
        raise UserError(f"cannot decode to {suffix!r}; use one of {', '.join(SUBTYPES)}")
    held = SUBTYPES[suffix]
    if bits is None:
        return next(iter(held.values()), "VORBIS")
    if bits not in held:
        fitting = [other for other, widths in SUBTYPES.items() if bits in widths]
        raise UserError(f"{suffix} cannot hold samples of {bits} bits; use --suffix {' or '.join(fitting)}")
    return held[bits]


_MAKING = Lock()


class _Model:
    """A codec, and what follows from it once, not once a file; nor once a thread."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec

    @property
    def fingerprint(self) -> str:
        with _MAKING:
            return self._fingerprint

    @property
    def coder(self) -> RangeCoder:
        with _MAKING:
            return self._coder

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.codec)

    @cached_property
    def _coder(self) -> RangeCoder:
        """Cannot be pickled, unlike the rest: made where it is used."""
        return range_coder(self.codec)


@dataclass(frozen=True)
class Encoding:
    model: _Model
    kbps: float | None
    codebooks: int | None
    tags: dict[str, str]
    verb = "encode"

    def kept(self, job: Job) -> list[Kept]:
        with PacketReader(job.target) as reader:
            reader.check()
            head, tags = reader.header, reader.tags
        wanted = choose_codebooks(self.model.codec, head.channels, kbps=self.kbps, codebooks=self.codebooks)
        coded = head.fingerprint, head.codebooks, head.target_bps
        good = (
            self.tags.items() <= tags.items()
            and coded == (self.model.fingerprint, wanted, target_bps(self.kbps))
            and _is_of(head, audio.info(job.source))
        )
        return [Kept(job.source)] if good else []

    def may_replace(self, job: Job) -> bool:
        source = audio.info(job.source)
        try:
            head = read_header(job.target, whole=False)
        except UserError:
            return False
        return not source.decoded and _is_of(head, source) and _has_length(source, head.samples)

    def seconds(self, job: Job) -> float:
        return expected_seconds(job.source)

    def __call__(self, job: Job, progress: Progress) -> FileReport:
        return encode_file(
            job.source,
            job.target,
            self.model.codec,
            kbps=self.kbps,
            codebooks=self.codebooks,
            tags=self.tags,
            model=self.model.fingerprint,
            coder=self.model.coder,
            progress=progress,
        )


@dataclass(frozen=True)
class Decoding:
    codec: Codec | ModelFinder
    subtype: str
    start: float
    end: float | None
    strict: bool
    models: dict[Codec, _Model] = field(default_factory=dict)
    verb = "decode"

    def model_for(self, job: Job, wanted: str) -> _Model:
        found = model_for(self.codec, wanted, job.source)
        return self.models.setdefault(found, _Model(found))

    def kept(self, job: Job) -> list[Kept]:
        if self.strict or self.start or self.end is not None:
            return []  # the sound there does not say which part it is, nor what was concealed
        head, found = described(job), audio.info(job.target)
        model = self.model_for(job, head.fingerprint)
        good = (
            head.fingerprint in (model.fingerprint, *model.codec.decodes)
            and (head.sample_rate, head.channels) == (found.sample_rate, found.channels)
            and found.subtype == self.subtype
            and found.decoded
            and _has_length(found, head.samples)
        )
        if not good or isinstance(job, TokenJob):
            return [Kept(job.source)] if good else []
        with PacketReader(job.source) as reader:
            lost = find_losses(reader, model.codec.config.hop)
        return [Kept(job.source, lost.spans, lost.cut_off)]

    def may_replace(self, job: Job) -> bool:
        self.model_for(job, described(job).fingerprint)
        with contextlib.suppress(UserError):
            return audio.info(job.target).decoded
        return False

    def seconds(self, job: Job) -> float:
        head = described(job)
        first, stop = part(job.source, head, self.start, self.end)
        return (stop - first) / head.sample_rate

    def __call__(self, job: Job, progress: Progress) -> FileReport:
        model = self.model_for(job, described(job).fingerprint)
        if isinstance(job, TokenJob):
            return decode_tokens(
                job,
                model.codec,
                start=self.start,
                end=self.end,
                model=model.fingerprint,
                subtype=self.subtype,
                progress=progress,
            )
        return decode_file(
            job.source,
            job.target,
            model.codec,
            start=self.start,
            end=self.end,
            strict=self.strict,
            subtype=self.subtype,
            model=model.fingerprint,
            coder=model.coder,
            progress=progress,
        )


def _is_of(head: Header, source: audio.AudioInfo) -> bool:
    """Return whether a file with this header can be that of the source.

    The header holds the length that was read. Where the source states none, any is possible; where it states another
    one, its samples are counted, for that is a claim as well.
    """
    if (head.sample_rate, head.channels) != (source.sample_rate, source.channels):
        return False
    return source.frames is None or _has_length(source, head.samples)


def _has_length(described: audio.AudioInfo, samples: int) -> bool:
    """Return whether a file holds ``samples`` per channel: by what it states, else by reading it."""
    return described.frames == samples or sum(block.shape[1] for block in described.blocks()) == samples


def described(job: Job) -> Header | TokenInfo:
    """What is to be decoded, as it says itself. Raises :class:`UserError` where it is none of both."""
    if isinstance(job, TokenJob):
        return read_info(job.sample)
    return read_header(job.source, whole=False)
