"""Names of files, folders and systems, which may hold any character, as they are shown to people."""

import re

_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, which a terminal obeys; line breaks; what reverses the direction of text; and the halves of
characters that stand for bytes that are not UTF-8."""


def visible(text: str) -> str:
    """The text with escapes, such as ``\\x1b`` and ``\\u202e``, in the place of characters that are not shown as
    themselves."""
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)
