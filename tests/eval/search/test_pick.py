"""``codec search pick``: files that encode and decode take with ``--use``, and folders without a search."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from codec.bitstream.reader import read_nac_header
from codec.cli import build_parser, main
from codec.errors import UserError
from eval.search.pick import describe_use, pick_candidate

USED = {"model": "speech_16k_v2", "kbps": 3.0, "codebooks": 12, "precision": "int8", "threads": 1, "packet_s": 1.0}


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


@pytest.fixture
def folder(tmp_path) -> Path:
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(8 * 16000), 16000)
    (tmp_path / "best.yaml").write_text(yaml.safe_dump(USED))
    return tmp_path


def test_encode_and_decode_use_what_a_search_has_picked(folder):
    """The file has the settings; options of the command come before them."""
    use = ["--use", folder / "best.yaml"]
    assert run("encode", folder / "a.wav", "--out", folder / "a.nac", *use) == 0
    header = read_nac_header(folder / "a.nac")
    assert (header.target_bps, header.codebooks, header.packet_frames) == (3000, 12, 50)
    assert run("encode", folder / "a.wav", "--out", folder / "b.nac", *use, "--codebooks", 6, "--packet-s", 4) == 0
    header = read_nac_header(folder / "b.nac")
    assert (header.target_bps, header.codebooks, header.packet_frames) == (0, 6, 200)
    assert run("decode", folder / "a.nac", "--out", folder / "used.wav", *use) == 0
    assert run("decode", folder / "a.nac", "--out", folder / "int8.wav", "--dtype", "int8") == 0
    assert (folder / "used.wav").read_bytes() == (folder / "int8.wav").read_bytes()


@pytest.mark.parametrize("content", ["{", "- 1", "kbps: 3", "model: m\nblock: 16", "model: m\nkbps: fast", None])
def test_other_files_are_no_settings(folder, capsys, content):
    path = folder / "other.yaml"
    if content is not None:
        path.write_text(content)
    assert run("encode", folder / "a.wav", "--out", folder / "a.nac", "--use", path) == 2
    assert str(path) in capsys.readouterr().err and not (folder / "a.nac").exists()


def test_settings_of_a_stream_are_for_standard_input(folder, capsys):
    (folder / "best.yaml").write_text("model: speech_16k_v2\nentropy: none\n")
    assert run("encode", folder / "a.wav", "--out", folder / "a.nac", "--use", folder / "best.yaml") == 2
    assert "standard input" in capsys.readouterr().err


@pytest.mark.parametrize("settings", [{"kbps": 3.0}, {"runtime": "onnx"}, {"entropy": "none"}])
def test_the_next_commands_are_commands(settings):
    command, notes = describe_use(Path("best.yaml"), "m", settings)
    assert len(notes) == (settings.get("runtime") == "onnx")
    for part in [*command.split(" < ")[0].split("; "), *(note.removeprefix("first: ") for note in notes)]:
        build_parser().parse_args(shlex.split(part)[1:])


def test_a_folder_without_a_search_is_an_error(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        pick_candidate(tmp_path)
