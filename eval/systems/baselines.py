"""What is judged beside a model on the same clips: more of its operating points, other models, Opus, MP3 and AAC, and
what other codecs made of the clips elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from codec.dataset.packed import Clip, PackedSplit
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_codec
from eval.systems.conventional import AAC, MP3, OPUS, Lossy, Refused, check_rates, lossy_clips, lossy_note
from eval.systems.external_decodes import ExternalDecode, check_folders, describe_polarity, supplied
from eval.systems.own import CodedClip, OperatingPoint, code_clips


@dataclass(frozen=True)
class ReferenceSystems:
    """``models``: folders of other runs or models at the same rate, judged at the same operating points. Bit rates, in
    kbit/s over all channels. ``decoded``: name of a codec and folder of its decodes, see
    :mod:`eval.systems.external_decodes`."""

    models: Sequence[Path] = ()
    opus: Sequence[float] = ()
    mp3: Sequence[float] = ()
    aac: Sequence[float] = ()
    decoded: Mapping[str, Path] = field(default_factory=dict)

    @property
    def lossy(self) -> list[tuple[Lossy, float]]:
        return [(codec, kbps) for codec, rates in self._rates for kbps in rates]

    @property
    def _rates(self) -> list[tuple[Lossy, Sequence[float]]]:
        return [(OPUS, self.opus), (MP3, self.mp3), (AAC, self.aac)]

    def check(self) -> None:
        """Raises ``UserError`` for what cannot be a bit rate, and for folders without decodes."""
        for _, rates in self._rates:
            check_rates(rates)
        check_folders(self.decoded)

    def words(self) -> list[str]:
        """On the command line."""
        words = ["--beside", *map(str, self.models)] if self.models else []
        for codec, rates in self._rates:
            words += [f"--{codec.name.lower()}", *(f"{rate:g}" for rate in rates)] if rates else []
        for name, folder in self.decoded.items():
            words += ["--decoded", f"{name}={folder}"]
        return words


@dataclass(frozen=True)
class CodedSystem:
    """A codec at one operating point; ``label`` is the heading of its row. ``coded``: the same clips for each."""

    name: str
    point: str
    label: str
    coded: list[CodedClip]
    note: str = ""


def name_models(run: Path, codec: Codec, beside: ReferenceSystems) -> dict[str, Codec]:
    """Our own and those beside it, by the names of their folders.

    Raises ``UserError`` where one is missing or for another rate, and where two systems have the same name.
    """
    paths = [run, *beside.models]
    codecs = [codec, *(load_codec(path) for path in beside.models)]
    names = [path.resolve().name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    every = [*names, *beside.decoded, *{entry.name for entry, _ in beside.lossy}]
    if twice := next((name for name in every if every.count(name) > 1), None):
        raise UserError(f"two of the codecs to judge are called {twice}")
    rate = codec.config.sample_rate
    for name, other in zip(names, codecs):
        if other.config.sample_rate != rate:
            raise UserError(f"{name}: codes at {other.config.sample_rate} Hz, not {rate} Hz like {names[0]}")
    return dict(zip(names, codecs))


def bring(
    beside: ReferenceSystems, clips: Sequence[Clip], indices: Sequence[int], sample_rate: int, channels: int, work: Path
) -> dict[str, list[ExternalDecode]]:
    """What other codecs made of these clips, by the codecs' names; see
    :func:`eval.systems.external_decodes.supplied`."""
    return {
        name: supplied(folder, clips, indices, sample_rate, channels, work / f"decoded-{number}")
        for number, (name, folder) in enumerate(beside.decoded.items())
    }


def code_models(
    models: Mapping[str, Codec],
    points: Sequence[OperatingPoint],
    split: PackedSplit,
    indices: list[int],
    originals: Path,
    work: Path,
) -> list[CodedSystem]:
    """The clips by every model at every point, but for the first model at the first point."""
    ours, found = next(iter(models)), []
    for order, (name, codec) in enumerate(models.items()):
        for number, point in enumerate(points):
            if order or number:
                label = str(point) if name == ours else f"{name}, {point}"
                folder = work / f"model-{order}-{number}"
                coded = code_clips(split, indices, codec, originals, folder, point, label)
                found.append(CodedSystem(name, str(point), label, coded))
    return found


def code_others(
    beside: ReferenceSystems, coded: Sequence[CodedClip], brought: Mapping[str, Sequence[ExternalDecode]], work: Path
) -> tuple[list[CodedSystem], dict[str, str]]:
    """The clips ``coded`` by all other codecs; and what could not be coded: why."""
    systems, absent = [], {}
    for number, (codec, kbps) in enumerate(beside.lossy):
        label = f"{codec.name} {kbps:g}"
        try:
            clips = lossy_clips(codec, kbps, coded, work / f"lossy-{number}")
            systems.append(CodedSystem(codec.name, f"{kbps:g} kbps", label, clips, lossy_note(codec, kbps, coded)))
        except Refused as refusal:
            absent[label] = str(refusal)
    for name, found in brought.items():
        made = [
            replace(entry, decoded=other.decoded, bytes=other.bytes, encode_s=0.0, decode_s=0.0)
            for entry, other in zip(coded, found)
        ]
        systems.append(CodedSystem(name, "as supplied", name, made, describe_polarity(found)))
    return systems, absent
