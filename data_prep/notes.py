"""Lines for the user about the files found and the groups chosen; most are printed before decoding."""

from collections.abc import Sequence
from pathlib import Path

from codec.runtime.file_walk import describe_left_out
from data_prep.group_rules import REST, TIME
from data_prep.groups import Grouping
from data_prep.sources import Corpus, Sources


def describe_sources(sources: Sources) -> list[str]:
    """Describe the files of the sources that are left out.

    Args:
        sources: content of the sources.

    Returns:
        A line about files that are not audio and one about folders that could not be listed, if there are any.
    """
    lines = []
    if sources.left_out:
        lines.append(describe_left_out(sources.left_out))
    if sources.unlisted:
        lines.append(f"{len(sources.unlisted)} folders could not be listed; the first is {sources.unlisted[0]}")
    return lines


def describe_groups(sources: Sources, grouping: Grouping) -> list[str]:
    """Describe how files are grouped.

    Args:
        sources: content of the sources. Its store has the names of the groups of each corpus in the table
            ``group_names``.
        grouping: how groups were made.

    Returns:
        A line for each recognised corpus, and one for each other choice.
    """
    lines = [
        line
        for number, corpus in enumerate(sources.corpora)
        if (line := _describe_corpus(sources, number, corpus, grouping.rule))
    ]
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
    known = sources.store.value("SELECT count(*) FROM files WHERE text != ''")
    return [f"{known} of {_count_files(len(sources.entries))} have a text, for word error rates"] if known else []


def _describe_corpus(sources: Sources, number: int, corpus: Corpus, rule: str | None) -> str:
    """Return the line about a corpus, empty if none of its files are of a domain that is used."""
    layout, store = corpus.layout, sources.store
    files = store.value("SELECT count(*) FROM files WHERE corpus = ?", number)
    groups = store.value("SELECT count(DISTINCT name) FROM group_names WHERE corpus = ?", number)
    if not files:
        return ""
    if rule and not rule.startswith(REST):
        grouping = f"grouped by {rule} as requested"
    elif layout.grouping:
        grouping = f"grouped by {layout.grouping}"
    else:
        grouping = "without groups of its own"
    parts = [
        f"{corpus.folder}: {layout.name}, recognised by {layout.evidence}",
        f"{_count_files(files)}, {grouping} ({groups} groups)",
        *([f"domain {layout.domain}"] if layout.domain else []),
        *([_describe_unlisted(corpus)] if corpus.unlisted else []),
    ]
    return "; ".join(parts)


def _describe_unlisted(corpus: Corpus) -> str:
    name = Path(corpus.first_unlisted).relative_to(corpus.folder).as_posix()
    named = name if corpus.unlisted == 1 else f"the first is {name}"
    return f"{_count_files(corpus.unlisted)} not in its list, left out ({named}); {corpus.advise_on_unlisted()}"


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
