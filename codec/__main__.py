"""python -m codec"""

from codec.cli import main

main()
