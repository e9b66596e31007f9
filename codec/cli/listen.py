"""``codec listen``: blind listening tests with people, from the sounds of an evaluation."""

import argparse
from pathlib import Path

from codec.cli.common import AddCommand, positive, print_result
from codec.errors import UserError


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "listen",
        _run,
        "make a blind listening test from an evaluation, and read its answers",
        "Writes a blind listening test of the sounds of an evaluation: codec listen runs/a/evaluation --out test. Send"
        " test/listen.html to listeners: one page that works without a network and downloads their answers. Then read"
        " them: codec listen test --answers *.json. test/key.json names the systems; keep it from listeners.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of an evaluation, or of a test with --answers")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write the test to")
    parser.add_argument(
        "--kind",
        choices=("mushra", "abx"),
        default="mushra",
        help="mushra: rate all versions against the original, after ITU-R BS.1534-3; abx: tell each system from the"
        " original (default: %(default)s)",
    )
    parser.add_argument(
        "--systems", nargs="+", default=[], metavar="NAME", help="beginnings of the names of the systems (default: all)"
    )
    parser.add_argument("--clips", type=positive, metavar="N", help="number of clips at most (default: all)")
    parser.add_argument("--answers", type=Path, nargs="+", metavar="FILE", help="files that listeners downloaded")
    parser.add_argument("--json", action="store_true", help="print the result of --answers as JSON")


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    if arguments.answers:
        from eval.listening.answers import read_answers

        print_result(read_answers(arguments.folder, arguments.answers), arguments.json)
        return 0
    if arguments.out is None:
        raise UserError("--out is missing: name a folder for the test; or give --answers to read those of a test")
    from eval.listening.export import KEY, export_test

    page = export_test(arguments.folder, arguments.out, arguments.kind, arguments.systems, arguments.clips)
    print(f"for listeners: {page}\nfor you alone: {arguments.out / KEY}")
    print(f"then: codec listen {arguments.out} --answers FILE.json …")
    return 0
