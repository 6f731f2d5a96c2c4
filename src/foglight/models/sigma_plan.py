"""Decide how a standard deviation under dropout is estimated, before the forward that it is read from.

The closed form is complete where the only dropout that is drawn feeds a linear classifier; with another active dropout
upstream it would see a part of the spread (0.3 to 0.7 of it), so that is refused unless `scope: last_dropout`.
"""

from dataclasses import dataclass
from typing import Final, final

from torch import nn

from foglight.errors import RefusedError, UserError
from foglight.models.closed_form import is_complete
from foglight.models.dry_run import DropoutPath
from foglight.models.segmentation_module import SegmentationModule
from foglight.types import Estimator, SigmaRequest

NO_DROPOUT: Final = "no-dropout"


@final
@dataclass(frozen=True)
class Plan:
    """How one request is met.

    Attributes:
        request: what was asked for.
        estimator: which way.
        active: the dropouts that are drawn, in order of execution.
        inactive: the other active ones on the path, which are not.
    """

    request: SigmaRequest
    estimator: Estimator
    active: tuple[str, ...]
    inactive: tuple[str, ...]


def plan(module: SegmentationModule, path: DropoutPath, request: SigmaRequest) -> Plan:
    """Choose the estimator: `closed_form` where it is complete, `replay` elsewhere, `full` to update BatchNorm.

    Raises:
        RefusedError: named `no-dropout`, without an active dropout: sigma would be zero everywhere.
        UserError: if the estimator asked for cannot do it.
    """
    names = [dropout.name for dropout in path.active(module)]
    if not names:
        raise RefusedError(
            NO_DROPOUT,
            f"MC dropout of {type(module).__name__}: no active dropout between image and logits, sigma would be zero",
            remedy="give the network a dropout rate above 0, or take another source of the pixel weight",
        )
    if request.passes <= request.ddof and request.estimator != "closed_form":
        raise UserError(f"expected passes > ddof, got {request.passes} pass", remedy="set ddof: 0 or more passes")
    split = len(names) - 1 if request.scope == "last_dropout" else 0
    complete = is_complete(module, path) and names[split:] == [path.feeding] and request.batch_norm != "update"
    if request.estimator is None:
        sampled: Estimator = "full" if request.batch_norm == "update" else "replay"
        estimator: Estimator = "closed_form" if complete else sampled
    else:
        estimator = request.estimator
    if estimator == "closed_form" and not complete:
        raise UserError(_why_incomplete(module, path, names, request), remedy="take estimator: replay")
    if estimator == "replay" and request.batch_norm == "update":
        raise UserError("a replay never updates BatchNorm statistics", remedy="take estimator: full")
    return Plan(request, estimator, tuple(names[split:]), tuple(names[:split]))


def _why_incomplete(module: nn.Module, path: DropoutPath, names: list[str], request: SigmaRequest) -> str:
    if request.batch_norm == "update":
        return "the closed form runs no pass that could update BatchNorm statistics"
    if not is_complete(module, path) or names[-1] != path.feeding:
        return f"the closed form needs a dropout that feeds a linear or 1x1 classifier; here {names[-1]!r} is the last"
    return (
        f"the closed form sees only the last dropout {names[-1]!r}, but {', '.join(map(repr, names[:-1]))} is active "
        "before it (`scope: last_dropout` accepts that)"
    )
