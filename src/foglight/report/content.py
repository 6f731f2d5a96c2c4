"""A report for programs: the page's figures without its pictures, JSON-ready."""

from typing import Any

from foglight.report.records import Report, Uncertainty
from foglight.report.words import headline, kept_share


def content(report: Report) -> dict[str, Any]:
    """Arms with raw and scaled scores, uncertainties, notes, origins."""
    arms = [{**vars(arm), "kept_share": kept_share(report, arm), "notes": list(arm.notes)} for arm in report.arms]
    return {
        "headline": list(headline(report)),
        "data": report.data,
        "frames": report.frames,
        "baseline": report.baseline,
        "arms": arms,
        "uncertainties": [_figures(entry) for entry in report.uncertainties],
        "notes": list(report.notes),
        "origins": [{"arm": origin.arm, **dict(origin.facts)} for origin in report.origins],
    }


def _figures(entry: Uncertainty) -> dict[str, Any]:
    return {"arm": entry.arm, "source": entry.source, "error_auroc": dict(entry.auroc), "aurc": dict(entry.aurc)}
