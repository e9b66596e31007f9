"""Which files belong together: a speaker, a recording, an album. Groups never straddle splits."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from codec.errors import UserError
from data_prep.adapters import Entry


def groups_for(entries: Sequence[Entry], rule: str | None) -> dict[str, str]:
    """Group of every entry, by ``str(entry.path)``.

    Rules: None: what the layout says (the manifest's ``group``, the speaker), else the folder the file lies
    in, else the file itself; ``level:N``: the first N folders below the source; ``regex:...``: the first
    bracketed part of the match in the path below the source; ``column:NAME``: a column of the manifest. A
    file that a rule says nothing about is a group of its own.

    Raises:
        UserError: a rule that is none of these, or that applies to no file.
    """
    kind, _, argument = (rule or "").partition(":")
    if rule is None:
        named = [entry.group or _folders(entry, None) for entry in entries]
    elif kind == "level" and argument.isdigit() and int(argument) > 0:
        named = [_folders(entry, int(argument)) for entry in entries]
    elif kind == "regex":
        named = [_match(argument, entry) for entry in entries]
    elif kind == "column":
        named = [entry.fields.get(argument, "") for entry in entries]
    else:
        raise UserError(f"--group-by {rule}: use level:1, regex:PATTERN or column:NAME")
    if rule and entries and not any(named):
        columns = sorted({name for entry in entries for name in entry.fields})
        hint = f"columns: {', '.join(columns) or 'none, there is no manifest'}" if kind == "column" else (
            f"a path below the source reads: {entries[0].relative}"
        )  # fmt: skip
        raise UserError(f"--group-by {rule}: applies to no file; {hint}")
    return {str(entry.path): name or entry.relative for entry, name in zip(entries, named, strict=True)}


def _folders(entry: Entry, depth: int | None) -> str:
    parts = PurePosixPath(entry.relative).parts[:-1]
    return "/".join(parts if depth is None else parts[:depth])


def _match(pattern: str, entry: Entry) -> str:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--group-by regex:{pattern}: not a regular expression ({error})") from error
    if compiled.groups < 1:
        raise UserError(f"--group-by regex:{pattern}: bracket the part that names the group, like ([^/]+)")
    match = compiled.search(entry.relative)
    return (match.group(1) or "") if match else ""
