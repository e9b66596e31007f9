"""Letters of tags in old encodings, where it can be decided which ones they are.

Programs have written whatever their system used into fields that are Latin-1 (ID3v2 up to 2.3, ID3v1) or that name no
encoding (RIFF INFO). UTF-8 proves itself. Text in Shift-JIS is recognised where it is mostly double-byte characters
whose first bytes are control characters in Latin-1. What is left is Windows-1252, of which Latin-1 is a part. Cyrillic,
Greek or Chinese code pages look like accented Latin letters: that cannot be decided from a title, and is left alone.
"""

REPLACED = "\ufffd"
"""What stands for bytes that a reader could not decode."""

_SHIFT_JIS_LEADS = range(0x81, 0xA0)


def repaired(text: str) -> str:
    """Return the text as it was meant.

    Args:
        text: as it was read, from bytes taken for Latin-1 or for UTF-8 with surrogate escapes; other text comes back.
    """
    if text.isascii():
        return text
    try:
        if any("\udc80" <= letter <= "\udcff" for letter in text):
            return decoded(text.encode("utf-8", "surrogateescape"))
        return decoded(text.encode("latin-1"))
    except UnicodeEncodeError:
        return text


def decoded(data: bytes) -> str:
    """Return the text of bytes that name no encoding."""
    for encoding in ("utf-8", "cp932", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != "cp932" or _is_japanese(data, text):
            return text
    return data.decode("latin-1")


def _is_japanese(data: bytes, text: str) -> bool:
    wide = sum(not letter.isascii() for letter in text)
    leads = sum(byte in _SHIFT_JIS_LEADS for byte in data)
    latin = sum(letter.isascii() and letter.isalpha() for letter in text)
    return 2 * leads >= wide >= max(2, latin)
