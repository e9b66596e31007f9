"""Whole numbers that callers pass in: counts, and positions in samples."""

import operator

from codec.errors import UserError


def whole_number(value: object, name: str, advice: str = "", least: int = 0) -> int:
    """Check a number that a caller gave.

    Args:
        value: the number; a float or a number of NumPy is accepted if it is whole
        name: what it is, for the message
        advice: what to give instead, for the message
        least: the smallest number that is allowed

    Returns:
        The number.

    Raises:
        UserError: it is anything else.

    >>> whole_number(3.0, "the number of codebooks")
    3
    """
    try:
        number = int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        more = f"; {advice}" if advice else ""
        raise UserError(f"{name} must be a whole number, not {value!r}{more}") from error
    if number < least:
        raise UserError(f"{name} must be {least} or more, not {number}")
    return number
