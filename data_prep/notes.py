"""Lines for the user about the files found and the groups chosen; most are printed before decoding."""

from collections.abc import Mapping, Sequence

from codec.runtime.file_walk import count_suffixes, describe_left_out
from data_prep.groups import TIME, Grouping
from data_prep.sources import Corpus, Sources


def describe_sources(sources: Sources) -> list[str]:
    """Describe the files of the sources that are left out.

    Args:
        sources: content of the sources.

    Returns:
        A line about files that are not audio and one about folders that could not be listed, if there are any.
    """
    lines = []
    if sources.others:
        lines.append(describe_left_out(count_suffixes(sources.others)))
    if sources.unlisted:
        lines.append(f"{len(sources.unlisted)} folders could not be listed; the first is {sources.unlisted[0]}")
    return lines


def describe_groups(sources: Sources, groups: Mapping[str, str], grouping: Grouping) -> list[str]:
    """Describe how files are grouped.

    Args:
        sources: content of the sources.
        groups: names of the groups by path.
        grouping: how groups were made.

    Returns:
        A line for each recognised corpus, and one for each other choice.
    """
    lines = [line for corpus in sources.corpora if (line := _describe_corpus(corpus, groups, grouping.rule))]
    if grouping.rule == TIME:
        lines.append("long recordings are divided by time, with gaps; each shorter file is a group of its own")
    return [*lines, *grouping.notes]


def describe_texts(sources: Sources) -> list[str]:
    """Describe the number of files whose words are known.

    Args:
        sources: content of the sources.

    Returns:
        A line, if there are any.
    """
    known = sum(bool(entry.text) for entry in sources.entries)
    return [f"{known} of {_count_files(len(sources.entries))} have a text, for word error rates"] if known else []


def _describe_corpus(corpus: Corpus, groups: Mapping[str, str], rule: str | None) -> str:
    """Return the line about a corpus, empty if none of its files are of a domain that is used."""
    layout = corpus.layout
    used = [entry for entry in corpus.entries if str(entry.path) in groups]
    names = {groups[str(entry.path)] for entry in used}
    if not used:
        return ""
    if rule:
        grouping = f"grouped by {rule} as requested"
    elif layout.grouping:
        grouping = f"grouped by {layout.grouping}"
    else:
        grouping = "without groups of its own"
    unknown = sum(not entry.group and not entry.plain for entry in used)
    parts = [
        f"{corpus.folder}: {layout.name}, recognised by {layout.evidence}",
        f"{_count_files(len(used))}, {grouping} ({len(names)} groups)",
        *([f"domain {layout.domain}"] if layout.domain else []),
        *(
            [f"{_count_files(unknown)} without a known group, each a group of its own"]
            if unknown and layout.grouping
            else []
        ),
        *([f"{_count_files(corpus.unlisted)} not in its list, left out"] if corpus.unlisted else []),
    ]
    return "; ".join(parts)


def describe_repairs(repaired: Sequence[str]) -> list[str]:
    """Describe packed arrays that were damaged.

    Args:
        repaired: names of the arrays.

    Returns:
        One line, or none if there are none.
    """
    return [f"damaged packed arrays were written again: {', '.join(repaired)}"] if repaired else []


def _count_files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
