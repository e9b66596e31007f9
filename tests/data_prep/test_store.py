"""Tables on disk: any text, in Python's order, and reading while another table changes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.errors import UserError
from data_prep.store import Store

ANY_TEXT = st.text(st.characters(), max_size=6)  # with surrogates, which stand for bytes that are not UTF-8


@settings(deadline=None, max_examples=50)
@given(texts=st.lists(ANY_TEXT, max_size=20), wanted=ANY_TEXT)
def test_text_of_any_characters_is_kept_and_sorted_like_strings(texts: list[str], wanted: str) -> None:
    store = Store()
    store.create("words", {"word": str, "number": int}, key=["word"])
    store.add("words", ((text, number) for number, text in enumerate(texts)))
    first = {text: texts.index(text) for text in texts}
    assert list(store.query("SELECT * FROM words ORDER BY word")) == sorted(first.items())
    assert store.value("SELECT number FROM words WHERE word = CAST(? AS TEXT)", wanted) == first.get(wanted)


def test_a_table_is_read_while_another_grows() -> None:
    store = Store()
    store.create("numbers", {"number": int})
    store.create("squares", {"number": int, "square": float}, key=["number"])
    store.add("numbers", ((number,) for number in range(10_000)))
    read = store.query("SELECT number FROM numbers ORDER BY rowid")
    store.add("squares", ((number, number**2) for (number,) in read))
    assert store.value("SELECT sum(square) FROM squares") == sum(number**2 for number in range(10_000))
    store.add("squares", [(3, 0.0)])
    assert store.value("SELECT square FROM squares WHERE number = 3") == 9.0
    store.add("squares", [(3, 0.0)], replace=True)
    assert store.value("SELECT square FROM squares WHERE number = 3") == 0.0


def test_a_full_disk_is_an_error_that_names_the_folder_for_temporary_files() -> None:
    store = Store()
    store.create("numbers", {"number": int})
    store.execute("PRAGMA max_page_count = 4")
    with pytest.raises(UserError, match="TMPDIR") as refusal:
        store.add("numbers", ((number,) for number in range(10_000)))
    assert "\n" not in str(refusal.value)
