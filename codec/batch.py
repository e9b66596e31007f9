"""Many files, coded or decoded one after the other, with a progress bar.

Outputs that are there and good are skipped, so that the same call continues where it was stopped; a file that
fails is reported and does not stop the others.
"""

import functools
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from codec import audio
from codec.bitstream.container import read_header
from codec.checkpoint import fingerprint
from codec.errors import UserError
from codec.files import FileReport, Progress, choose_codebooks, decode_file, encode_file
from codec.model.codec import Codec

NAC = ".nac"
DECODED_SUFFIXES = (".wav", ".flac", ".ogg")


@dataclass(frozen=True)
class Failure:
    path: Path
    reason: str
    """One line; names the path."""


@dataclass(frozen=True)
class BatchReport:
    """What became of each source."""

    reports: list[FileReport]
    failures: list[Failure]
    skipped: list[Path]
    """Sources whose outputs were there already, and good."""


@dataclass(frozen=True)
class Job:
    source: Path
    target: Path


def encode_batch(
    sources: Sequence[Path],
    out: Path,
    codec: Codec,
    *,
    kbps: float | None = None,
    codebooks: int | None = None,
    force: bool = False,
) -> BatchReport:
    """Codes files, and the sound files in folders (the tree is kept), into the folder ``out``.

    An output is skipped if it is newer than its source, complete, of this model and of the bit rate asked
    for, unless ``force``. For ``kbps`` and ``codebooks`` see :func:`codec.files.encode_file`.

    Raises:
        UserError: nothing to do, two sources with one target, ``out`` cannot be made, a wrong bit rate.
    """
    choose_codebooks(codec, 1, kbps=kbps, codebooks=codebooks)
    model = fingerprint(codec)

    def done(job: Job) -> bool:
        head = read_header(job.target)
        wanted = choose_codebooks(codec, head.channels, kbps=kbps, codebooks=codebooks)
        return (head.fingerprint, head.codebooks) == (model, wanted)

    def seconds(job: Job) -> float:
        described = audio.info(job.source)
        return described.frames / described.sample_rate

    def work(job: Job, progress: Progress) -> FileReport:
        return encode_file(
            job.source, job.target, codec, kbps=kbps, codebooks=codebooks, model=model, progress=progress
        )

    jobs = _jobs(sources, out, audio.AUDIO_SUFFIXES, NAC, "sound files")
    return _run("encode", jobs, None if force else done, seconds, work)


def decode_batch(
    sources: Sequence[Path],
    out: Path,
    codec: Codec | Callable[[str], Codec | None],
    *,
    suffix: str = ".wav",
    force: bool = False,
) -> BatchReport:
    """Decodes ``.nac`` files, and those in folders (the tree is kept), into the folder ``out``.

    ``codec``: the model of all files, or what finds it for the fingerprint in a file. ``suffix``: ``wav``, ``flac`` or
    ``ogg``. An output is skipped if it is newer than its source and has its length, rate and channel count, unless
    ``force``.

    Raises:
        UserError: nothing to do, two sources with one target, ``out`` cannot be made, unknown suffix.
    """
    suffix = f".{suffix.lower().lstrip('.')}"
    if suffix not in DECODED_SUFFIXES:
        raise UserError(f"cannot decode to {suffix!r}; use one of {', '.join(DECODED_SUFFIXES)}")
    name = functools.cache(fingerprint)

    def model_for(source: Path) -> Codec:
        if isinstance(codec, Codec):
            return codec
        wanted = read_header(source).fingerprint
        if model := codec(wanted):
            return model
        raise UserError(
            f"{source}: coded with model {wanted}, which is not at hand; pass the run or model that coded it as --model"
        )

    def done(job: Job) -> bool:
        head, found, model = read_header(job.source), audio.info(job.target), model_for(job.source)
        return head.fingerprint in (name(model), *model.decodes) and (
            (head.samples, head.sample_rate, head.channels) == (found.frames, found.sample_rate, found.channels)
        )

    def seconds(job: Job) -> float:
        return read_header(job.source).seconds

    def work(job: Job, progress: Progress) -> FileReport:
        model = model_for(job.source)
        return decode_file(job.source, job.target, model, model=name(model), progress=progress)

    jobs = _jobs(sources, out, {NAC}, suffix, f"{NAC} files")
    return _run("decode", jobs, None if force else done, seconds, work)


def _jobs(sources: Sequence[Path], out: Path, wanted: Collection[str], suffix: str, what: str) -> list[Job]:
    """Files that are named are taken whatever their suffix; in folders, those with a ``wanted`` one."""
    jobs: dict[Path, Job] = {}
    for source in map(Path, sources):
        inside = _files(source, wanted) if source.is_dir() else [source]
        if not inside:
            raise UserError(f"{source}: no {what} in this folder")
        for path in inside:
            relative = path.relative_to(source) if source.is_dir() else Path(path.name)
            job = Job(path, (out / relative).with_suffix(suffix))
            other = jobs.setdefault(job.target, job)
            if other.source.resolve() != path.resolve():
                raise UserError(f"{other.source} and {path} would both become {job.target}; use two --out")
    if not jobs:
        raise UserError(f"no {what} given")
    return list(jobs.values())


def _files(folder: Path, wanted: Collection[str]) -> list[Path]:
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(root) / name for name in sorted(names) if not name.startswith(".")]
    return [path for path in found if path.suffix.lower() in wanted]


def _run(
    verb: str,
    jobs: list[Job],
    done: Callable[[Job], bool] | None,
    seconds: Callable[[Job], float],
    work: Callable[[Job, Progress], FileReport],
) -> BatchReport:
    _make_folders({job.target.parent for job in jobs})
    left = [job for job in jobs if not (done and _is_done(job, done))]
    skipped = sorted({job.source for job in jobs} - {job.source for job in left})
    reports: list[FileReport] = []
    failures: list[Failure] = []
    total = int(sum(_seconds(job, seconds) for job in left))
    layout = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} s [{elapsed}<{remaining}{postfix}]"
    started, heard = time.monotonic(), 0.0
    with tqdm(total=total, bar_format=layout, disable=not left) as bar:

        def progress(more: float) -> None:
            nonlocal heard
            heard += more
            speed = heard / (time.monotonic() - started)
            bar.set_postfix_str(f"{speed:.1f} × real time", refresh=False)
            bar.update(int(heard) - bar.n)

        for number, job in enumerate(left, 1):
            bar.set_description_str(f"{verb} {number}/{len(left)} files")
            try:
                reports.append(work(job, progress))
            except UserError as error:
                failures.append(Failure(job.source, str(error)))
    return BatchReport(reports, failures, skipped)


def _make_folders(folders: set[Path]) -> None:
    for folder in sorted(folders):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot make this folder ({error.strerror})") from error


def _is_done(job: Job, done: Callable[[Job], bool]) -> bool:
    try:
        return job.target.stat().st_mtime >= job.source.stat().st_mtime and done(job)
    except (OSError, UserError):
        return False


def _seconds(job: Job, seconds: Callable[[Job], float]) -> float:
    """For the progress bar alone: what cannot be read counts nothing, and is reported when its turn comes."""
    try:
        return seconds(job)
    except UserError:
        return 0.0
