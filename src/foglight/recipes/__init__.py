"""Recipes and method presets in YAML."""
