"""Losses between relations of features."""
