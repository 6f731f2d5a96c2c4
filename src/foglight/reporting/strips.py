"""One strip per chosen frame: image, truth, teacher, student alone, each run and what it fixed and broke."""

from collections.abc import Mapping, Sequence
from typing import Final

from jaxtyping import UInt8
from torch import Tensor

from foglight.data.sample import Sample
from foglight.report.numbers import percent
from foglight.report.pictures import (
    BROKEN,
    CHANGE_COLOURS,
    FIXED,
    NOTHING_SAID,
    blank_picture,
    changes,
    index_picture,
    photo,
    share,
)
from foglight.report.records import Picture, Strip
from foglight.reporting.cast import Cast
from foglight.reporting.scene import Scene

NO_LABEL: Final = "no label"


def frame_strips(scene: Scene, masks: Mapping[str, Sequence[UInt8[Tensor, "H W"]]], cast: Cast) -> tuple[Strip, ...]:
    """The strips; networks without masks are left out.

    Args:
        scene: the data and the chosen frames.
        masks: by arm, one per chosen frame.
        cast: who is compared with whom: a run with the baseline, or with its teacher where there is none.
    """
    seen = {title: found for title, found in masks.items() if found}
    if not seen:
        return ()
    return tuple(_strip(scene, position, seen, cast) for position in range(len(scene.chosen)))


def _strip(scene: Scene, position: int, masks: Mapping[str, Sequence[Tensor]], cast: Cast) -> Strip:
    sample = scene.sample(scene.chosen[position])
    pictures = [photo("image", sample.image), _truth(scene, sample)]
    for title, found in masks.items():
        mask = found[position].long()
        pictures.append(index_picture(title, mask, scene.info.palette))
        reference = _reference(title, cast)
        if reference is not None and reference in masks and sample.label is not None and sample.labelled:
            changed = changes(
                sample.label.long(), mask, masks[reference][position].long(), ignore_index=scene.info.ignore_index
            )
            fixed, broken = (percent(share(changed, which, ignored=NOTHING_SAID)) for which in (FIXED, BROKEN))
            caption = f"{fixed} % fixed, {broken} % broken"
            pictures.append(index_picture(f"{title} against {reference}", changed, CHANGE_COLOURS, caption=caption))
    return Strip(sample.id, tuple(pictures))


def _truth(scene: Scene, sample: Sample) -> Picture:
    if sample.label is None or not sample.labelled:
        return blank_picture("truth", sample.size, caption=NO_LABEL)
    return index_picture("truth", sample.label.long(), scene.info.palette)


def _reference(title: str, cast: Cast) -> str | None:
    """Whom an arm is compared with; None for the baseline and the teachers."""
    if title not in cast.runs or title == cast.baseline:
        return None
    if cast.baseline is not None:
        return cast.baseline
    return next((teacher.title for teacher in cast.teachers if title in teacher.pupils), None)
