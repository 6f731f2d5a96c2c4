"""From a trained student to a file that runs elsewhere, measured against the student on real images."""

from foglight.exporting.records import KINDS, SUFFIX, ExportReport, ExportSettings, Kind
from foglight.exporting.student import export_student

__all__ = ["KINDS", "SUFFIX", "ExportReport", "ExportSettings", "Kind", "export_student"]
