"""Samples, transforms and data sets."""
