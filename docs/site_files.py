"""Let the pages of `results/` stand in the site, and keep links as they work in the repository.

A page of the site is a file of the repository: what lies in `docs/` loses that folder, what lies in `results/` keeps
its path. So a link such as `../results/camvid/README.md` works where the source is read and where the site is read.
"""

import posixpath
import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parent.parent
DOCS: Final = "docs/"
RESULTS: Final = "results/"
LINK: Final = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every file of `results/`."""
    for path in sorted((ROOT / RESULTS).rglob("*")):
        if path.is_file():
            files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages of the site; list the results."""
    if page.file.src_uri == "results.md":
        markdown = f"{markdown}\n{_listing()}\n"
    return rewrite_links(markdown, page.file.src_uri)


def _listing() -> str:
    """One line per page of `results/`, by its title."""
    pages = {
        path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in sorted((ROOT / RESULTS).rglob("*.md"))
    }
    return "\n".join(
        f"- [{text.partition(chr(10))[0].removeprefix('# ')}](../{path.as_posix()})" for path, text in pages.items()
    )


def rewrite_links(markdown: str, page: str) -> str:
    """The links of one page of the site; those that lead nowhere are left for `mkdocs build --strict` to refuse.

    >>> rewrite_links("[a](../results/camvid/README.md#b)", "results.md")
    '[a](results/camvid/README.md#b)'
    >>> rewrite_links("[a](../../docs/house.md), [b](study.yaml)", "results/camvid/README.md")
    '[a](../../house.md), [b](study.yaml)'
    """
    here = page if page.startswith(RESULTS) else f"{DOCS}{page}"

    def rewritten(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), found[2]))
        shown = posixpath.relpath(target.removeprefix(DOCS), posixpath.dirname(page) or ".")
        return f"{found[1]}{shown}{found[3]}"

    return LINK.sub(rewritten, markdown)
