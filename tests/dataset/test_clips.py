"""The table of a split in columns: the clips come back as they were."""

import pickle
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.dataset.clips import Clip, ClipLocation, ClipTable

WORD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5) | st.just("\udcff")
NUMBER = st.floats(-1e6, 1e6)
CLIPS = st.builds(
    Clip,
    WORD,
    WORD.map(Path),
    WORD,
    WORD,
    NUMBER,
    NUMBER,
    NUMBER,
    NUMBER,
    st.integers(1, 2**40),
    WORD,
    WORD,
    WORD,
    WORD,
)
ROWS = st.lists(st.tuples(CLIPS, st.builds(ClipLocation, WORD, st.integers(0, 2**40))), min_size=1, max_size=8)


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_clips_come_back_as_they_were(rows: list[tuple[Clip, ClipLocation]]) -> None:
    clips = [clip for clip, _ in rows]
    for table in (ClipTable(rows), pickle.loads(pickle.dumps(ClipTable(rows)))):
        assert list(table) == clips and table[-1] == clips[-1] and table[1:3] == clips[1:3]
        assert [table.location(index) for index in range(len(table))] == [location for _, location in rows]
        np.testing.assert_array_equal(table.numbers("seconds"), [clip.seconds for clip in clips])
        np.testing.assert_array_equal(table.numbers("start"), [location.start for _, location in rows])
        names, numbers = table.words("group")
        assert [names[number] for number in numbers] == [clip.group for clip in clips]
        assert names == list(dict.fromkeys(clip.group for clip in clips))
