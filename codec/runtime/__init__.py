"""Services of the operating system: files, locks, processes, signals, memory, threads. Nothing here knows audio."""
