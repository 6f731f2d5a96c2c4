"""The commands of `foglight`, one per file; nothing heavy is imported before a command's first line is printed."""
