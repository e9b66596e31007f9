"""Run the command line as ``python -m codec``."""

from codec.cli import main

main()
