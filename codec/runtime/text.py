"""Text for people: names, which may hold any character, and durations."""

import re

_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, which terminals interpret; line breaks; marks that reverse the direction of text; and lone
surrogates, which stand for bytes that are not UTF-8."""

_MARKUP = re.compile(
    r"[\\`*|]"  # these mean something everywhere
    r"|(?<![^\W_])_|_(?![^\W_])"  # inside a word an underscore is one
    r"|\](?=[(\[:])"  # the middle of a link
    r"|^[#>+=-](?=\W|$)"  # a heading, a quotation, a list
)


def escape_invisible(text: str) -> str:
    r"""Escape the characters of a name that are invisible or that terminals interpret.

    Args:
        text: any text, such as the name of a file

    Returns:
        The text with escapes, such as ``\x1b``, instead of them.

    >>> escape_invisible("a\nb")
    'a\\nb'
    """
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


def markdown_text(text: str) -> str:
    r"""Escape text for a line of Markdown (CommonMark, with the tables of GFM).

    Args:
        text: any text

    Returns:
        Markdown that is shown as the text, letter by letter.

    >>> markdown_text("a*b|c")
    'a\\*b\\|c'
    """
    escaped = _MARKUP.sub(lambda found: f"\\{found[0]}", escape_invisible(text))
    return re.sub(r"&(?=#?\w+;)", "&amp;", escaped).replace("<", "&lt;")


def format_duration(seconds: float) -> str:
    """Format a duration in the units that a reader expects for its length.

    Args:
        seconds: the duration, 0 or more

    Returns:
        Seconds below a minute and a half, else minutes, or hours and minutes.

    >>> format_duration(75), format_duration(720), format_duration(11_100)
    ('75 s', '12 min', '3 h 5 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
