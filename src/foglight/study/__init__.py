"""A fair comparison: arms, seeds and equal training time, fixed in one file before the first run."""
