"""Losses with a discriminator."""
