"""The one exception that users see: a single line that says what is wrong and what to do."""


class UserError(Exception):
    """Bad input, not a bug. The command line prints the message alone and exits with status 2."""
