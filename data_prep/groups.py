"""Groups: which files belong together (a speaker, a recording, an album), so that no group is in two splits."""

import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from codec.errors import UserError
from data_prep.entries import DOMAIN_WORDS, AudioEntry
from data_prep.listing import Listing

Entries = Listing | Sequence[AudioEntry]
"""Audio files, which are read several times."""

FOLDER, FILE, TIME = "folder", "file", "time"
"""Rules without an argument, see :func:`group_entries`."""
REST = "rest:"
"""Beginning of rules for the files of plain folders, where others are of a corpus or list."""

CONTAINERS = frozenset(
    "train training dev devel test testing val valid validation eval evaluation"
    " wav wavs wave waves flac mp3 ogg opus audio audios clips sounds".split()
)
"""Folder names that describe the storage or division of a corpus and define no groups."""
NAME_PATTERNS = (r"([^/_-]+)[_-][^/]*$", r"([^/]+)[_-][^/_-]*$")
"""Patterns for the part that file names may share: all before the first separator, or all before the last."""
_LISTED = 5
"""Largest number of names that a question lists."""


@dataclass(frozen=True)
class Grouping:
    """Method by which groups are made."""

    rule: str | None
    """Rule of the user for all files, or None."""
    plain_rule: str
    """Without a rule: ``folder`` or ``file``, for files without a group from a corpus or list."""
    notes: tuple[str, ...] = ()
    """Lines for the user about what was chosen."""


def choose_grouping(entries: Listing, rule: str | None, before: Grouping | None = None) -> Grouping:
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
    roots: dict[str, set[tuple[str, ...]]] = {}
    for entry in entries.plain():
        roots.setdefault(str(entry.path).removesuffix(entry.relative), set()).add(_folders(entry))
    for root, folders in roots.items():
        if question := _ask_about_folders(root, folders, REST if entries.has_groups() else ""):
            raise UserError(question)
    # Next to files whose groups are known, a folder is a group like any other.
    names = {_join(folders) for root in roots.values() for folders in root}
    if len(names) != 1 or len(entries) < 2 or entries.has_groups():
        return Grouping(None, FOLDER)
    if question := _ask_about_names(entries):
        raise UserError(question)
    note = (
        f"all {len(entries)} files are in one folder, so each is a group of its own; if several belong together (takes"
        f" of a recording), name the part that they share: --group-by regex:PATTERN (a path is"
        f" {next(iter(entries)).relative})"
    )
    return Grouping(None, FILE, (note,))


def group_entries(entries: Entries, grouping: Grouping) -> Iterator[tuple[AudioEntry, str]]:
    r"""Name the group of every file.

    Rules:

    - None: the group given by the corpus or list, else ``grouping.plain_rule``;
    - ``folder``: the folder of the file, without names such as "train" or "wav";
    - ``file``: each recording is a group;
    - ``time``: likewise, and long recordings are divided (:mod:`data_prep.excerpts`);
    - ``level:N``: the first N folders below the source;
    - ``regex:PATTERN``: the first group of the pattern's match in the path below the source;
    - ``column:NAME``: a column of the list;
    - ``rest:RULE``: one of ``folder``, ``file``, ``level:N`` and ``regex:PATTERN`` for the files of plain folders, and
      for all others the group given by their corpus or list.

    A file for which a rule yields no name is a group of its own.

    Args:
        entries: all files.
        grouping: how groups are made.

    Yields:
        Each file with the name of its group.

    Raises:
        UserError: the rule is none of these, applies to no file, or is a level below the deepest folder.

    >>> from pathlib import Path
    >>> names = ["train/anna/1.wav", "test/anna/2.wav", "test/ben/3.wav"]
    >>> entries = [AudioEntry(Path(name), name, "corpus", "speech", plain=True) for name in names]
    >>> [group for _, group in group_entries(entries, Grouping(None, FOLDER))]
    ['anna', 'anna', 'ben']
    >>> [group for _, group in group_entries(entries, Grouping(r"regex:(\d)\.wav", FOLDER))]
    ['1', '2', '3']
    """
    name_of, applies = _naming(grouping, entries), False
    for entry in entries:
        name = name_of(entry)
        applies = applies or bool(name)
        yield entry, name or entry.recording or entry.relative
    if grouping.rule and not applies and len(entries):
        raise UserError(f"--group-by {grouping.rule}: this applies to no file; {_hint(grouping.rule, entries)}")


def _hint(rule: str, entries: Entries) -> str:
    if rule.startswith("column:"):
        columns = sorted({name for entry in entries for name in entry.fields})
        return f"the columns are: {', '.join(columns) or 'none, as there is no list'}"
    return f"a path below the source is {next(iter(entries)).relative}"


