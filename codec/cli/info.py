"""``codec info``: the contents of ``.nac`` files."""

import argparse
import contextlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from codec.cli.common import FAILED, AddCommand, print_error
from codec.errors import UserError
from codec.runtime.atomic_files import replacing
from codec.runtime.imports import importing
from codec.runtime.text import escape_invisible


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "info",
        _run,
        "describe .nac files and check that they are complete",
        "Describes .nac files and checks their checksums: one file in detail, several in a line each and a total.",
    )
    parser.add_argument(
        "inputs", type=Path, nargs="+", metavar="IN", help=".nac files, folders of them, or patterns such as 'in/**/a*'"
    )
    parser.add_argument("--extract-pictures", type=Path, metavar="DIR", help="write the pictures in the files to DIR")
    parser.add_argument("--verify", action="store_true", help="also decode each file, as codec decode --strict does")
    parser.add_argument("--details", action="store_true", help="describe several files in detail, too")
    parser.add_argument("--json", action="store_true", help="print as JSON")


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    with importing():
        from codec.batch.inputs import NAC, FileKinds, find_inputs
        from codec.coding.file_info import describe_damage

    files: list[dict[str, Any]] = []
    status, wrong, name_of = 0, set[Path](), cache(_model_name)
    decode = _decoder() if arguments.verify else None
    inputs = find_inputs(arguments.inputs, FileKinds(f"{NAC} files", {NAC}))
    for failure in inputs.failures:
        status = print_error(failure.reason, FAILED)
        wrong.add(failure.path)
    paths = list(dict.fromkeys(path for path, _ in inputs.files))
    for path in paths:
        wrong.add(path)
        try:
            files.append(_describe(path, name_of))
            if arguments.extract_pictures:
                _extract_pictures(path, arguments.extract_pictures)
            for line in describe_damage(files[-1]):
                status = print_error(line, FAILED)
            if files[-1]["checksums_ok"]:
                if decode:
                    decode(path)
                wrong.remove(path)
        except UserError as error:
            status = print_error(str(error), FAILED)
    if arguments.json:
        print(json.dumps(files, indent=1, default=str))
    elif (asked := len(paths) + len(inputs.failures)) > 1 and not arguments.details:
        print("\n".join([*map(_line, files), _total(files, asked, len(wrong), decoded=arguments.verify)]))
    elif files:
        print("\n\n".join("\n".join(f"{name}: {value}" for name, value in _lines(file).items()) for file in files))
    return status


def _describe(path: Path, name_of: Callable[[str], str | None]) -> dict[str, Any]:
    from codec.coding.file_info import file_info

    try:
        described = file_info(path)
    except UserError:
        from codec.coding.shards import is_shard

        if is_shard(path):
            raise UserError(f"{path}: this is a shard of tokens, not a .nac file; codec decode takes it") from None
        raise
    return {"path": described.pop("path"), "model": name_of(described["fingerprint"]), **described}


def _decoder() -> Callable[[Path], None]:
    """Return a function that decodes a file, whatever its model, and raises an error for any damage."""
    from codec.bitstream.reader import read_nac_header
    from codec.cli.models import own_models
    from codec.coding.nac_reader import NacReader, resolve_model
    from codec.pretrained.registry import ModelFinder
    from codec.runtime.torch_threads import torch_threads

    models = ModelFinder(own_models())

    def decode(path: Path) -> None:
        model = resolve_model(models, read_nac_header(path, whole=False).fingerprint, path)
        with torch_threads(1), NacReader(path, model, strict=True) as reader:
            samples = sum(block.shape[1] for block in reader.blocks())
            if samples != reader.samples:
                raise UserError(f"{path}: {samples} samples instead of {reader.samples}; encode the source again")

    return decode


def _line(info: dict[str, Any]) -> str:
    """Describe a file in one line."""
    state = "" if info["checksums_ok"] else ", damaged"
    return (
        f"{info['seconds']:>10.2f} s {info['kbps']:>7.2f} kbit/s {info['sample_rate']:>6} Hz {info['channels']:>3} ch"
        f"  {info['model'] or info['fingerprint']}  {escape_invisible(str(info['path']))}{state}"
    )


def _total(files: list[dict[str, Any]], asked: int, wrong: int, *, decoded: bool) -> str:
    """Describe all files in one line: the figures of those that can be read, and the number of files with errors."""
    from codec.coding.report import kbps

    seconds, size = sum(one["seconds"] for one in files), sum(one["bytes"] for one in files)
    rate = kbps(size - sum(one["metadata_bytes"] for one in files), seconds)
    state = f"{wrong} with errors" if wrong else "all decoded" if decoded else "all checksums right"
    return f"{seconds:>10.2f} s {rate:>7.2f} kbit/s  {asked} files, {size / 1e6:.2f} MB, {state}"


def _extract_pictures(path: Path, folder: Path) -> None:
    """Write the pictures of a file as ``NAME.1.jpg`` and so on. Existing files are not replaced."""
    import mimetypes

    from codec.bitstream.reader import PacketReader

    with PacketReader(path) as reader:
        pictures = reader.pictures
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures, 1):
            suffix = mimetypes.guess_extension(picture.mime) or ".picture"
            target = folder / f"{path.stem}.{number}{suffix}"
            if target.exists():
                raise UserError(f"{target}: exists already; name another folder")
            with replacing(target) as part:
                part.write_bytes(picture.data)
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot write the picture ({error.strerror})") from error


def _model_name(fingerprint: str) -> str | None:
    """Return the name of the built-in model with a fingerprint, or of an older one even if it is not installed."""
    from codec.bitstream.header import is_fingerprint_of
    from codec.pretrained.model_folder import read_fingerprints
    from codec.pretrained.model_packages import OLDER_MODELS, iterate_models

    for known, name in OLDER_MODELS.items():
        if is_fingerprint_of(fingerprint, [known]):
            return name
    for name, folder in iterate_models():
        with contextlib.suppress(UserError):  # a damaged model does not concern this file
            if is_fingerprint_of(fingerprint, read_fingerprints(folder)[:1]):
                return name
    return None


def _lines(info: dict[str, Any]) -> dict[str, str]:
    """Format the values for people, the tags as ``codec tag`` takes them."""
    from codec.audio import split_values

    values = {name: _value(value) for name, value in info.items()}
    pairs = [f"{name}={value}" for name, text in info["tags"].items() for value in split_values(text)]
    pictures = [f"{one['mime']} of {one['bytes']} bytes" for one in info["pictures"]]
    values |= {"tags": _value(pairs), "pictures": _value(pictures)}
    return {name: escape_invisible(text) for name, text in values.items()}


def _value(value: object) -> str:
    """Format a value: fractions with up to three decimals, a dash for nothing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if value is None or value == "":
        return "–"
    return str(round(value, 3) if isinstance(value, float) else value)
