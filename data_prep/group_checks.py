"""Checks of the groups: whether the rule does anything, and whether a speaker may be in several groups."""

import json
import unicodedata
from collections.abc import Iterator

from codec.dataset.columns import GROUP_COLUMNS
from codec.errors import UserError
from data_prep.group_rules import FILE, TIME, GroupRule
from data_prep.groups import Grouping, name_entries
from data_prep.rows import CHANGED_GROUP, RowTable
from data_prep.sources import Sources
from data_prep.tables import COLUMNS_OF_NO_GROUP


class GroupNames:
    """Names of all groups, entered into the store of the sources.

    Args:
        sources: content of the sources. Its store receives the tables ``group_names``, with the names of the groups of
            each corpus and whether a corpus or list states them; ``other_names``, with what other columns of lists call
            the members of a group; and ``unnamed``, with the files that are groups of their own for want of a name.
        grouping: how groups are made.

    Raises:
        UserError: see :func:`data_prep.groups.group_entries`.
    """

    def __init__(self, sources: Sources, grouping: Grouping) -> None:
        self._sources, self._store, self._grouping = sources, sources.store, grouping
        self._rule = GroupRule.parse(grouping.rule) if grouping.rule else None
        self._store.create(
            "group_names", {"corpus": int, "name": str, "stated": bool}, key=["corpus", "name", "stated"]
        )
        self._store.create("other_names", {"label": str, "value": str, "name": str}, key=["label", "value", "name"])
        self._store.create("unnamed", {"path": str}, key=["path"])
        self._store.add("group_names", self._name_files())

    def __len__(self) -> int:
        return int(self._store.value("SELECT count(DISTINCT name) FROM group_names"))

    def _name_files(self) -> Iterator[tuple[int, str, bool]]:
        entries = self._sources.entries
        for corpus, (entry, named) in zip(entries.corpora(), name_entries(entries, self._grouping), strict=True):
            name = named or entry.recording or entry.relative
            yield corpus, name, name == entry.group
            if not named:
                self._store.add("unnamed", [(str(entry.path),)])
            stated = ((label, entry.fields.get(label, "").strip()) for label in GROUP_COLUMNS)
            if others := [(*pair, name) for pair in stated if pair[1] not in ("", entry.group)]:
                self._store.add("other_names", others)

    def warnings(self) -> list[str]:
        """Describe what may be divided among the groups.

        Returns:
            A line for each finding.
        """
        if self._rule and not self._rule.of_rest:
            return [] if self._rule.kind in (FILE, TIME) else self._describe_unnamed(self._rule.text)
        return [
            *self._describe_ungrouped(),
            *self._describe_unused_columns(),
            *self._describe_conversations(),
            *self._describe_other_names(),
            *self._describe_spellings(),
        ]

    def _describe_unnamed(self, rule: str) -> list[str]:
        """Describe files to which the rule of the user gives no name."""
        count, first = next(self._store.query("SELECT count(*), coalesce(min(path), '') FROM unnamed"))
        if not count:
            return []
        return [
            f"--group-by {rule} names no group for {_of(count, len(self._sources.entries))} (the first is {first});"
            " each is a group of its own"
        ]

    def _describe_ungrouped(self) -> list[str]:
        """Describe files without a group in lists and corpora that give others one."""
        stated = """sum("group" = ''), min(CASE "group" WHEN '' THEN path END), count(*)"""
        query = f"SELECT list, {stated} FROM files GROUP BY list HAVING max(\"group\") != '' AND min(\"group\") = ''"
        lines = []
        for number, count, first, total in self._store.query(query):
            alone = self._store.value(
                "SELECT count(*) FROM files JOIN unnamed USING (path) WHERE list = ? AND \"group\" = ''", number
            )
            by = f"grouped by {self._rule.text if self._rule else 'folder'}"
            how = by if not alone else "each a group of its own" if alone == count else f"{by}, {alone} of them alone"
            lines.append(
                f"{self._sources.entries.lists[number]}: {_of(count, total)} have no speaker or other group (the first"
                f" is {first}) and are {how}, so a speaker of the others may be in two splits; name their speakers in"
                " the list, or leave them out"
            )
        return lines

    def _describe_unused_columns(self) -> list[str]:
        """Describe lists of which no column gives a group, although one might."""
        lines = []
        query = """SELECT list, max(fields) FROM files GROUP BY list HAVING max("group") = '' AND max(fields) != ''"""
        for number, fields in () if self._rule else self._store.query(query):
            if others := [name for name in json.loads(fields) if name and name not in COLUMNS_OF_NO_GROUP]:
                lines.append(
                    f"{self._sources.entries.lists[number]}: no column is called speaker or group, so its files are"
                    f" grouped by folder, or alone if they are in none; if one of its columns ({', '.join(others[:5])})"
                    " says what belongs together, use --group-by column:NAME"
                )
        return lines

    def _describe_conversations(self) -> list[str]:
        """Describe speakers of conversations who are in other groups, too."""
        talks = "FROM conversations JOIN files USING (path)"
        query = f"""
            SELECT speaker FROM (SELECT DISTINCT speaker, name {talks}) GROUP BY speaker HAVING count(*) > 1
            UNION SELECT speaker {talks} WHERE speaker IN (SELECT name FROM group_names) ORDER BY speaker
        """
        count, first = self._store.value(f"SELECT count(*) FROM ({query})"), self._store.value(query)
        if not count:
            return []
        return [
            f"files with several speakers are groups of their own, and {_people(count)} of them are in others"
            f" (the first is {first}), and so may be in two splits; to prevent that, give all files of speakers who"
            " meet one name in a column group"
        ]

    def _describe_other_names(self) -> list[str]:
        """Describe speakers of a column that others take precedence of, who are in several groups."""
        elsewhere = "count(*) > 1 OR value IN (SELECT name FROM group_names WHERE stated)"
        several = f"SELECT label, value FROM other_names GROUP BY label, value HAVING {elsewhere}"
        query = f"SELECT label, count(*), min(value) FROM ({several}) GROUP BY label"
        return [
            f"the column {label} is not what groups are made of, and {_people(count)} of it are in several groups (the"
            f" first is {first}), and so may be in two splits; to keep them together, use --group-by column:{label}"
            for label, count, first in self._store.query(query)
        ]

    def _describe_spellings(self) -> list[str]:
        """Describe groups of lists whose names differ only in their spelling."""
        self._store.create("spellings", {"plain": str, "name": str}, key=["plain", "name"])
        names = self._store.query("SELECT DISTINCT name FROM group_names WHERE stated")
        self._store.add("spellings", ((_plain_spelling(name), name) for (name,) in names))
        query = "SELECT count(*), min(name), max(name) FROM spellings GROUP BY plain HAVING count(*) > 1 ORDER BY plain"
        found = list(self._store.query(query))
        if not found:
            return []
        return [
            f"{sum(count for count, *_ in found)} groups have names that differ only in capitals or spaces (such as"
            f" {found[0][1]!r} and {found[0][2]!r}), and may be in two splits; spell one name in one way"
        ]


