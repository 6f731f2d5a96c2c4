"""Images on disk in, masks and what goes with them out."""
