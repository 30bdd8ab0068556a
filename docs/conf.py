"""The documentation as a site: Sphinx with MyST, `make docs`.

The root of the repository is the package, and it is the root of the documentation too: README.md is the front page, and
every page lies where a reader of the repository finds it. So a relative link is written once and means the same in both
places, and one build, with warnings as errors, checks them all: pages, anchors, files of the sources and tests. MkDocs wants
its pages in a folder of their own and the site outside of it, so links out of docs/ could not be followed. autodoc documents the
`shoal` that is imported, the installed one, so the mapping of the root is no question either.

Pages are plain Markdown, without directives, but for reference/api.md: they are read in the repository as well. The order of the
pages is that of the links in docs/index.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from shoal import __version__

project, author, release = "shoal", "The shoal authors", __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "README"
include_patterns = ["*.md", "bench/README.md", "examples/README.md", "docs/**.md"]
myst_heading_anchors = 3
smartquotes = False
highlight_language = "none"
html_theme, html_title = "furo", "shoal"
html_show_copyright = html_show_sphinx = html_copy_source = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True

EXTERNAL = "external-links.txt"
ITEM = re.compile(r"(?:\s{3,}|\n)(?=[A-Za-z_][\w, ]*: )")  # where the next "name: meaning" of a docstring begins


def contents(app: Any, page: str, source: list[str]) -> None:
    """The tree of the pages, at the end of the front page: the chapters and links of docs/index.md."""
    if page != root_doc:
        return
    index = Path(app.srcdir, "docs", "index.md").read_text(encoding="utf-8")
    for title, chapter in re.findall(r"^## (.+)\n((?:(?!^## ).*\n?)*)", index, re.M):
        links = [Path("docs", link).as_posix() for link in re.findall(r"\]\(([^)#]+)\.md\)", chapter)]
        pages = "\n".join(re.sub(r"^docs/\.\./", "", link) for link in links)
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{pages}\n```\n"
    source[0] += "\n\n```{toctree}\n:hidden:\n\ndocs/index\n```\n"


def house_docstring(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """From the house's docstrings to reStructuredText: formulas stay as they are, "name: meaning" are items of a list."""
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines).rstrip()):
        if paragraph.startswith("    "):
            found += ["::", "", *paragraph.splitlines(), ""]
            continue
        words = [" ".join(item.split()) for item in ITEM.split(paragraph)]
        found += [f"| {plain(item)}" for item in words if item] if len(words) > 1 else [plain(words[0])]
        found.append("")
    lines[:] = found


def plain(text: str) -> str:
    """Text that means nothing to reStructuredText but `code`."""
    parts = re.split(r"`([^`]+)`", text)
    return "".join(f"``{part}``" if k % 2 else re.sub(r"([\\*|_`])", r"\\\1", part) for k, part in enumerate(parts))


def listed(app: Any, error: Exception | None) -> None:
    """Links that leave the site, in a file: they are not fetched, for a build must not depend on others' machines."""
    if error or app.builder.format != "html":
        return
    from docutils import nodes

    found: dict[str, set[str]] = {}
    for page in app.env.found_docs:
        for link in app.env.get_doctree(page).findall(nodes.reference):
            if link.get("refuri", "").startswith("http"):
                found.setdefault(link["refuri"], set()).add(page)
    text = "".join(f"{link}  {', '.join(sorted(pages))}\n" for link, pages in sorted(found.items()))
    Path(app.outdir, EXTERNAL).write_text(text, encoding="utf-8")
    Path(app.outdir, "index.html").write_text(
        '<meta http-equiv="refresh" content="0; url=README.html">\n', encoding="utf-8"
    )


def setup(app: Any) -> None:
    app.connect("source-read", contents)
    app.connect("autodoc-process-docstring", house_docstring)
    app.connect("build-finished", listed)