def _naming(grouping: Grouping, entries: Entries) -> Callable[[AudioEntry], str]:
    """Return the function that yields the name according to the rule; empty for none."""
    rule = grouping.rule
    kind, _, argument = (rule or "").partition(":")
    if rule is None:
        return lambda entry: _default(entry, grouping.plain_rule)
    if rule == FOLDER:
        return _folder
    if rule in (FILE, TIME):
        return lambda entry: entry.recording or entry.relative
    if kind == "level" and argument.isdigit() and (level := int(argument)) > 0:
        deepest = max(len(_folders(entry)) for entry in entries)
        if deepest < level:
            raise UserError(f"--group-by {rule}: the deepest file is only {deepest} folders below its source")
        return lambda entry: "/".join(_folders(entry)[:level])
    if kind == "regex":
        return lambda entry: _match(argument, entry)
    if kind == "column":
        return lambda entry: entry.fields.get(argument, "")
    if rule.startswith(REST) and not argument.startswith((TIME, "column:", REST)):
        of_rest = _naming(replace(grouping, rule=argument), entries)
        return lambda entry: of_rest(entry) if entry.plain else entry.group
    raise UserError(
        f"--group-by {rule}: use folder, file, time, level:1, regex:PATTERN or column:NAME; or rest:folder,"
        " rest:file, rest:level:1 or rest:regex:PATTERN for the files that are of no corpus or list"
    )


def _default(entry: AudioEntry, plain_rule: str) -> str:
    return _folder(entry) if entry.plain and plain_rule == FOLDER else entry.group


def _folders(entry: AudioEntry) -> tuple[str, ...]:
    return PurePosixPath(entry.relative).parts[:-1]


def _folder(entry: AudioEntry) -> str:
    return _join(_folders(entry))


def _join(folders: tuple[str, ...]) -> str:
    return "/".join(part for part in folders if part.lower() not in CONTAINERS)


def _ask_about_folders(root: str, folders: Collection[tuple[str, ...]], prefix: str) -> str:
    """Return a question if the folders below a source can be read in two ways, else an empty text.

    ``prefix`` begins the rules that it offers: ``rest:`` if corpora or lists give other files groups, which stay.

    They can if folders are nested: the outer ones may be speakers with their books, or collections with their speakers.
    Names of containers and domains, and folders that all files share, do not count.
    """
    paths = {tuple(part for part in parts if not _is_neutral(part)) for parts in folders}
    shared = _count_shared(paths)
    below = {path[shared:] for path in paths if len(path) > shared}
    outer = sorted({path[0] for path in below})
    if len(outer) < 2 or len(below) <= len(outer):
        return ""
    deepest = max(below, key=lambda path: (len(path), path))
    which = "apart from the files of corpora and lists, " if prefix else ""
    return (
        f"{root}: {which}the folders are nested {len(deepest)} deep ({'/'.join(deepest)}), so it is not clear which"
        f" files belong together; if the outer ones ({len(outer)}: {_some(outer)}) are the speakers or recordings, add"
        f" {_rule_for(folders, outer, prefix)}; if the inner ones ({len(below)}) are, add --group-by {prefix}folder"
    )


def _ask_about_names(entries: Listing) -> str:
    """Return a question if several names of files in one folder begin with the same part, else an empty text.

    Speakers whose folders were merged into one have such names.
    """
    for pattern in NAME_PATTERNS:
        shared = {_match(pattern, entry) for entry in entries}
        if 2 <= len(shared) <= len(entries) / 2 and "" not in shared:
            return (
                f"{next(iter(entries)).path.parent}: the names of its {len(entries)} files begin with"
                f" {len(shared)} different parts ({_some(sorted(shared))}), so it is not clear which files belong"
                " together; if that part is the speaker or recording, add --group-by"
                f" {shlex.quote('regex:' + pattern)}; if each file is independent of the others, add --group-by file"
            )
    return ""


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def _rule_for(folders: Collection[tuple[str, ...]], outer: Sequence[str], prefix: str) -> str:
    """Return the option that groups by the outer folders: not a level if the folder above varies ("train", "test")."""
    wanted = set(outer)
    level = min(n for parts in folders for n, part in enumerate(parts) if part in wanted)
    above = {parts[:level] for parts in folders}
    rule = f"level:{level + 1}" if len(above) == 1 else f"regex:^(?:[^/]+/){{{level}}}([^/]+)/"
    return f"--group-by {shlex.quote(prefix + rule)}"


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
