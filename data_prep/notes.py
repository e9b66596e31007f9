"""Lines for the user about what was found and chosen, before anything is decoded."""

from collections.abc import Mapping, Sequence

from codec.runtime.file_walk import count_suffixes, describe_left_out
from data_prep.groups import TIME, Grouping
from data_prep.sources import Corpus, Sources


def describe_sources(held: Sources) -> list[str]:
    """Return a line about files that are no audio, and one about folders that could not be listed."""
    lines = []
    if held.others:
        lines.append(describe_left_out(count_suffixes(held.others)))
    if held.unlisted:
        lines.append(f"{len(held.unlisted)} folders could not be listed, the first: {held.unlisted[0]}")
    return lines


def describe_groups(held: Sources, groups: Mapping[str, str], choice: Grouping) -> list[str]:
    """Return a line for each corpus that was recognised, with its groups and why, and what else was chosen."""
    lines = [line for corpus in held.corpora if (line := _about_corpus(corpus, groups, choice.rule))]
    if choice.rule == TIME:
        lines.append("long recordings are divided by time, with gaps; shorter files are groups of their own")
    return [*lines, *choice.notes]


def _about_corpus(corpus: Corpus, groups: Mapping[str, str], rule: str | None) -> str:
    """Empty where none of its files is of a domain that is taken."""
    layout = corpus.layout
    taken = [entry for entry in corpus.entries if str(entry.path) in groups]
    names = {groups[str(entry.path)] for entry in taken}
    if not taken:
        return ""
    if rule:
        grouping = f"grouped by {rule}, as asked"
    elif layout.grouping:
        grouping = f"grouped by {layout.grouping}"
    else:
        grouping = "it names no groups"
    unknown = sum(not entry.group and not entry.plain for entry in taken)
    parts = [
        f"{corpus.folder}: {layout.name}, recognised by {layout.evidence}",
        f"{_files(len(taken))}, {grouping} ({len(names)} groups)",
        *([f"{layout.domain}"] if layout.domain else []),
        *([f"{unknown} files of which it says nothing are groups of their own"] if unknown and layout.grouping else []),
        *([f"{_files(corpus.unlisted)} that it does not name are left out"] if corpus.unlisted else []),
    ]
    return "; ".join(parts)


def describe_repairs(repaired: Sequence[str]) -> list[str]:
    """Return a line about packed arrays that were damaged."""
    return [f"damaged since they were packed, and written anew: {', '.join(repaired)}"] if repaired else []


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
