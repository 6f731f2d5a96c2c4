"""One method per file; the file stem is its name everywhere."""
