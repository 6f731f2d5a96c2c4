"""What `check-data` looks at, one question per file."""
