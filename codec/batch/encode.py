"""Many audio files, encoded as ``.nac`` files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from codec import audio
from codec.batch.inputs import AUDIO_FILES, NAC, find_inputs
from codec.batch.jobs import BatchOptions, Job, name_outputs, names_file, unique_jobs, with_target
from codec.batch.progress import expected_seconds
from codec.batch.report import BatchReport, Skipped
from codec.batch.runner import run_batch
from codec.batch.task import BatchTask
from codec.bitstream.framing import short_frames
from codec.bitstream.header import Header, is_fingerprint_of
from codec.bitstream.pictures import fit_pictures
from codec.bitstream.reader import PacketReader, peek_header, read_nac_header
from codec.bitstream.tags import change_tags
from codec.coding.bit_rate import check_options, choose_codebooks, describe_unreachable_rate
from codec.coding.files import encode_file
from codec.coding.options import CodingOptions
from codec.coding.report import FileReport, Progress
from codec.coding.salvage import SALVAGED, parse_losses, with_advice
from codec.errors import UserError
from codec.runtime.read_once import ReadOnce

if TYPE_CHECKING:
    from codec.pretrained.loaded_model import LoadedModel


def encode_batch(
    sources: Sequence[Path],
    out: Path,
    model: LoadedModel,
    options: CodingOptions = CodingOptions(),
    batch: BatchOptions = BatchOptions(),
    *,
    lists: Sequence[Path] = (),
    note: Callable[[str], None] | None = None,
) -> BatchReport:
    """Encode audio files into a folder, or a single one to a file.

    An output is skipped if it is newer than its source, complete, of this model, and has the bit rate, the tags and
    the pictures asked for. Unless ``batch.force``, an existing file is replaced only if it is a ``.nac`` file with the
    length, sample rate and channel count of the source, and the source was not itself decoded from codes.

    Args:
        sources: files, folders and patterns, see :func:`codec.batch.inputs.find_inputs`
        out: the folder, or a file if it ends in ``.nac`` and is no folder
        model: encodes
        options: bit rate or number of codebooks, and further tags
        batch: overwriting and concurrency
        lists: text files that name further sources
        note: receives a sentence before work begins if the model does not have the bit rate

    Returns:
        The outcome of each source.

    Raises:
        UserError: nothing to do, two sources with one target, several for one file, ``out`` cannot be made, or options
            that the model does not have.
    """
    check_options(model, options)
    if names_file(out, audio.AUDIO_SUFFIXES):
        raise UserError(f"{out}: encode writes {NAC} files; name one of these, or a folder, as --out")
    inputs = find_inputs(sources, AUDIO_FILES, lists)
    jobs = unique_jobs(
        _EncodeJob(path, out / place.with_name(place.name + NAC), ReadOnce(path, partial(audio.info, path)))
        for path, place in name_outputs(inputs.files)
    )
    one_file = names_file(out, {NAC})
    jobs = with_target(jobs, out) if one_file else jobs
    return run_batch(_EncodeTask(model, options), jobs, batch, inputs, out.parent if one_file else out, note)


@dataclass(frozen=True, eq=False)
class _EncodeJob(Job):
    """An audio file that becomes a ``.nac`` file."""

    audio: ReadOnce[audio.AudioInfo] = field(compare=False)
    """The description of the file."""


@dataclass(frozen=True)
class _EncodeTask(BatchTask[_EncodeJob]):
    """Encodes one file; see :class:`codec.batch.task.BatchTask`."""

    model: LoadedModel
    options: CodingOptions
    verb = "encode"

    def describe_result(self, job: _EncodeJob) -> str:
        return f"{self.model.fingerprint} {self.options}"

    def find_up_to_date(self, job: _EncodeJob) -> list[Skipped]:
        with PacketReader(job.target) as reader:
            reader.check()
            head, tags, has_pictures = reader.header, reader.tags, bool(reader.pictures)
        # pictures may have been added since
        pictures = self.options.pictures if has_pictures else not (self.options.pictures and self._pictures(job))
        wanted = choose_codebooks(self.model, head.channels, self.options)
        same = (
            change_tags(tags, self.options.tags) == tags
            and is_fingerprint_of(head.fingerprint, [self.model.fingerprint])
            and (head.codebooks, head.target_bps) == (wanted, self.options.target_bps)
            and _has_packets(head, self.options.packet_frames(self.model.frame_rate_hz))
            and pictures
            and _may_be_of(head, job.audio.get(), self.options.salvage)
        )
        if not same or (SALVAGED in tags and not self.options.salvage):
            return []
        if SALVAGED not in tags:
            return [Skipped(job.source)]
        losses = parse_losses(tags[SALVAGED], job.audio.get())
        return [Skipped(job.source, losses.spans, losses.cut_off)]

    def _pictures(self, job: _EncodeJob) -> bool:
        """Return whether the source has pictures that fit."""
        return bool(fit_pictures(job.audio.get().read_pictures()))

    def can_overwrite(self, job: _EncodeJob) -> bool:
        info = job.audio.get()
        try:
            head: Header | None = read_nac_header(job.target, whole=False)
        except UserError:
            head = peek_header(job.target)
        salvage = self.options.salvage
        if head is None or info.decoded:
            return False
        try:
            return _may_be_of(head, info, salvage) and has_length(info, head.samples, salvage)
        except audio.AudioError as error:
            raise (error if salvage else with_advice(error, info)) from error

    def expected_seconds(self, job: _EncodeJob) -> float:
        return expected_seconds(job.audio.get())

    def describe_limit(self, job: _EncodeJob) -> str | None:
        if self.options.kbps is None:
            return None
        return describe_unreachable_rate(self.model, self.options.kbps, job.audio.get().channels)

    def __call__(self, job: _EncodeJob, progress: Progress) -> FileReport:
        try:
            return encode_file(job.audio.get(), job.target, self.model, self.options, progress=progress)
        except audio.AudioError as error:
            raise (error if self.options.salvage else with_advice(error, job.audio.get())) from error


def _has_packets(head: Header, frames: int) -> bool:
    """Return whether a file has packets of a number of frames, or was short before it got tags, and so has one."""
    was_short = head.packet_frames == head.frames <= short_frames(frames)
    return head.short or head.packet_frames == frames or was_short


def _may_be_of(head: Header, source: audio.AudioInfo, salvage: bool) -> bool:
    """Return whether a file with this header can be that of the source.

    The header holds the length that was read. If the source has no length in its header, any is possible; if it has
    another one, its samples are counted, since its header may be wrong.
    """
    if (head.sample_rate, head.channels) != (source.sample_rate, source.channels):
        return False
    return source.frames is None or has_length(source, head.samples, salvage)


def has_length(source: audio.AudioInfo, samples: int, salvage: bool = False) -> bool:
    """Check the length of an audio file, by its header, otherwise by reading it.

    Args:
        source: description of the file
        samples: expected number per channel
        salvage: count what :meth:`codec.audio.AudioInfo.salvaged_blocks` gives instead of raising an error

    Returns:
        Whether it has this length.

    Raises:
        AudioError: it cannot be read.
    """
    blocks = source.salvaged_blocks() if salvage else source.blocks()
    return source.frames == samples or sum(block.shape[1] for block in blocks) == samples
