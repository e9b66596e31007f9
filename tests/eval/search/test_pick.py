"""``codec search pick``: how to use an operating point, and folders without a search."""

import re
from dataclasses import asdict

import pytest

from codec.cli import build_parser
from codec.errors import UserError
from eval.search.pick import describe_use, pick_candidate
from eval.search.plan import OperatingSettings


@pytest.mark.parametrize(
    ("changed", "command", "notes"),
    [
        ({}, "codec encode AUDIO --out nac/ --model m", []),
        ({"kbps": 3.0, "threads": 2}, "codec encode AUDIO --out nac/ --model m --kbps 3 --threads 2", ["--threads 2"]),
        ({"codebooks": 6}, "codec encode AUDIO --out nac/ --model m --codebooks 6", []),
        (
            {"kbps": 3.0, "codebooks": 6, "precision": "bfloat16", "block": 16, "entropy": "order 0", "packet_s": 5.0},
            "codec encode AUDIO --out nac/ --model m --kbps 3",
            [
                *("codebooks 6: .*--codebooks", 'precision bfloat16: .*codec.load(…, dtype="bfloat16")'),
                *("block 16: .*stream_encoder(block=16)", "entropy order 0: ", "packet_s 5.0: .*2 s"),
            ],
        ),
        ({"entropy": "none", "runtime": "compiled"}, "codec encode AUDIO --out nac/ --model m", ["none", "compile()"]),
        (
            {"runtime": "onnx", "threads": 2},
            "codec export m --out model/ --onnx; codec encode AUDIO --out nac/ --model model/ --device onnx",
            ['threads 2: .*device="onnx", threads=2', "codec decode nac/ --out wav/ --model model/ --device onnx"],
        ),
    ],
)
def test_each_changed_setting_is_an_option_of_the_command_or_has_a_note(changed, command, notes):
    default = asdict(OperatingSettings(24))
    found = describe_use("m", {**default, **changed}, default)
    assert found.command == command and len(found.notes) == len(notes)
    for note in notes:
        assert re.search(re.escape(note).replace(r"\.\*", ".*"), "\n".join(found.notes)), note
    for part in command.split("; "):
        build_parser().parse_args(part.split()[1:])


def test_a_folder_without_a_search_is_an_error(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        pick_candidate(tmp_path)
