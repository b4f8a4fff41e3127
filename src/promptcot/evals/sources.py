"""Rows of a benchmark's source: local files, or the Hugging Face Hub where a source says so.

A source is a file that `readers.files` reads, or `hf://datasets/OWNER/NAME[@REVISION][/FILE]`. Only the second reads the
network, through the Hub's own cache.
"""

from __future__ import annotations

import re
from pathlib import Path

from promptcot.errors import MissingExtra, UserError
from promptcot.readers.files import Rows, read_rows

_HUB = re.compile(r"hf://datasets/([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+))?")


def rows(source: str) -> Rows:
    """(where it stands, the row or what is wrong with it) of every row of a source.

    Raises:
        UserError: no such file, or the Hub has no such data set.
        MissingExtra: the package that reads the Hub is not installed.
    """
    hub = _HUB.fullmatch(source)
    if source.startswith("hf://") and not hub:
        raise UserError(f"source {source!r}", expected="hf://datasets/OWNER/NAME[@REVISION][/FILE]")
    if hub and not hub[3]:
        yield from _dataset(source, hub[1], hub[2])
        return
    path = Path(_download(source, hub[1], hub[2], hub[3]) if hub else source)
    if not path.is_file():
        raise UserError(
            f"there is no file '{source}'", expected="a JSONL or Parquet file, or hf://datasets/OWNER/NAME"
        )
    for where, row in read_rows(path):
        yield f"'{source}', {where}", row


def _download(source: str, name: str, revision: str | None, file: str) -> str:
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise MissingExtra("huggingface_hub", "train") from None
    try:
        return str(hf_hub_download(name, file, repo_type="dataset", revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as e:
        raise _unreachable(source, e) from None


def _dataset(source: str, name: str, revision: str | None) -> Rows:
    try:
        import datasets
    except ImportError:
        raise MissingExtra("datasets", "train") from None
    try:
        splits = datasets.load_dataset(name, revision=revision)
    except (OSError, ValueError, ConnectionError) as e:
        raise _unreachable(source, e) from None
    if len(splits) != 1:
        raise UserError(
            f"'{source}' has the splits {', '.join(splits)}", do=f"name one file: {source}/PATH/TO/FILE"
        )
    for n, row in enumerate(next(iter(splits.values())), 1):
        yield f"'{source}', row-{n}", dict(row)


def _unreachable(source: str, error: Exception) -> UserError:
    return UserError(
        f"cannot read '{source}': {str(error).splitlines()[0]}",
        do="check the name and the network, or give a local file instead",
    )
