"""The attention that stands on the teacher's side before it is adapted.

Three kinds: CBAM that a stage of its own trains by the teacher's cross-entropy, CBAM left at its initial values (what
AttnFD's public code amounts to), attention without parameters.

Measured: the usual initialisation half shuts both gates and so quarters every tap, and a short stage does not open them
again. On fogtown a teacher of 0.839 pixel accuracy (lite_m, three taps, 200 updates of AdamW at 1e-3) was left at 0.779
with its refined features in the path; from gates that start open it ended at 0.843.
"""

from typing import Final, Literal

from foglight.losses.attention import CBAM, Attention, ParameterFreeAttention

TeacherAttention = Literal["adapted", "random", "parameter_free"]

# The stage is short: statistics of CBAM's own momentum, 0.01, would still remember where they started.
MOMENTUM: Final = 0.1
# sigmoid(2) = 0.88.
OPEN_LOGIT: Final = 2.0


def teacher_attention(kind: TeacherAttention, channels: int, *, reduction: int, fewest_hidden: int) -> Attention:
    """The module, without gradient where no stage will train it.

    Args:
        kind: see above.
        channels: of the teacher's tap.
        reduction: channels per hidden unit.
        fewest_hidden: units of the perceptron where `reduction` would leave fewer.
    """
    if kind == "parameter_free":
        return ParameterFreeAttention()
    if kind == "random":
        return CBAM(channels, reduction=reduction, fewest_hidden=fewest_hidden).requires_grad_(False)
    return CBAM(channels, reduction=reduction, fewest_hidden=fewest_hidden, momentum=MOMENTUM, open_logit=OPEN_LOGIT)
