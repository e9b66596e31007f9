"""Groups: which files belong together (a speaker, a recording, an album), so that no group is in two splits."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from codec.errors import UserError
from data_prep.entries import DOMAIN_WORDS, AudioEntry

FOLDER, FILE, TIME = "folder", "file", "time"
"""Rules without an argument, see :func:`group_entries`."""

CONTAINERS = frozenset(
    "train training dev devel test testing val valid validation eval evaluation"
    " wav wavs wave waves flac mp3 ogg opus audio audios clips sounds".split()
)
"""Folder names that describe the storage or division of a corpus and define no groups."""
NAME_PATTERNS = (r"([^/_-]+)[_-][^/]*$", r"([^/]+)[_-][^/_-]*$")
"""Patterns for the part that file names may share: all before the first separator, or all before the last."""


@dataclass(frozen=True)
class Grouping:
    """Method by which groups are made."""

    rule: str | None
    """Rule of the user for all files, or None."""
    plain_rule: str
    """Without a rule: ``folder`` or ``file``, for files without a group from a corpus or list."""
    notes: tuple[str, ...] = ()
    """Lines for the user about what was chosen."""


def choose_grouping(entries: Sequence[AudioEntry], rule: str | None, before: Grouping | None = None) -> Grouping:
    """Decide how groups are made.

    Args:
        entries: all files.
        rule: rule of the user, see :func:`group_entries`, or None.
        before: grouping of an earlier run on the same output, which holds unless there is a ``rule``.

    Returns:
        The grouping.

    Raises:
        UserError: without a rule, the folders, or the names of files in one folder, can be read in two ways that divide
            the files differently. The message offers a rule for each.
    """
    if rule:
        return Grouping(rule, FOLDER)
    if before:
        return Grouping(before.rule, FOLDER if before.rule else before.plain_rule)
    plain = [entry for entry in entries if entry.plain]
    for root, members in _by_root(plain).items():
        if question := _ask_about_folders(root, members):
            raise UserError(question)
    # Next to files whose groups are known, a folder is a group like any other.
    flat = 1 < len(plain) == len(entries) and len({_folder(entry) for entry in plain}) == 1
    if not flat:
        return Grouping(None, FOLDER)
    if question := _ask_about_names(plain):
        raise UserError(question)
    note = (
        f"all {len(plain)} files are in one folder, so each is a group of its own; if several belong together (takes of"
        f" a recording), name the part that they share: --group-by regex:PATTERN (a path is {plain[0].relative})"
    )
    return Grouping(None, FILE, (note,))


def group_entries(entries: Sequence[AudioEntry], grouping: Grouping) -> dict[str, str]:
    r"""Return the group of every file.

    Rules:

    - None: the group given by the corpus or list, else ``grouping.plain_rule``;
    - ``folder``: the folder of the file, without names such as "train" or "wav";
    - ``file``: each recording is a group;
    - ``time``: likewise, and long recordings are divided (:mod:`data_prep.excerpts`);
    - ``level:N``: the first N folders below the source;
    - ``regex:PATTERN``: the first group of the pattern's match in the path below the source;
    - ``column:NAME``: a column of the list.

    A file for which a rule yields no name is a group of its own.

    Args:
        entries: all files.
        grouping: how groups are made.

    Returns:
        Names of the groups by ``str(entry.path)``.

    Raises:
        UserError: the rule is none of these, applies to no file, or is a level below the deepest folder.

    >>> from pathlib import Path
    >>> names = ["train/anna/1.wav", "test/anna/2.wav", "test/ben/3.wav"]
    >>> entries = [AudioEntry(Path(name), name, "corpus", "speech", plain=True) for name in names]
    >>> group_entries(entries, Grouping(None, FOLDER))
    {'train/anna/1.wav': 'anna', 'test/anna/2.wav': 'anna', 'test/ben/3.wav': 'ben'}
    >>> group_entries(entries, Grouping(r"regex:(\d)\.wav", FOLDER))
    {'train/anna/1.wav': '1', 'test/anna/2.wav': '2', 'test/ben/3.wav': '3'}
    """
    names = _apply(grouping, entries)
    if grouping.rule and entries and not any(names):
        kind, _, _ = grouping.rule.partition(":")
        columns = sorted({name for entry in entries for name in entry.fields})
        hint = f"the columns are: {', '.join(columns) or 'none, as there is no list'}" if kind == "column" else (
            f"a path below the source is {entries[0].relative}"
        )  # fmt: skip
        raise UserError(f"--group-by {grouping.rule}: this applies to no file; {hint}")
    return {
        str(entry.path): name or entry.recording or entry.relative for entry, name in zip(entries, names, strict=True)
    }


def _apply(grouping: Grouping, entries: Sequence[AudioEntry]) -> list[str]:
    """Return the name that the rule yields for each file; empty for none."""
    rule = grouping.rule
    kind, _, argument = (rule or "").partition(":")
    if rule is None:
        return [_default(entry, grouping.plain_rule) for entry in entries]
    if rule == FOLDER:
        return [_folder(entry) for entry in entries]
    if rule in (FILE, TIME):
        return [entry.recording or entry.relative for entry in entries]
    if kind == "level" and argument.isdigit() and int(argument) > 0:
        deepest = max(len(_folders(entry)) for entry in entries)
        if deepest < int(argument):
            raise UserError(f"--group-by {rule}: the deepest file is only {deepest} folders below its source")
        return ["/".join(_folders(entry)[: int(argument)]) for entry in entries]
    if kind == "regex":
        return [_match(argument, entry) for entry in entries]
    if kind == "column":
        return [entry.fields.get(argument, "") for entry in entries]
    raise UserError(f"--group-by {rule}: use folder, file, time, level:1, regex:PATTERN or column:NAME")


def _default(entry: AudioEntry, plain_rule: str) -> str:
    return _folder(entry) if entry.plain and plain_rule == FOLDER else entry.group


def _folders(entry: AudioEntry) -> tuple[str, ...]:
    return PurePosixPath(entry.relative).parts[:-1]


def _folder(entry: AudioEntry) -> str:
    return "/".join(part for part in _folders(entry) if part.lower() not in CONTAINERS)


def _by_root(entries: Iterable[AudioEntry]) -> dict[str, list[AudioEntry]]:
    """Return the entries by the folder in which their relative paths begin."""
    roots: dict[str, list[AudioEntry]] = {}
    for entry in entries:
        roots.setdefault(str(entry.path).removesuffix(entry.relative), []).append(entry)
    return roots


def _ask_about_folders(root: str, entries: Sequence[AudioEntry]) -> str:
    """Return a question if the folders below a source can be read in two ways, else an empty text.

    They can if folders are nested: the outer ones may be speakers with their books, or collections with their speakers.
    Names of containers and domains, and folders that all files share, do not count.
    """
    paths = {tuple(part for part in _folders(entry) if not _is_neutral(part)) for entry in entries}
    shared = _count_shared(paths)
    below = {path[shared:] for path in paths if len(path) > shared}
    outer = sorted({path[0] for path in below})
    if len(outer) < 2 or len(below) <= len(outer):
        return ""
    deepest = max(below, key=lambda path: (len(path), path))
    return (
        f"{root}: the folders are nested {len(deepest)} deep ({'/'.join(deepest)}), so it is not clear which files"
        f" belong together; if the outer ones ({len(outer)}: {_some(outer)}) are the speakers or recordings, add"
        f" {_rule_for(entries, outer)}; if the inner ones ({len(below)}) are, add --group-by folder"
    )


def _ask_about_names(entries: Sequence[AudioEntry]) -> str:
    """Return a question if several names of files in one folder begin with the same part, else an empty text.

    Speakers whose folders were merged into one have such names.
    """
    for pattern in NAME_PATTERNS:
        shared = Counter(_match(pattern, entry) for entry in entries)
        if 2 <= len(shared) <= len(entries) / 2 and "" not in shared:
            return (
                f"{entries[0].path.parent}: the names of its {len(entries)} files begin with {len(shared)} different"
                f" parts ({_some(sorted(shared))}), so it is not clear which files belong together; if that part is the"
                f" speaker or recording, add --group-by {shlex.quote('regex:' + pattern)}; if each file is independent"
                " of the others, add --group-by file"
            )
    return ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _rule_for(entries: Sequence[AudioEntry], outer: Sequence[str]) -> str:
    """Return the option that groups by the outer folders: not a level if the folder above varies ("train", "test")."""
    wanted = set(outer)
    levels = {next((n for n, part in enumerate(_folders(entry)) if part in wanted), -1) for entry in entries} - {-1}
    level = min(levels)
    above = {_folders(entry)[:level] for entry in entries}
    rule = f"level:{level + 1}" if len(above) == 1 else f"regex:^(?:[^/]+/){{{level}}}([^/]+)/"
    return f"--group-by {shlex.quote(rule)}"


def _is_neutral(name: str) -> bool:
    return name.lower() in CONTAINERS | DOMAIN_WORDS


def _count_shared(paths: Iterable[tuple[str, ...]]) -> int:
    """Return the number of leading folders that all paths share."""
    count = 0
    for names in zip(*paths, strict=False):
        if len(set(names)) > 1:
            break
        count += 1
    return count


def _match(pattern: str, entry: AudioEntry) -> str:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--group-by regex:{pattern}: this is not a regular expression ({error})") from error
    if compiled.groups < 1:
        raise UserError(f"--group-by regex:{pattern}: put the part that names the group in brackets, as in ([^/]+)")
    match = compiled.search(entry.relative)
    return (match.group(1) or "") if match else ""
