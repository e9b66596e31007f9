"""The model card: ``README.md`` in the folder of a model, whose figures are written by the program.

What a model card should say: M. Mitchell et al., "Model cards for model reporting", FAT* 2019. The program knows the
figures and the data; what the model is good for is for its author to say, in the text around them, which stays.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from codec.dataset.packed_split import DatasetSummary
from codec.errors import UserError
from codec.pretrained.model_folder import damaged_model, model_folder, read_codec_config, read_training_info
from codec.pretrained.registry import describe_model
from codec.runtime.atomic_files import write_text
from codec.runtime.json_files import from_json
from codec.runtime.text import markdown_text
from codec.training.heard_audio import HEARD_HEADER, HeardAudio, heard_rows, read_heard_audio

CARD_FILE = "README.md"
_BEGIN = "<!-- figures: codec train and codec export write this part; text outside it stays as it is -->"
_END = "<!-- end of the figures -->"
_PART = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)


@dataclass(frozen=True)
class _Training:
    """The part of a model's ``config.json`` about the training; None for what it does not state."""

    step: int | None = None
    validation_loss: float | None = None
    trained_on: DatasetSummary | None = None


def write_model_card(model: Path, name: str) -> Path:
    """Write the model card, or replace the figures in the one that is there.

    Args:
        model: folder of a run or model
        name: title of a new card

    Returns:
        The file.

    Raises:
        UserError: no model there, or damaged; or the card cannot be read or written.
    """
    card = model_folder(model) / CARD_FILE
    part = f"{_BEGIN}\n\n{_describe(model)}\n\n{_END}"
    try:
        text = card.read_text(encoding="utf-8") if card.is_file() else f"# {markdown_text(name)}\n\n{part}\n"
    except (OSError, ValueError) as error:
        raise UserError(f"{card}: the model card cannot be read ({error})") from error
    if _PART.search(text):
        text = _PART.sub(lambda _: part, text, count=1)
    else:
        text = f"{text.rstrip()}\n\n{part}\n"
    write_text(card, text)
    return card


def _describe(model: Path) -> str:
    figures, config, training = describe_model("", model), read_codec_config(model), _read_training(model)
    lines = [
        f"Fingerprint `{figures.fingerprint}`, {figures.parameters / 1e6:.2g} M parameters, {figures.sample_rate:,} Hz,"
        f" {figures.min_kbps:.1f} to {figures.max_kbps:.1f} kbit/s per channel, {config.latency_ms:.0f} ms latency."
    ]
    if training.step is not None and training.validation_loss is not None:
        lines[0] += f" Weights of step {training.step:,}, with a validation loss of {training.validation_loss:.4g}."
    if (data := training.trained_on) is not None:
        domains = " and ".join(markdown_text(name) for name in sorted(data.domains))
        lines.append(
            f"The training data is {data.seconds / 3600:.2f} hours of {domains}, in {data.clips:,} clips of"
            f" {data.groups:,} speakers or other groups. Other kinds of sound were not in it."
        )
    heard = read_heard_audio(model)
    lines += ["## What was heard", *(_describe_heard(heard) if heard else ["It was not recorded."])]
    return "\n\n".join(lines)


def _read_training(model: Path) -> _Training:
    try:
        return from_json(_Training, read_training_info(model))
    except ValueError as error:
        raise damaged_model(model_folder(model), error) from error


def _describe_heard(heard: HeardAudio) -> list[str]:
    rows = [[markdown_text(cell) for cell in row] for row in heard_rows(heard)]
    rule = ["---", *("---:" for _ in HEARD_HEADER[1:5]), *("---" for _ in HEARD_HEADER[5:])]
    lines = [
        f"{heard.heard_s / 3600:.2f} hours of crops, before augmentation. A source that was heard ten times over gave"
        " ten times its hours in the training split.",
        "\n".join("| " + " | ".join(row) + " |" for row in (HEARD_HEADER, rule, *rows)),
    ]
    if heard.unrecorded:
        lines.append(f"Not counted: {markdown_text('; '.join(heard.unrecorded))}.")
    return lines
