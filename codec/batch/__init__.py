"""Many files at once: inputs, outputs, and distribution of the work over processes or threads."""
