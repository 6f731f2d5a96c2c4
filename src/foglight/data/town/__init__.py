"""The street scenes of fogtown: a small renderer in pure NumPy."""
