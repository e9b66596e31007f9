"""Older models of lathe-codec, each in a folder of its name."""
