"""foglight: distil any segmentation teacher into a small, calibrated student."""

__version__ = "0.1.0"
