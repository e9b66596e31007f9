"""Which files belong together: a speaker, a recording, an album. Groups never straddle splits."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from codec.errors import UserError
from data_prep.entries import DOMAIN_WORDS, AudioEntry

FOLDER, FILE, TIME = "folder", "file", "time"

CONTAINERS = frozenset(
    "train training dev devel test testing val valid validation eval evaluation"
    " wav wavs wave waves flac mp3 ogg opus audio audios clips sounds".split()
)
"""Folder names that say how a corpus is stored or divided, not what belongs together."""


@dataclass(frozen=True)
class Grouping:
    """How groups are made. ``rule``: as the user gave it, or None; ``plain``: for files that only folders speak for."""

    rule: str | None
    plain: str
    notes: tuple[str, ...] = ()


def choose_grouping(entries: Sequence[AudioEntry], rule: str | None, before: Grouping | None = None) -> Grouping:
    """Decide how groups are made.

    Args:
        rule: see :func:`groups_for`.
        before: the choice of an earlier run on the same output, which holds unless there is a ``rule``.

    Raises:
        UserError: the folders, or the names of files in one folder, can be read in two ways that divide the files
            differently, and nothing says which is meant.
    """
    if rule or (before and before.rule):
        return Grouping(rule or before.rule, FOLDER)  # type: ignore[union-attr]
    if before:
        return Grouping(None, before.plain)
    notes = []
    plain = [entry for entry in entries if entry.plain]
    for root, members in _by_root(plain).items():
        if doubt := _doubt(root, members):
            raise UserError(doubt)
    # ReferenceSystems files whose groups are known, a folder is a group like any other.
    flat = 1 < len(plain) == len(entries) and len({_folder(entry) for entry in plain}) == 1
    if flat:
        if doubt := _doubt_about_names(plain):
            raise UserError(doubt)
        notes.append(
            f"{len(plain)} files in one folder: each is a group of its own; if several belong together, as takes of a"
            f" recording do, name what they share: --group-by regex:PATTERN (a path reads {plain[0].relative})"
        )
    return Grouping(None, FILE if flat else FOLDER, tuple(notes))


def group_entries(entries: Sequence[AudioEntry], choice: Grouping) -> dict[str, str]:
    """Return the group of every entry, by ``str(entry.path)``.

    Rules: None: what the corpus or manifest says, else as ``choice.plain``; ``folder``: the folder that the file lies
    in, without names such as "train" or "wav"; ``file``: each recording; ``time``: likewise, and long recordings are
    divided (:mod:`data_prep.excerpts`); ``level:N``: the first N folders below the source; ``regex:PATTERN``: the first
    bracketed part of the match in the path below the source; ``column:NAME``: a column of the manifest. A file that a
    rule says nothing about is a group of its own.

    Raises:
        UserError: a rule that is none of these, that applies to no file, or a level deeper than any.
    """
    rule = choice.rule
    kind, _, argument = (rule or "").partition(":")
    if rule is None:
        named = [_default(entry, choice.plain) for entry in entries]
    elif rule == FOLDER:
        named = [_folder(entry) for entry in entries]
    elif rule in (FILE, TIME):
        named = [entry.recording or entry.relative for entry in entries]
    elif kind == "level" and argument.isdigit() and int(argument) > 0:
        deepest = max(len(_folders(entry)) for entry in entries)
        if deepest < int(argument):
            raise UserError(
                f"--group-by {rule}: no file lies so deep; the deepest is {deepest} folders below its source"
            )
        named = ["/".join(_folders(entry)[: int(argument)]) for entry in entries]
    elif kind == "regex":
        named = [_match(argument, entry) for entry in entries]
    elif kind == "column":
        named = [entry.fields.get(argument, "") for entry in entries]
    else:
        raise UserError(f"--group-by {rule}: use folder, file, time, level:1, regex:PATTERN or column:NAME")
    if rule and entries and not any(named):
        columns = sorted({name for entry in entries for name in entry.fields})
        hint = f"columns: {', '.join(columns) or 'none, there is no manifest'}" if kind == "column" else (
            f"a path below the source reads: {entries[0].relative}"
        )  # fmt: skip
        raise UserError(f"--group-by {rule}: applies to no file; {hint}")
    return {
        str(entry.path): name or entry.recording or entry.relative for entry, name in zip(entries, named, strict=True)
    }


def _default(entry: AudioEntry, plain: str) -> str:
    return _folder(entry) if entry.plain and plain == FOLDER else entry.group


def _folders(entry: AudioEntry) -> tuple[str, ...]:
    return PurePosixPath(entry.relative).parts[:-1]


def _folder(entry: AudioEntry) -> str:
    return "/".join(part for part in _folders(entry) if part.lower() not in CONTAINERS)


def _by_root(entries: Iterable[AudioEntry]) -> dict[str, list[AudioEntry]]:
    """The entries by the folder that their relative paths begin in."""
    roots: dict[str, list[AudioEntry]] = {}
    for entry in entries:
        roots.setdefault(str(entry.path).removesuffix(entry.relative), []).append(entry)
    return roots


def _doubt(root: str, entries: Sequence[AudioEntry]) -> str:
    """Why the folders below a source do not say what belongs together; empty where they do.

    They do not where folders lie in folders: the outer ones may be speakers with their books, or collections with
    their speakers. Folders with names of containers or domains, and those that all files share, do not count.
    """
    paths = {tuple(part for part in _folders(entry) if not _is_neutral(part)) for entry in entries}
    shared = _shared(paths)
    below = {path[shared:] for path in paths if len(path) > shared}
    outer = sorted({path[0] for path in below})
    if len(outer) < 2 or len(below) <= len(outer):
        return ""
    deepest = max(below, key=lambda path: (len(path), path))
    names = ", ".join(outer[:3]) + (", …" if len(outer) > 3 else "")
    return (
        f"{root}: folders are {len(deepest)} deep ({'/'.join(deepest)}), so what belongs together is not clear; where"
        f" the outer ones ({len(outer)}: {names}) are the speakers or recordings, add {_rule_for(entries, outer)};"
        f" where the inner ones ({len(below)}) are, --group-by folder"
    )


NAME_RULES = (r"([^/_-]+)[_-][^/]*$", r"([^/]+)[_-][^/_-]*$")
"""Patterns for what file names may share: their first part, or all but their last."""


def _doubt_about_names(entries: Sequence[AudioEntry]) -> str:
    """Why the names of files in one folder do not say what belongs together; empty where they do.

    They do not where several begin alike, as with speakers whose folders were laid flat.
    """
    for pattern in NAME_RULES:
        shared = Counter(_match(pattern, entry) for entry in entries)
        if 2 <= len(shared) <= len(entries) / 2 and "" not in shared:
            names = ", ".join(sorted(shared)[:3]) + (", …" if len(shared) > 3 else "")
            return (
                f"{entries[0].path.parent}: the names of its {len(entries)} files begin alike ({len(shared)} ways:"
                f" {names}), so what belongs together is not clear; where that is the speaker or recording, add"
                f" --group-by {shlex.quote('regex:' + pattern)}; where each file stands for itself, --group-by file"
            )
    return ""


def _rule_for(entries: Sequence[AudioEntry], outer: Sequence[str]) -> str:
    """The option that groups by the outer folders: not by a level where what is above them ("train", "test") varies."""
    wanted = set(outer)
    levels = {next((n for n, part in enumerate(_folders(entry)) if part in wanted), -1) for entry in entries} - {-1}
    level = min(levels)
    above = {_folders(entry)[:level] for entry in entries}
    rule = f"level:{level + 1}" if len(above) == 1 else f"regex:^(?:[^/]+/){{{level}}}([^/]+)/"
    return f"--group-by {shlex.quote(rule)}"


def _is_neutral(name: str) -> bool:
    return name.lower() in CONTAINERS | DOMAIN_WORDS


def _shared(paths: Iterable[tuple[str, ...]]) -> int:
    """How many leading folders all paths share."""
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
        raise UserError(f"--group-by regex:{pattern}: not a regular expression ({error})") from error
    if compiled.groups < 1:
        raise UserError(f"--group-by regex:{pattern}: bracket the part that names the group, like ([^/]+)")
    match = compiled.search(entry.relative)
    return (match.group(1) or "") if match else ""
