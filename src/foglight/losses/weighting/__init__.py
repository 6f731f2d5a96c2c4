"""Weights that are laid over per-pixel losses."""
