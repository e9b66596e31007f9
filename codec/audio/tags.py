"""Titles and other tags of audio files."""

TAGS = ("title", "artist", "album", "tracknumber", "genre", "date", "comment", "copyright", "license")
"""What is read of a file's tags, and written."""

DECODER = "Lathe decoder"
"""What decoded files name as their software: these may be replaced, and no other file is taken for one."""
