"""Many files at once: which files, which outputs, and how the work is spread over processes or threads."""
