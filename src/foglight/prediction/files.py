"""Masks, overlays, soft labels and uncertainty maps for images on disk; a bad file is listed and stops nothing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from foglight.data.image_list import ListedImage
from foglight.data.image_modes import mode_notes
from foglight.data.images import read_image
from foglight.data.soft_labels import MOST_CLASSES, write_soft_labels
from foglight.engine.progress import Progress, Silent
from foglight.engine.uncertainty import Uncertainty, require_dropout
from foglight.errors import ConfigurationError, UserError
from foglight.models.network import Network
from foglight.prediction.image import predicted, shown, uncertainty_strips
from foglight.prediction.request import LARGE_WINDOW, PredictionRequest, PredictionSummary, UncertaintyRequest
from foglight.report.mask_images import mark_of, mask_image, overlay_image, write_picture
from foglight.report.predicted_files import OVERLAY, SOFT, require_harmless
from foglight.report.uncertainty_maps import maps_of, write_maps, write_sidecar


def predict_files(
    network: Network,
    images: Sequence[ListedImage],
    output: Path,
    request: PredictionRequest,
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> PredictionSummary:
    """Write `NAME.png` (palette mask), and what else is asked for, for every image.

    Args:
        network: the student.
        images: with their names.
        output: the folder for all that is written.
        request: what is written, and how it is predicted.
        resume: leave out images whose files are there and were made in the very same way.
        progress: is told after every image.

    Raises:
        ConfigurationError: if a map is wanted that the network, without dropout, does not have; if it has more classes
            than a byte holds; or if a result would replace an image.
        DataError: if two images would be written to the same file.
    """
    progress = progress or Silent()
    network.eval()
    _require_possible(network, request)
    require_harmless(images, [request.files(image.name) for image in images], output)
    for note in mode_notes([image.path for image in images]):
        progress.note(note)
    mark = request.mark()
    wanted = [image for image in images if not (resume and _is_done(output, request.files(image.name), mark))]
    skipped = len(images) - len(wanted)
    if skipped:
        progress.note(f"{skipped} of {len(images)} images are left out: their results are in {output}")
    output.mkdir(parents=True, exist_ok=True)
    failed: list[tuple[Path, str]] = []
    windowed = 0
    progress.begin("predicting", total=len(images), done=skipped)
    for number, listed in enumerate(wanted, start=skipped + 1):
        try:
            image = read_image(listed.path)
        except UserError as error:
            failed.append((listed.path, error.problem.removeprefix(f"{listed.path}: ")))
        else:
            settings = request.settings_for(shown(image, request.input_size))
            if settings != request.settings:
                windowed += 1
                if windowed == 1:
                    progress.note(_about_windows(listed.path, image, request))
            _write(network, image, output / listed.name, replace(request, settings=settings), mark)
        progress.advance(number, {})
    progress.end()
    if request.uncertainty is not None:
        _write_sidecar(network, output, request.uncertainty)
    return PredictionSummary(len(wanted) - len(failed), tuple(failed), output, skipped, windowed)


def _require_possible(network: Network, request: PredictionRequest) -> None:
    if network.num_classes > MOST_CLASSES:
        raise ConfigurationError(
            f"{network.name}: a mask holds at most {MOST_CLASSES} classes, got {network.num_classes}",
            remedy="take a network of fewer classes",
        )
    if request.uncertainty is not None:
        require_dropout(network, request.uncertainty.kinds)


def _is_done(output: Path, files: Sequence[str], mark: str) -> bool:
    # The mask is written last, whole and with its mark.
    return mark_of(output / files[0]) == mark and all((output / file).is_file() for file in files[1:])


def _about_windows(path: Path, image: Tensor, request: PredictionRequest) -> str:
    (height, width), (high, wide) = image.shape[1:], LARGE_WINDOW
    return (
        f"{path}: {height}x{width} are more than {request.largest_whole} pixels; it and every such image is seen "
        f"through windows of {high}x{wide} (--sliding HxW chooses others, --sliding off none)"
    )


def _write(network: Network, image: Tensor, base: Path, request: PredictionRequest, mark: str) -> None:
    mask, soft = predicted(network, image, request.settings, input_size=request.input_size, soft=request.soft)
    if soft is not None:
        write_soft_labels(base.with_name(f"{base.name}{SOFT}"), soft)
    if request.alpha is not None:
        overlay = overlay_image(image, mask, request.palette, alpha=request.alpha)
        write_picture(base.with_name(f"{base.name}{OVERLAY}"), overlay)
    maps = request.uncertainty
    if maps is not None:
        strips = uncertainty_strips(network, image, request.settings, input_size=request.input_size, passes=maps.passes)
        every: dict[Uncertainty, Tensor] = {kind: torch.empty(mask.shape) for kind in maps.kinds}
        for top, strip in strips:
            rows = slice(top, top + strip.entropy.shape[2])
            for kind, values in maps_of(maps.kinds, strip, mask[rows]).items():
                every[kind][rows] = values
        write_maps(every, base.parent, base.name, num_classes=network.num_classes, raw=maps.raw)
    write_picture(base.with_name(f"{base.name}.png"), mask_image(mask, request.palette), mark=mark)


def _write_sidecar(network: Network, output: Path, maps: UncertaintyRequest) -> None:
    # Without dropout there is one pass, whatever was asked for.
    passes = maps.passes if network.active_dropouts() else 1
    write_sidecar(
        output,
        maps.kinds,
        num_classes=network.num_classes,
        raw=maps.raw,
        made_by={"passes": passes, **maps.made_by},
    )
