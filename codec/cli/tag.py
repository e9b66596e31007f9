"""``codec tag``: change the tags and pictures of ``.nac`` files."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from codec.cli.common import FAILED, AddCommand, join_tags, print_error, print_note
from codec.errors import UserError
from codec.runtime.imports import importing

if TYPE_CHECKING:
    from codec.audio.pictures import Picture


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "tag",
        _run,
        "change the tags and pictures of .nac files; the coded audio stays as it is",
        "Changes the tags and pictures of .nac files: codec tag a.nac title=Song artist=Ann artist=Bob. A tag that is"
        " given replaces the one of that name, the others stay; title= deletes it. The case of names means nothing."
        " Each file is replaced in one step, and its coded audio stays byte for byte. codec info shows the tags.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="IN",
        help=".nac files, folders of them, or patterns such as 'in/**/a*'; and NAME=TEXT for each tag to set (several"
        " of one name are its values). A file whose name holds an equals sign is written ./a=b.nac",
    )
    parser.add_argument(
        "--delete", action="append", default=[], metavar="NAME", help="delete a tag, as NAME= does (may be repeated)"
    )
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="image for the front cover (JPEG, PNG, GIF or WebP)",
    )
    parser.add_argument("--delete-pictures", action="store_true", help="delete all pictures")


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    with importing():
        from codec.audio.pictures import FRONT_COVER
        from codec.batch.inputs import NAC, FileKinds, find_inputs
        from codec.bitstream.metadata import replace_metadata
        from codec.bitstream.reader import PacketReader
        from codec.bitstream.tags import change_tags

    pairs = [text.partition("=") for text in arguments.inputs if _is_tag(text)]
    paths = [Path(text) for text in arguments.inputs if not _is_tag(text)]
    changes = {**dict.fromkeys(arguments.delete, ""), **join_tags([(name, text) for name, _, text in pairs])}
    picture = _read_picture(arguments.picture) if arguments.picture else None
    if not paths:
        raise UserError("no file is named; give .nac files before the tags")
    if not (changes or picture or arguments.delete_pictures):
        raise UserError("nothing to change; give NAME=TEXT, --delete NAME, --picture FILE or --delete-pictures")
    inputs = find_inputs(paths, FileKinds(f"{NAC} files", {NAC}))
    status = 0
    for failure in inputs.failures:
        status = print_error(failure.reason, FAILED)
    changed, same, found = 0, 0, set[str]()
    for path, _ in inputs.files:
        try:
            with PacketReader(path) as reader:
                reader.check()
                tags, pictures = reader.tags, reader.pictures
            found |= {name.lower() for name in tags}
            new = () if arguments.delete_pictures else pictures
            if picture:
                new = (picture, *(one for one in new if one.type != FRONT_COVER))
            if (new_tags := change_tags(tags, changes)) != tags or list(new) != list(pictures):
                replace_metadata(path, new_tags, new)
                changed += 1
            else:
                same += 1
        except UserError as error:
            message = str(error)
            status = print_error(message if message.startswith(str(path)) else f"{path}: {message}", FAILED)
    for name in arguments.delete:
        if name.lower() not in found:
            print_note(f"no file has a tag {name} to delete")
    failed = len(inputs.files) + len(inputs.failures) - changed - same
    print(f"{changed} changed, {same} were so already, {failed} failed")
    return status


def _is_tag(text: str) -> bool:
    name, equals, _ = text.partition("=")
    return bool(equals) and "/" not in name and not os.path.exists(text)


def _read_picture(path: Path) -> "Picture":
    from codec.audio.pictures import Picture, media_type
    from codec.bitstream.pictures import fit_pictures

    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if not (mime := media_type(data)):
        raise UserError(f"{path}: not a JPEG, PNG, GIF or WebP file")
    if not fit_pictures([picture := Picture(data, mime)]):
        raise UserError(f"{path}: too large for a .nac file ({len(data)} bytes); make it smaller")
    return picture
