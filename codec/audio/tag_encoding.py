"""Detection of the character encoding of tags.

Programs write text in the encoding of their system into fields that are defined as Latin-1 (ID3v2 up to 2.3, ID3v1) or
that have no defined encoding (RIFF INFO). Valid UTF-8 is decoded as UTF-8. Text is decoded as Shift-JIS if the majority
of its characters have two bytes, the first one a control character in Latin-1. All other text is decoded as
Windows-1252, which includes Latin-1. Cyrillic, Greek and Chinese code pages cannot be distinguished from accented Latin
letters in a title; such text is not changed.
"""

REPLACEMENT_CHARACTER = "\ufffd"
"""The character that replaces bytes that a reader could not decode."""

_SHIFT_JIS_LEADS = range(0x81, 0xA0)


def repair_text(text: str) -> str:
    r"""Repair text that was decoded in the wrong encoding.

    Args:
        text: text that was decoded as Latin-1, or as UTF-8 with surrogate escapes

    Returns:
        The text in the detected encoding; the same text if it cannot have been decoded wrongly.

    >>> repair_text("GrÃ¶Ã\x9fe")
    'Größe'
    """
    if text.isascii():
        return text
    try:
        if any("\udc80" <= letter <= "\udcff" for letter in text):
            return decode_text(text.encode("utf-8", "surrogateescape"))
        return decode_text(text.encode("latin-1"))
    except UnicodeEncodeError:
        return text


def decode_text(data: bytes) -> str:
    """Decode text of unknown encoding.

    Args:
        data: the encoded text

    Returns:
        The text, decoded as UTF-8, Shift-JIS, Windows-1252 or Latin-1: the first that fits.
    """
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
