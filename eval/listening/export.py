"""Export of a listening test: a page for listeners, and a key for the one who reads the answers."""

import base64
import json
import secrets
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from codec import audio
from codec.errors import UserError
from codec.runtime.atomic_files import make_folder, write_text
from eval.listening.sounds import Clip, Sound, make_anchors, read_clips
from eval.pages.page import as_json, write_page
from eval.pages.players import ORIGINAL

Kind = Literal["mushra", "abx"]
_Coded = dict[str, str]
PAGE, KEY = "listen.html", "key.json"
MOST_STIMULI = 12
"""Versions in a trial of MUSHRA, at most (BS.1534-3, section 5.2)."""
ABX_REPEATS = 4
"""Trials of each pair and listener."""
_PEAK = 0.99


def export_test(report: Path, out: Path, kind: Kind, systems: Sequence[str] = (), clips: int | None = None) -> Path:
    """Write a blind listening test of the sounds that a report plays.

    ``out/listen.html`` is for listeners: one file that loads nothing from anywhere. It calls all versions by random
    codes; ``out/key.json`` holds their names and is not for listeners.

    Args:
        report: folder of an evaluation.
        out: folder to write.
        kind: rating of all versions of a clip against the original (ITU-R BS.1534-3), or telling each system from the
            original (ABX).
        systems: beginnings of the labels of the systems to be tested; none: all.
        clips: number of clips at most; None: all.

    Returns:
        The page.

    Raises:
        UserError: there is no report with sounds, or no such system; ``out`` holds a test, or cannot be written.
    """
    if (out / KEY).exists():
        raise UserError(f"{out}: holds a listening test; choose another --out")
    chosen = [_choose(clip, systems) for clip in read_clips(report / "report.html")[:clips]]
    if kind == "mushra":
        chosen = [Clip(clip.name, [*clip.sounds, *make_anchors(clip.sounds[0])]) for clip in chosen]
        if len(chosen[0].sounds) > MOST_STIMULI:
            raise UserError(
                f"{len(chosen[0].sounds)} versions of a clip are more than listeners can rate ({MOST_STIMULI}); name"
                " fewer --systems"
            )
    key: dict[str, dict[str, str]] = {}
    trials: list[dict[str, object]] = []
    for clip in chosen:
        gain = min(1.0, _PEAK / max(1e-9, *(float(abs(sound.samples).max()) for sound in clip.sounds)))
        stimuli = [(secrets.token_hex(4), sound) for sound in clip.sounds]
        key |= {code: {"clip": clip.name, "system": sound.label} for code, sound in stimuli}
        coded = [{"code": code, "sound": _data_url(sound, gain)} for code, sound in stimuli]
        if kind == "mushra":
            trials.append({"reference": _data_url(clip.sounds[0], gain), "stimuli": _shuffled(coded)})
        else:
            pairs = [[coded[0], other] for other in coded[1:]]
            trials += [{"stimuli": _shuffled(pair)} for pair in pairs for _ in range(ABX_REPEATS)]
    test = secrets.token_hex(8)
    make_folder(out)
    write_page(
        out / PAGE,
        "listen.html.j2",
        title="Listening test",
        kind=kind.upper(),
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        mushra=kind == "mushra",
        trials=len(trials),
        data=as_json({"test": test, "kind": kind, "trials": trials}),
    )
    write_text(out / KEY, json.dumps({"test": test, "kind": kind, "stimuli": key}, indent=1) + "\n")
    return out / PAGE


def _shuffled(stimuli: Sequence[_Coded]) -> list[_Coded]:
    """Return the versions in an order that tells nothing to those who look into the page."""
    return secrets.SystemRandom().sample(stimuli, len(stimuli))


def _choose(clip: Clip, systems: Sequence[str]) -> Clip:
    labels = [sound.label for sound in clip.sounds if sound.label != ORIGINAL]
    for system in systems:
        if not any(label.startswith(system) for label in labels):
            raise UserError(f"the report plays no system called {system}; it plays {', '.join(labels)}")
    kept = [sound for sound in clip.sounds if not systems or any(sound.label.startswith(name) for name in systems)]
    return Clip(clip.name, [clip.sounds[0], *(sound for sound in kept if sound.label != ORIGINAL)])


def _data_url(sound: Sound, gain: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.flac"
        audio.write(path, (gain * sound.samples).astype("float32"), sound.sample_rate)
        return f"data:audio/flac;base64,{base64.b64encode(path.read_bytes()).decode()}"
