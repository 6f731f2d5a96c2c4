"""Which images are meant by files, folders, and text files that list them; and what each is called in a result.

A name is a path without its suffix, relative to the folder of the results: the stem alone, or, with the tree kept, the
path under the folder that was given, or as a list wrote it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from foglight.data.images import IMAGE_SUFFIXES
from foglight.errors import DataError

LIST_MARK: Final = "@"


@final
@dataclass(frozen=True)
class ListedImage:
    """One image.

    Attributes:
        path: of the file, which may not exist.
        name: what results are called after.
    """

    path: Path
    name: str


def find_images(
    paths: Sequence[Path], *, recursive: bool = False, leave_out: Collection[Path] = ()
) -> list[ListedImage]:
    """The files named, the images in the folders named, and what the lists name (`@list.txt`: one path per line).

    Args:
        paths: files, folders, or lists marked with `@`; paths in a list are read from where the command runs.
        recursive: search folders in folders, and keep their tree in the names.
        leave_out: folders whose images are not meant, such as that of earlier results.

    Raises:
        DataError: if there is no image, or a list cannot be read.

    >>> find_images([Path("drives/day/a.png")])
    [ListedImage(path=PosixPath('drives/day/a.png'), name='a')]
    """
    hidden = [folder.resolve() for folder in leave_out]
    found: list[ListedImage] = []
    for path in paths:
        if str(path).startswith(LIST_MARK):
            for entry in _listed(Path(str(path).removeprefix(LIST_MARK))):
                found += _expanded(entry, recursive, hidden, keep_folder=recursive)
        else:
            found += _expanded(path, recursive, hidden, keep_folder=False)
    if not found:
        deeper = "" if recursive else "; `--recursive` looks into folders of folders"
        raise DataError(
            f"{', '.join(map(str, paths))}: no images",
            remedy=f"give files ending in {', '.join(IMAGE_SUFFIXES)}{deeper}",
        )
    # A file that was named twice is still one image.
    return list(dict.fromkeys(found))


def _expanded(path: Path, recursive: bool, hidden: Sequence[Path], *, keep_folder: bool) -> list[ListedImage]:
    if path.is_dir():
        files = sorted(path.rglob("*") if recursive else path.iterdir())
        images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()]
        shown = [file for file in images if not any(file.resolve().is_relative_to(folder) for folder in hidden)]
        return [ListedImage(file, file.relative_to(path).with_suffix("").as_posix()) for file in shown]
    inside = keep_folder and not path.is_absolute() and ".." not in path.parts
    return [ListedImage(path, path.with_suffix("").as_posix() if inside else path.stem)]


def _listed(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = "no such list" if isinstance(error, FileNotFoundError) else "cannot be read as a list of paths"
        raise DataError(
            f"{path}: {reason}", remedy="after @ give a text file (UTF-8) with one image or folder per line"
        ) from error
    return [Path(line.strip()) for line in lines if line.strip() and not line.startswith("#")]
