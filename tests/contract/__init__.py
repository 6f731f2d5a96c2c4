"""Laws that hold for every loss, and for the package's own architecture."""
