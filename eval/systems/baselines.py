"""The systems that a model is compared with, on the same clips: more of its operating points, other models, Opus, MP3
and AAC, audio decoded by other codecs outside this evaluation, and the original audio.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from codec.dataset.clips import Clip
from codec.dataset.packed_split import PackedSplit
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_codec
from eval.systems.conventional import (
    AAC,
    MP3,
    OPUS,
    ConventionalCodec,
    UnavailableError,
    check_rates,
    code_conventionally,
    describe_setting,
)
from eval.systems.external_decodes import ExternalDecode, check_folders, describe_polarity, find_decodes
from eval.systems.operating_point import OperatingPoint
from eval.systems.own import CodedClip, code_clips
from eval.systems.system import System

ORIGINAL = System("Original", "not coded", "original")
"""The audio before coding, for metrics that do not compare with it."""


@dataclass(frozen=True)
class ReferenceSystems:
    """Systems that a model is compared with."""

    models: Sequence[Path] = ()
    """Folders of other runs or models at the same sample rate; they code at the same operating points."""
    opus: Sequence[float] = ()
    """Bit rates of Opus, in kbit/s over all channels."""
    mp3: Sequence[float] = ()
    """Bit rates of MP3."""
    aac: Sequence[float] = ()
    """Bit rates of AAC."""
    decoded: Mapping[str, Path] = field(default_factory=dict)
    """Name of a codec to the folder of its decoded files, see :mod:`eval.systems.external_decodes`."""

    @property
    def conventional(self) -> list[tuple[ConventionalCodec, float]]:
        """Each conventional codec with each of its bit rates."""
        return [(codec, kbps) for codec, rates in self._rates for kbps in rates]

    @property
    def _rates(self) -> list[tuple[ConventionalCodec, Sequence[float]]]:
        return [(OPUS, self.opus), (MP3, self.mp3), (AAC, self.aac)]

    def check(self) -> None:
        """Check bit rates and folders.

        Raises:
            UserError: a number is no possible bit rate, or a folder holds no decoded audio.
        """
        for _, rates in self._rates:
            check_rates(rates)
        check_folders(self.decoded)

    def words(self) -> list[str]:
        """Return the options of ``codec evaluate`` that name these systems.

        Returns:
            The words of the command line.
        """
        words = ["--beside", *map(str, self.models)] if self.models else []
        for codec, rates in self._rates:
            words += [f"--{codec.name.lower()}", *(f"{rate:g}" for rate in rates)] if rates else []
        for name, folder in self.decoded.items():
            words += ["--decoded", f"{name}={folder}"]
        return words


@dataclass(frozen=True)
class CodedSystem:
    """The clips coded by one system."""

    system: System
    coded: list[CodedClip]
    """The same clips, in the same order, for each system."""
    note: str = ""
    """What its name does not say: its edition, or a deviation from the operating point."""
    metrics: Collection[str] | None = None
    """Names of the metrics that are measured; None: all."""


def name_models(run: Path, codec: Codec, references: ReferenceSystems) -> dict[str, Codec]:
    """Load the models to be evaluated, by the names of their folders.

    Args:
        run: folder of the model that the report is about.
        codec: that model.
        references: the other systems.

    Returns:
        Name to model, ``codec`` first. The names are the whole paths if folders of two models have the same name.

    Raises:
        UserError: a model is missing or codes at another sample rate, or two systems have the same name.
    """
    paths = [run, *references.models]
    codecs = [codec, *(load_codec(path) for path in references.models)]
    names = [path.resolve().name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    every = [*names, *references.decoded, *{entry.name for entry, _ in references.conventional}, ORIGINAL.name]
    if twice := next((name for name in every if every.count(name) > 1), None):
        raise UserError(f"two of the codecs to evaluate are called {twice}")
    rate = codec.config.sample_rate
    for name, other in zip(names, codecs):
        if other.config.sample_rate != rate:
            raise UserError(f"{name}: its sample rate is {other.config.sample_rate} Hz, not {rate} Hz as of {names[0]}")
    return dict(zip(names, codecs))


def find_external_decodes(
    references: ReferenceSystems,
    clips: Sequence[Clip],
    indices: Sequence[int],
    sample_rate: int,
    channels: int,
    work: Path,
) -> dict[str, list[ExternalDecode]]:
    """Find and convert the clips decoded by other codecs.

    Args:
        references: systems with the folders of decoded files.
        clips: all clips of the split.
        indices: indices of the clips to find.
        sample_rate: sample rate of the packed clips, in Hz.
        channels: number of channels of the packed clips.
        work: folder for the converted files.

    Returns:
        Name of the codec to its decoded files, in the order of ``indices``.

    Raises:
        UserError: see :func:`eval.systems.external_decodes.find_decodes`.
    """
    return {
        name: find_decodes(folder, clips, indices, sample_rate, channels, work / f"decoded-{number}")
        for number, (name, folder) in enumerate(references.decoded.items())
    }


def code_models(
    models: Mapping[str, Codec],
    points: Sequence[OperatingPoint],
    split: PackedSplit,
    indices: Sequence[int],
    originals: Path,
    work: Path,
) -> list[CodedSystem]:
    """Code the clips with every model at every operating point, except for the first model at the first point.

    Args:
        models: name to model, the model of the report first.
        points: the operating points.
        split: the clips.
        indices: indices of the clips to code.
        originals: folder of their sound files.
        work: folder for coded and decoded files.

    Returns:
        The systems, model by model.
    """
    main, found = next(iter(models)), []
    for order, (name, codec) in enumerate(models.items()):
        for number, point in enumerate(points):
            if order or number:
                system = System(point.name(name), str(point), "model")
                folder = work / f"model-{order}-{number}"
                coded = code_clips(split, indices, codec, originals, folder, point, system.label(main))
                found.append(CodedSystem(system, coded))
    return found


def code_references(
    references: ReferenceSystems,
    coded: Sequence[CodedClip],
    external: Mapping[str, Sequence[ExternalDecode]],
    work: Path,
) -> tuple[list[CodedSystem], dict[str, str]]:
    """Code the clips with the conventional codecs, and add the clips decoded by external codecs.

    Args:
        references: the conventional codecs.
        coded: the clips coded by the model.
        external: name of a codec to its decoded files of the same clips.
        work: folder for the decoded files.

    Returns:
        The systems; and the label of each conventional codec that is unavailable, with the reason.
    """
    systems, absent = [], {}
    for number, (codec, kbps) in enumerate(references.conventional):
        system = System(codec.name, f"{kbps:g} kbps", "conventional")
        try:
            clips = code_conventionally(codec, kbps, coded, work / f"conventional-{number}")
            systems.append(CodedSystem(system, clips, describe_setting(codec, kbps, coded)))
        except UnavailableError as reason:
            absent[f"{codec.name} {kbps:g}"] = str(reason)
    for name, found in external.items():
        made = [
            replace(entry, decoded=other.decoded, bytes=other.bytes, encode_s=0.0, decode_s=0.0)
            for entry, other in zip(coded, found)
        ]
        systems.append(CodedSystem(System(name, "as supplied", "external"), made, describe_polarity(found)))
    return systems, absent


def take_original(coded: Sequence[CodedClip], metrics: Collection[str]) -> CodedSystem:
    """Take the original audio for a system, as if it were decoded.

    Args:
        coded: the clips coded by the model.
        metrics: names of the metrics that are measured on it.

    Returns:
        The system.
    """
    clips = [replace(entry, decoded=entry.original, bytes=None, encode_s=0.0, decode_s=0.0) for entry in coded]
    return CodedSystem(ORIGINAL, clips, ORIGINAL.point, metrics)
