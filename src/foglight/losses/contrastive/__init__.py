"""Losses that contrast against a memory or other channels."""