def refuse_idle_rule(sources: Sources, text: str | None) -> None:
    """Refuse a rule for the files without a group of their own if there are none.

    Args:
        sources: content of the sources.
        text: rule that the user gave for this run, or None.

    Raises:
        UserError: the rule begins with ``rest:``, and corpora and lists give all files a group.
    """
    if not text or not GroupRule.parse(text).of_rest or next(sources.entries.plain(), None):
        return
    corpus = next((corpus for corpus in sources.corpora if corpus.unlisted), None)
    if corpus is None:
        raise UserError(
            f"--group-by {text}: corpora and lists give every file a group, so this has no effect; leave it out"
        )
    table = corpus.layout.lists[0]
    raise UserError(
        f"--group-by {text}: this has no effect, since {table} names all files that are used, and {corpus.unlisted}"
        f" below its folder that it does not name are left out (the first is {corpus.first_unlisted});"
        f" {corpus.advise_on_unlisted()}"
    )


def describe_excluded(rows: RowTable) -> list[str]:
    """Describe clips that are excluded for what lists state about their group.

    Args:
        rows: the rows after their division. Their store has the tables of :class:`GroupNames` and ``twins``.

    Returns:
        A line for each finding.
    """
    lines = []
    store = rows.store
    moved = f"FROM {rows.name} WHERE status = 'excluded' AND reason LIKE '{CHANGED_GROUP}:%'"
    count, first = next(store.query(f"SELECT count(*), coalesce(min(path), '') {moved}"))
    if count:
        lines.append(
            f"{_files(count)} excluded (the first is {first}), since what an earlier run used in one split never gets"
            " into another, where the group is that the list now gives; correct the list, or choose another --out"
        )
    stated = "IN (SELECT name FROM group_names WHERE stated)"
    twins = f"FROM twins WHERE name {stated} AND used_name {stated}"
    if count := store.value(f"SELECT count(*) {twins}"):
        key, name, used_key, used_name = next(
            store.query(f"SELECT key, name, used_key, used_name {twins} ORDER BY key")
        )
        lines.append(
            f"{_files(count)} excluded for the same samples as files of other groups (the first is {key} of {name},"
            f" like {used_key} of {used_name}); if two groups are one speaker, give them one name"
        )
    return lines


def _plain_spelling(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _of(count: int, total: int) -> str:
    return f"{count} of {total} files"


def _files(count: int) -> str:
    return "1 file is" if count == 1 else f"{count} files are"


def _people(count: int) -> str:
    return "1 speaker" if count == 1 else f"{count} speakers"
