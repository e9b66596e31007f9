"""Two speakers who read one sentence, see tests/speech/README.md."""

from pathlib import Path

import numpy as np

from codec import audio

SENTENCE = "For the twentieth time that evening the two men shook hands."
RATE = 16000
SECONDS = 3.2
_FOLDER = Path(__file__).parents[1] / "speech"


def read_speaker(name: str) -> np.ndarray:
    """Return the sentence by ``bdl`` or ``slt``, float32 ``[1, samples]`` at 16 kHz, the same length for both."""
    clip = audio.read(_FOLDER / f"{name}_arctic_a0003.opus")
    return audio.resample(clip.samples, clip.sample_rate, RATE)[:, : int(SECONDS * RATE)]
