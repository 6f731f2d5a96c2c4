"""Downloads that go on where they stopped, are checked, and leave nothing half written under a file's own name.

A file grows as NAME.part, gets its name once its size and checksum are right, and an archive is unpacked beside its
place and then moved in. What was unpacked is written down in fetched.json, so that the archive may be deleted.
"""

import hashlib
import http.client
import json
import os
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from foglight.atomic import write_json
from foglight.data.fetch_table import Source
from foglight.errors import DataError

CHUNK: Final = 2**20
SILENCE_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 10.0
RECORD: Final = "fetched.json"
GO_ON: Final = "run the same command again: it goes on where it stopped"
OnBytes = Callable[[int, int | None], None]


@final
@dataclass(frozen=True)
class Fetched:
    """A file that is there and right.

    Attributes:
        file: its name.
        algorithm: of the hash.
        digest: computed from the file.
        compared: whether there was a checksum to compare it with.
    """

    file: str
    algorithm: str
    digest: str
    compared: bool


def fetch(source: Source, root: Path, *, on_bytes: OnBytes) -> Fetched:
    """Download, check and unpack one file, as far as that has not been done.

    Args:
        source: what to get.
        root: the folder of the data set.
        on_bytes: is told how many bytes there are, and of how many if that is known.

    Raises:
        DataError: without a network, if the connection breaks, or the file is not the published one.
        OSError: from the file system.
    """
    record = _read_record(root)
    if source.file in record:
        return Fetched(**record[source.file])
    root.mkdir(parents=True, exist_ok=True)
    target = root / source.file
    if not target.is_file():
        part = root / f"{source.file}.part"
        _download(source, part, on_bytes)
        _check(source, part)
        os.replace(part, target)
    found = _check(source, target)
    if source.unpack:
        _unpack(target, root)
    record[source.file] = {
        "file": found.file, "algorithm": found.algorithm, "digest": found.digest, "compared": found.compared
    }  # fmt: skip
    write_json(root / RECORD, record)
    return found


def size_on_server(address: str) -> int | None:
    """What the server says of a file's size; None where it says nothing or cannot be reached."""
    try:
        request = urllib.request.Request(address, method="HEAD")
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:
            length = response.headers.get("Content-Length")
    except (OSError, http.client.HTTPException):
        return None
    return int(length) if length is not None and length.isdigit() else None


def _download(source: Source, part: Path, on_bytes: OnBytes) -> None:
    done = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(source.address, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=SILENCE_SECONDS) as response:
            if done and not (response.status == 206 and _first_byte(response) == done):
                done = 0  # the server cannot go on, or not from there: from the beginning
            length = response.headers.get("Content-Length")
            total = None if length is None else done + int(length)
            done = _receive(response, part, done, total, on_bytes)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and done:
            return  # nothing is left to send: the checks say whether that is the file
        raise DataError(f"{source.address}: the server answers {error.code} {error.reason}", remedy=GO_ON) from error
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"{source.address}: cannot be reached or broke off ({' '.join(str(reason).split())})",
            remedy=f"check the network, then {GO_ON}",
        ) from error
    if total is not None and done < total:
        raise DataError(f"{source.address}: the connection ended at {done} of {total} bytes", remedy=GO_ON)


def _first_byte(response: Any) -> int | None:
    """The first byte of `Content-Range: bytes 100-199/200`."""
    words = (response.headers.get("Content-Range") or "").removeprefix("bytes ").split("-")
    return int(words[0]) if words[0].isdigit() else None


def _receive(response: Any, part: Path, done: int, total: int | None, on_bytes: OnBytes) -> int:
    with part.open("ab" if done else "wb") as file:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            on_bytes(done, total)
        file.flush()
        os.fsync(file.fileno())
    return done


def _check(source: Source, path: Path) -> Fetched:
    """The hash of a file that is right; a wrong one is removed, so that the next attempt begins anew."""
    size = path.stat().st_size
    if source.size is not None and size != source.size:
        path.unlink()
        raise DataError(
            f"{path}: {size} bytes, expected {source.size}; it was removed",
            remedy=f"run the same command again; if it stays so, {source.address} is no longer the published file",
        )
    algorithm = "sha256" if source.checksum is None else source.checksum.algorithm
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).hexdigest()
    if source.checksum is not None and digest != source.checksum.digest:
        path.unlink()
        raise DataError(
            f"{path}: {algorithm} {digest}, expected {source.checksum.digest}; it was removed",
            remedy=f"run the same command again; if it stays so, {source.address} is no longer the published file",
        )
    return Fetched(source.file, algorithm, digest, source.checksum is not None)


def _unpack(archive: Path, root: Path) -> None:
    folder = root / f".{archive.name}.unpacking"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(folder)
        else:
            with tarfile.open(archive) as packed:
                _extract(packed, folder)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                target = root / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(
            f"{archive}: cannot be unpacked ({error})", remedy="remove it and run the same command again"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _extract(packed: tarfile.TarFile, folder: Path) -> None:
    """Files and folders alone, and nothing outside; `extractall` has no such filter before Python 3.11.4."""
    for member in packed:
        target = (folder / member.name).resolve()
        if not target.is_relative_to(folder.resolve()) or not (member.isfile() or member.isdir()):
            raise tarfile.TarError(f"expected files and folders inside the archive, got {member.name}")
        if member.isfile():
            target.parent.mkdir(parents=True, exist_ok=True)
            source = packed.extractfile(member)
            assert source is not None, "a regular file"
            with source, target.open("wb") as file:
                shutil.copyfileobj(source, file)


def _read_record(root: Path) -> dict[str, Any]:
    path = root / RECORD
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: cannot be read ({error})", remedy="remove that file") from error
    return dict(content)
