"""The one exception that users see: a single line with the fault and its remedy."""


class UserError(Exception):
    """Bad input, not a bug. The command line prints the message alone and exits with status 2."""
