"""Pushing an exported folder to the Hub. The token is huggingface_hub's own business (HF_TOKEN, or `hf auth login`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from promptcot import __version__
from promptcot.errors import MissingExtra, UserError

Kind = Literal["dataset", "model"]


def need_license(license: str) -> None:
    """A repository that others will use needs a licence that somebody stated.

    Raises:
        UserError: there is none.
    """
    if not license:
        raise UserError(
            "no licence was stated for what would be pushed",
            expected="a decision of yours: it depends on your seeds, annotators and models",
            do="--license apache-2.0 (or another identifier), or run.license in the recipe",
        )


def push(folder: Path, repo: str, kind: Kind, private: bool) -> str:
    """Create the repository if need be and upload the folder as one commit. Returns its URL.

    Raises:
        UserError: no token, no right, no network, or the Hub refused. MissingExtra: huggingface_hub is absent.
    """
    try:
        import huggingface_hub as hub
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
    except ImportError:
        raise MissingExtra("huggingface_hub", "hub") from None
    errors: tuple[type[Exception], ...] = (
        HFValidationError, HfHubHTTPError, LocalTokenNotFoundError, OSError, ValueError
    )  # fmt: skip
    try:
        api: Any = hub.HfApi()
        url = api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        api.upload_folder(
            folder_path=folder, repo_id=repo, repo_type=kind,
            commit_message=f"Upload from promptcot {__version__}",
        )  # fmt: skip
    except errors as e:
        raise UserError(
            f"the Hub did not take '{repo}': {str(e).splitlines()[0]}",
            do="hf auth login (or HF_TOKEN), check the name OWNER/NAME and your rights; what would be pushed stays "
            f"in '{folder}'",
        ) from None
    return str(url)
