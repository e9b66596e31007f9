"""What a training has heard: seconds of audio of each source, with the licences and languages of its clips.

The frames of every crop are counted in the step that trains on it. The counts are part of the checkpoint, so that they
are exact for resumed runs, also if batch size, data or balance change on the way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from codec.dataset.packed_split import SourceSummary
from codec.pretrained.model_folder import damaged_model, model_folder, read_training_info
from codec.runtime.json_files import from_json

HEARD_HEADER = ["source", "hours in the split", "hours heard", "times over", "share", "licence", "language"]
"""Header of the table of :func:`heard_rows`."""
_INFO_KEY = "heard"
_UNNAMED = "(not named)"


@dataclass
class HeardSource:
    """A source of training audio."""

    split_frames: int = 0
    """Samples per channel of its clips in the training split; 0 if it is not in the present one."""
    heard_frames: int = 0
    """Samples per channel of all crops so far, without the silence after clips that are shorter than a crop."""
    licences: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)


@dataclass
class HeardAudio:
    """The audio that a model was trained on. The fields are keys of ``heard`` in its ``config.json``."""

    sample_rate: int
    """Sample rate of the frames in Hz."""
    sources: dict[str, HeardSource] = field(default_factory=dict)
    """By name; the name is empty if the data does not give one."""
    unrecorded: list[str] = field(default_factory=list)
    """Earlier training whose audio was not counted."""

    @property
    def heard_s(self) -> float:
        """Seconds of all crops so far."""
        return sum(source.heard_frames for source in self.sources.values()) / self.sample_rate

    def enter_split(self, sources: Sequence[SourceSummary]) -> None:
        """Describe the training split that is heard from now on.

        Args:
            sources: its sources
        """
        for known in self.sources.values():
            known.split_frames = 0
        for source in sources:
            known = self.sources.setdefault(source.source, HeardSource())
            known.split_frames = source.frames
            known.licences = sorted({*known.licences, *source.licences})
            known.languages = sorted({*known.languages, *source.languages})

    def add(self, frames: Mapping[str, int]) -> None:
        """Count the crops of a step.

        Args:
            frames: samples per channel by source
        """
        for name, count in frames.items():
            self.sources[name].heard_frames += count


def heard_audio_info(heard: HeardAudio) -> dict[str, Any]:
    """Return a record in the form in which it is stored with a model.

    Args:
        heard: the record

    Returns:
        An entry of ``info``, see :func:`codec.pretrained.checkpoint.save_model`.
    """
    return {_INFO_KEY: asdict(heard)}


def read_heard_audio(model: Path) -> HeardAudio | None:
    """Read what a model has heard.

    Args:
        model: folder of a run or model

    Returns:
        The record; None if the training did not count it, as earlier versions.

    Raises:
        UserError: no model there, or damaged.
    """
    content = read_training_info(model).get(_INFO_KEY)
    try:
        return None if content is None else from_json(HeardAudio, content)
    except ValueError as error:
        raise damaged_model(model_folder(model), error) from error


def heard_rows(heard: HeardAudio) -> list[list[str]]:
    """Lay out a record as a table with the columns :data:`HEARD_HEADER`.

    Args:
        heard: the record

    Returns:
        A row for each source, the one that was heard most first.

    >>> heard = HeardAudio(1000, {"news": HeardSource(3_600_000, 36_000_000, ["CC0 1.0"], ["en"])})
    >>> heard_rows(heard)
    [['news', '1', '10', '10', '100.0 %', 'CC0 1.0', 'en']]
    """
    hour, total = 3600 * heard.sample_rate, sum(source.heard_frames for source in heard.sources.values())
    return [
        [
            name or _UNNAMED,
            _rounded(source.split_frames / hour),
            _rounded(source.heard_frames / hour),
            _rounded(source.heard_frames / source.split_frames) if source.split_frames else "–",
            f"{source.heard_frames / max(1, total):.1%}".replace("%", " %"),
            "; ".join(source.licences) or "–",
            ", ".join(source.languages) or "–",
        ]
        for name, source in sorted(heard.sources.items(), key=lambda item: (-item[1].heard_frames, item[0]))
    ]


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
