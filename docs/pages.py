"""What the site does to the pages, for MkDocs: the README is its first page, and links out of docs/ become plain text.

The pages stay as they read on the repository's own pages; a site has no place for src/ or LOG.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add README.md as index.md."""
    from mkdocs.structure.files import File

    text = LINK.sub(lambda m: _link(m, ROOT), (ROOT / "README.md").read_text())
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links of a page under docs/."""
    return (
        markdown if page.file.src_uri == "index.md" else LINK.sub(lambda m: _link(m, ROOT / "docs"), markdown)
    )


def _link(found: re.Match[str], folder: Path) -> str:
    """The link as the site has it: inside docs/ relative to it, elsewhere its text alone."""
    image, text, target, anchor = found[1], found[2], found[3], found[4] or ""
    there = (folder / target).resolve()
    if not there.exists():
        return found[0]  # MkDocs warns of it; or it is no link but code
    if not there.is_relative_to(ROOT / "docs"):
        return text
    return f"{image}[{text}]({there.relative_to(ROOT / 'docs')}{anchor})"
