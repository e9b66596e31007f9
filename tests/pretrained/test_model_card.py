"""The model card: figures of the program within text of the author."""

from pathlib import Path

import pytest

from codec.errors import UserError
from codec.pretrained.checkpoint import fingerprint, load_codec, save_model
from codec.pretrained.export import export_model
from codec.pretrained.model_card import CARD_FILE, write_model_card
from codec.pretrained.model_folder import read_fingerprints
from codec.training.heard_audio import HeardAudio, HeardSource, heard_audio_info
from tests.helpers.tiny import tiny_model

HOUR = 3600 * 16000
HEARD = HeardAudio(
    16000,
    {
        "words|1 s": HeardSource(HOUR // 2, HOUR // 4, ["CC BY 4.0"], ["en"]),
        "letters": HeardSource(2 * HOUR, 21 * HOUR, ["CC0 1.0", "MIT"], ["de", "en"]),
        "": HeardSource(0, HOUR),
    },
    ["the steps up to 7"],
)
TRAINED_ON = {"clips": 12, "groups": 3, "seconds": 9000.0, "domains": {"speech": 9000.0}}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tiny_model(tmp_path / "run/model")
    info = {"step": 1234, "validation_loss": 1.5, "trained_on": TRAINED_ON, **heard_audio_info(HEARD)}
    save_model(folder, load_codec(folder), info)
    return folder


def cells(card: str) -> list[list[str]]:
    """Return the rows of the table in a card, without its header."""
    lines = [line for line in card.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")] for line in lines[2:]]


def test_a_new_card_has_the_figures_and_what_was_heard(model):
    text = write_model_card(model.parent, "news").read_text()
    assert text.startswith("# news\n") and read_fingerprints(model)[0] in text and "1,234" in text and "2.50" in text
    assert cells(text) == [
        ["letters", "2", "21", "10.5", "94.4 %", "CC0 1.0; MIT", "de, en"],
        ["(not named)", "0", "1", "–", "4.5 %", "–", "–"],
        ["words¦1 s", "0.5", "0.25", "0.5", "1.1 %", "CC BY 4.0", "en"],
    ]
    assert "22.25 hours" in text and HEARD.unrecorded[0] in text


def test_text_of_the_author_stays_and_figures_are_replaced(model):
    card = write_model_card(model, "news")
    card.write_text("Ours.\n\n" + card.read_text() + "\nNot for music. \\1\n")
    save_model(model, load_codec(model), {"step": 5678, "validation_loss": 1.0, "trained_on": TRAINED_ON})
    text = write_model_card(model, "other").read_text()
    assert text.startswith("Ours.\n\n# news\n") and text.endswith("\nNot for music. \\1\n")
    assert "5,678" in text and "1,234" not in text and cells(text) == []
    assert write_model_card(model, "other").read_text() == text
    card.write_text("A card without figures.\n")
    assert write_model_card(model, "other").read_text().count("5,678") == 1
    card.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match=CARD_FILE):
        write_model_card(model, "other")


def test_an_exported_model_has_the_card_with_its_own_figures(model, tmp_path):
    card = write_model_card(model, "news")
    links = "[a](../../a.md), [b](b.md), [c](config.json), [d](https://d.org/e.md)"
    card.write_text(card.read_text() + f"\nNot for music. {links}\n")
    exported = fingerprint(export_model(model.parent, tmp_path / "small"))
    text = (tmp_path / "small" / CARD_FILE).read_text()
    write_model_card(tiny_model(tmp_path / "bare"), "bare")  # of which nothing is known
    assert (
        exported in text
        and read_fingerprints(model)[0] not in text
        and text.endswith("\nNot for music. a, b, [c](config.json), [d](https://d.org/e.md)\n")
    )
    assert cells(text) == cells(card.read_text())
