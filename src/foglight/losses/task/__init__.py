"""Losses against the labels."""
