"""Does `fetch-data` go on where it stopped, refuse a wrong file, and say in one line what is wrong?"""

import functools
import hashlib
import http.server
import io
import json
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from foglight.cli import run
from foglight.data import fetch_table
from foglight.data.fetch import fetch
from foglight.data.fetch_table import PAGES, Checksum, Page, Source
from foglight.errors import DataError

CONTENT = bytes(range(256)) * 40


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves some bytes by name, with ranges unless it is told not to, and writes down what it was asked for."""

    def __init__(self, files: Mapping[str, bytes], asked: list[tuple[str, str | None]], options: set[str], *rest):
        self.files, self.asked, self.options = files, asked, options
        super().__init__(*rest)

    def log_message(self, *arguments: object) -> None:
        """Nothing on stderr: tests read it."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.files[self.path])))
        self.end_headers()

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append((self.path, wanted))
        content = self.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and "no ranges" not in self.options else 0
        if first and first >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(content) - first))
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        end = len(content) // 2 if "break off" in self.options else len(content)
        self.wfile.write(content[first:end])


class Server:
    """A server on this machine."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"/file.bin": CONTENT}
        self.asked: list[tuple[str, str | None]] = []
        self.options: set[str] = set()
        handler = functools.partial(Handler, self.files, self.asked, self.options)
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}"

    def source(self, name: str = "file.bin", *, checksum: bool = True, unpack: bool = False) -> Source:
        content = self.files[f"/{name}"]
        known = Checksum("md5", hashlib.md5(content).hexdigest(), "this test") if checksum else None
        return Source(f"{self.address}/{name}", name, len(content) if checksum else None, known, unpack=unpack)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def get(source: Source, root: Path) -> str:
    return fetch(source, root, on_bytes=lambda done, total: None).digest


def test_a_file_is_downloaded_checked_and_never_again(server: Server, tmp_path: Path) -> None:
    source = server.source()
    assert get(source, tmp_path) == hashlib.md5(CONTENT).hexdigest()
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert get(source, tmp_path) == hashlib.md5(CONTENT).hexdigest()
    assert server.asked == [("/file.bin", None)]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_goes_on_where_it_stopped(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.options |= {"break off"}
    with pytest.raises(DataError, match=r"broke off|connection ended"):
        get(server.source(), tmp_path)
    assert not (tmp_path / "file.bin").exists()
    half = len(CONTENT) // 2
    assert (tmp_path / "file.bin.part").stat().st_size == half
    server.options.clear()
    server.options |= set() if ranges else {"no ranges"}
    get(server.source(), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked[1] == ("/file.bin", f"bytes={half}-")


def test_a_complete_part_is_taken_without_sending_it_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    get(server.source(), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_wrong_checksum_is_refused_and_the_file_is_removed(server: Server, tmp_path: Path) -> None:
    source = server.source()
    server.files["/file.bin"] = CONTENT[::-1]
    with pytest.raises(DataError, match=r"md5 .*, expected .*; it was removed"):
        get(source, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_size_is_refused(server: Server, tmp_path: Path) -> None:
    source = server.source()
    server.files["/file.bin"] = CONTENT + b"x"
    with pytest.raises(DataError, match=f"{len(CONTENT) + 1} bytes, expected {len(CONTENT)}"):
        get(source, tmp_path)


def test_without_a_known_checksum_the_computed_one_is_told(server: Server, tmp_path: Path) -> None:
    found = fetch(server.source(checksum=False), tmp_path, on_bytes=lambda done, total: None)
    assert (found.algorithm, found.digest, found.compared) == ("sha256", hashlib.sha256(CONTENT).hexdigest(), False)


def archive(name: str) -> bytes:
    memory = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(memory, "w") as packed:
            packed.writestr("inner/a.txt", "hello")
    else:
        with tarfile.open(fileobj=memory, mode="w:gz") as packed:
            entry = tarfile.TarInfo("inner/a.txt")
            entry.size = 5
            packed.addfile(entry, io.BytesIO(b"hello"))
    return memory.getvalue()


@pytest.mark.parametrize("name", ["a.zip", "a.tgz"])
def test_an_archive_is_unpacked_and_may_then_be_deleted(server: Server, tmp_path: Path, name: str) -> None:
    server.files[f"/{name}"] = archive(name)
    source = server.source(name, unpack=True)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "b.txt").write_text("already here")
    get(source, tmp_path)
    assert (tmp_path / "inner" / "a.txt").read_text() == "hello"
    assert (tmp_path / "inner" / "b.txt").exists()
    assert not [path for path in tmp_path.iterdir() if "unpacking" in path.name]
    (tmp_path / name).unlink()
    get(source, tmp_path)
    assert len(server.asked) == 1


@pytest.mark.parametrize(("name", "kind"), [("../out.txt", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)])
def test_an_archive_with_more_than_its_own_files_is_refused(
    server: Server, tmp_path: Path, name: str, kind: bytes
) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "../out.txt"
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as packed:
        packed.addfile(member, io.BytesIO(b""))
    server.files["/a.tgz"] = memory.getvalue()
    with pytest.raises(DataError, match="cannot be unpacked"):
        get(server.source("a.tgz", unpack=True), tmp_path / "in")
    assert not (tmp_path / "out.txt").exists()


def test_no_network_is_one_line(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    # Nobody listens on port 9 of this machine.
    source = Source("http://127.0.0.1:9/file.bin", "file.bin", 1, None)
    monkeypatch.setitem(fetch_table.PAGES, "voc", Page("voc", "http://127.0.0.1:9", "none", (source,)))
    assert run(["fetch-data", "voc", "--root", str(tmp_path / "voc"), "--yes"]) == 2
    said = capsys.readouterr().err
    assert "http://127.0.0.1:9/file.bin: cannot be reached or broke off" in said
    assert "goes on where it stopped" in said
    assert said.count("\n") == 1


def test_a_missing_file_is_one_line(server: Server, tmp_path: Path) -> None:
    source = Source(f"{server.address}/gone.bin", "gone.bin", 1, None)
    with pytest.raises(DataError, match=r"gone\.bin: the server answers 404"):
        get(source, tmp_path)


def test_the_command_shows_size_and_licence_and_asks(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page("voc", server.address, "only for this test", (server.source(checksum=False),))
    monkeypatch.setitem(fetch_table.PAGES, "voc", page)
    command = ["fetch-data", "voc", "--root", str(tmp_path / "voc")]
    assert run(command) == 2
    assert "pass --yes" in capsys.readouterr().err
    assert server.asked == []

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert run(command) == 0
    said = capsys.readouterr().out
    assert "only for this test" in said
    assert "nothing was downloaded" in said
    assert server.asked == []
    assert run([*command, "--yes", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["fetched"][0]["digest"] == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("name", ["cityscapes", "kitti", "camvid"])
def test_the_others_print_their_steps(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fetch-data", name]) == 0
    said = capsys.readouterr().out
    assert "1. " in said
    assert f"foglight check-data {name} --root data/{name}" in said


def test_every_page_is_complete_and_every_checksum_has_the_length_of_its_kind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["fetch-data", "--json"]) == 0
    assert [page["name"] for page in json.loads(capsys.readouterr().out)["data"]] == list(PAGES)
    for page in PAGES.values():
        assert page.home.startswith("http")
        assert page.licence
        assert page.sources or page.steps
        for source in page.sources:
            if source.checksum is not None:
                assert len(source.checksum.digest) == 2 * hashlib.new(source.checksum.algorithm).digest_size
                assert source.checksum.origin


def test_a_misspelt_name_is_helped(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fetch-data", "cityscape"]) == 2
    assert "did you mean 'cityscapes'" in capsys.readouterr().err
