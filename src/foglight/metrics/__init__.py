"""Streaming metrics in bounded memory."""
