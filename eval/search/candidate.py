"""A candidate's folder: what was measured and judged, and why it went no further. Any process may read it; the one that
works on the candidate holds its lock."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from codec.errors import UserError
from codec.runtime.atomic_files import make_folder, write_text
from codec.runtime.file_lock import Lock
from codec.runtime.json_files import from_json, read_json
from eval.evaluation.codec_scores import CodecScores, read_scores, write_scores
from eval.search.cost import Size, Speed
from eval.search.sampler import key_of
from eval.search.space import Settings

Kind = TypeVar("Kind")

RECORD, END = "candidate.json", "end.json"


@dataclass(frozen=True)
class Footprint:
    """``memory_mb``: None where no constraint asked for it."""

    size: Size
    speed: Speed
    memory_mb: float | None


@dataclass(frozen=True)
class End:
    """Why a candidate went no further: it was refused before anything was spent on it, or failed on a rung."""

    refused: bool
    reason: str


@dataclass(frozen=True)
class _Record:
    footprint: Footprint


class Candidate:
    """``settings`` are all that it differs by from the others."""

    def __init__(self, out: Path, settings: Settings):
        self.settings = dict(settings)
        self.key = key_of(settings)
        self.folder = out / "candidates" / self.key
        self.lock = Lock(out / "locks" / self.key)

    @property
    def footprint(self) -> Footprint | None:
        found = _read(self.folder / RECORD, _Record)
        if found is None:
            return None
        return found.footprint

    def keep(self, footprint: Footprint) -> None:
        self._write(RECORD, {"settings": self.settings, "footprint": asdict(footprint)})

    @property
    def end(self) -> End | None:
        return _read(self.folder / END, End)

    def refuse(self, reason: str) -> None:
        self._write(END, {"settings": self.settings, **asdict(End(True, reason))})

    def fail(self, reason: str) -> None:
        self._write(END, {"settings": self.settings, **asdict(End(False, reason))})

    def judged(self, rung: int, seed: int, asked: Mapping[str, Any]) -> CodecScores | None:
        """What was judged at the end of the rung, if it was."""
        found = read_scores(self._scores(rung, seed), dict(asked))
        return None if found is None else found[0]

    def keep_judged(self, rung: int, seed: int, judged: CodecScores, asked: Mapping[str, Any]) -> None:
        make_folder(self.folder)
        write_scores(self._scores(rung, seed), [judged], dict(asked))

    def _scores(self, rung: int, seed: int) -> Path:
        return self.folder / f"validation-rung{rung}-seed{seed}.json"

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        make_folder(self.folder)
        write_text(self.folder / name, json.dumps(content, indent=1) + "\n")


def _read(path: Path, kind: type[Kind]) -> Kind | None:
    try:
        return from_json(kind, read_json(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged; delete the folder {path.parent}") from error
