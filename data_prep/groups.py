"""Groups: which files belong together (a speaker, a recording, an album), so that no group is in two splits."""

import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from codec.errors import UserError
from data_prep.entries import DOMAIN_WORDS, AudioEntry
from data_prep.group_rules import (
    COLUMN,
    CONTAINERS,
    FILE,
    FOLDER,
    LEVEL,
    REST,
    GroupRule,
    first_match,
    folder_name,
    folders_of,
    join_folders,
)
from data_prep.listing import Listing
from data_prep.merging import DOMAIN, GROUP

Entries = Listing | Sequence[AudioEntry]
"""Audio files, which are read several times."""

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
        UserError: there is no such rule; lists contradict each other about the group or domain of a file; or, without
            a rule, the folders, or the names of files in one folder, can be read in two ways that divide
            the files differently. The message offers a rule for each.
    """
    rule_before = before.rule if before else None
    _refuse_contradictions(entries, rule or rule_before)
    if rule:
        return Grouping(rule, FOLDER)
    if before:
        return Grouping(before.rule, FOLDER if before.rule else before.plain_rule)
    roots: dict[str, set[tuple[str, ...]]] = {}
    for entry in entries.plain():
        roots.setdefault(str(entry.path).removesuffix(entry.relative), set()).add(folders_of(entry))
    for root, folders in roots.items():
        if question := _ask_about_folders(root, folders, REST if entries.has_groups() else ""):
            raise UserError(question)
    # Next to files whose groups are known, a folder is a group like any other.
    names = {join_folders(folders) for root in roots.values() for folders in root}
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


def _refuse_contradictions(entries: Listing, text: str | None) -> None:
    """Refuse lists that state two domains of a file, or two groups where the rule uses these."""
    rule = GroupRule.parse(text) if text else None
    remedies = {DOMAIN: "keep the row that is right, since a file has one domain"}
    if not rule or rule.of_rest:
        remedies[GROUP] = "keep the row that is right, or give all files of both one name in a column group"
    remedies |= dict.fromkeys(rule.columns if rule else (), "keep the row that is right")
    for column, remedy in remedies.items():
        count, stated = entries.find_contradiction(column)
        if count:
            raise UserError(f"{stated}{_and_more(count)}; {remedy}")


def _and_more(count: int) -> str:
    return f" ({count} files are listed like this)" if count > 1 else ""


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
    for entry, name in name_entries(entries, grouping):
        yield entry, name or entry.recording or entry.relative


def name_entries(entries: Entries, grouping: Grouping) -> Iterator[tuple[AudioEntry, str]]:
    """Name the group of every file, see :func:`group_entries`.

    Args:
        entries: all files.
        grouping: how groups are made.

    Yields:
        Each file with the name of its group; empty for a file that is a group of its own.

    Raises:
        UserError: as for :func:`group_entries`.
    """
    rule = GroupRule.parse(grouping.rule) if grouping.rule else None
    if rule and rule.kind == LEVEL:
        _check_depth(rule, entries)
    name_of = rule.naming() if rule else _plain_naming(grouping.plain_rule)
    concerned, named = False, False
    for entry in entries:
        decides = not rule or rule.applies_to(entry)
        name = name_of(entry) if decides else entry.group
        concerned, named = concerned or decides, named or (decides and bool(name))
        yield entry, name
    if rule and concerned and not named:
        raise UserError(f"--group-by {rule.text}: this applies to no file; {_hint(rule, entries)}")


def _plain_naming(plain_rule: str) -> Callable[[AudioEntry], str]:
    return lambda entry: folder_name(entry) if entry.plain and plain_rule == FOLDER else entry.group


def _check_depth(rule: GroupRule, entries: Entries) -> None:
    deepest = max((len(folders_of(entry)) for entry in entries if rule.applies_to(entry)), default=None)
    if deepest is not None and deepest < int(rule.argument):
        raise UserError(f"--group-by {rule.text}: the deepest file is only {deepest} folders below its source")


def _hint(rule: GroupRule, entries: Entries) -> str:
    if rule.kind == COLUMN:
        columns = sorted({name for entry in entries for name in entry.fields})
        return f"the columns are: {', '.join(columns) or 'none, as there is no list'}"
    return f"a path below the source is {next(entry for entry in entries if rule.applies_to(entry)).relative}"


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
        compiled = re.compile(pattern)
        shared = {first_match(compiled, entry) for entry in entries}
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
