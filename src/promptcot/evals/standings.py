"""Snapshots of Codeforces contests: final standings and rating changes, one JSON file per contest.

    DIR/1971.json   {"standings": <answer of contest.standings>, "rating_changes": <answer of contest.ratingChanges>}

The answers are kept as the site's API gave them. A rating then needs no network, and cannot lose a contest in
silence because one request failed.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptcot.errors import UserError
from promptcot.store import write_atomic

API = "https://codeforces.com/api"
MIN_HUMANS = 200
PAUSE_S = 2.1  # the API allows one request in two seconds
_NUMBER = re.compile(r"(?:.*contest_)?(\d+)\.json")


@dataclass(frozen=True)
class Contest:
    """What a rating needs of one contest.

    problems: (name, points or None). rows: (points, penalty) of the rated humans, best first. old_ratings: theirs.
    """

    number: int
    problems: list[tuple[str, float | None]]
    rows: list[tuple[float, float]]
    old_ratings: list[float]

    def rank(self, score: float, penalty: float) -> int:
        """How many humans are ahead: the place, from 0, of the first that the score beats."""
        for place, (points, theirs) in enumerate(self.rows):
            if points < score or (points == score and theirs > penalty):
                return place
        return len(self.rows)


def load(directory: str | Path, numbers: Iterable[int]) -> dict[int, Contest | str]:
    """Contest by number; a text where the protocol skips it (too few rated participants) says why.

    Raises:
        UserError: no such directory, a contest without a snapshot, or a snapshot that is not one.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise UserError(f"there is no directory '{directory}'", do=_FETCH)
    files = {int(m[1]): p for p in sorted(directory.iterdir()) if (m := _NUMBER.fullmatch(p.name))}
    missing = sorted(set(numbers) - set(files))
    if missing:
        raise UserError(
            f"'{directory}' lacks {len(missing)} contests: {', '.join(map(str, missing[:10]))}",
            expected="a snapshot NUMBER.json of every contest the problems come from",
            do=_FETCH,
        )
    return {n: parse(n, _json(files[n])) for n in sorted(set(numbers))}


_FETCH = "promptcot evaluate standings --ids IDS --out DIR (asks codeforces.com)"


def parse(number: int, snapshot: Any) -> Contest | str:
    """A snapshot as a contest, or why it has no rating: only participants in both lists count, and the protocol
    skips a contest when the two counts differ or are at most 200.

    Raises:
        UserError: it is not a snapshot.
    """
    try:
        result = snapshot["standings"]["result"]
        changes = [(c["handle"], float(c["oldRating"])) for c in snapshot["rating_changes"]["result"]]
        rows = [
            (r["party"]["members"][0]["handle"], float(r["points"]), float(r["penalty"]))
            for r in result["rows"]
        ]
        problems = [
            (f"{p['contestId']}{p['index']}", float(p["points"]) if "points" in p else None) for p in result["problems"]
        ]  # fmt: skip
    except (KeyError, TypeError, IndexError, ValueError) as e:
        raise UserError(
            f"the snapshot of contest {number} is not one: {type(e).__name__} {e}",
            expected="the API's answers to contest.standings and contest.ratingChanges",
            do=f"delete it, then {_FETCH}",
        ) from None
    both = {handle for handle, _, _ in rows} & {handle for handle, _ in changes}
    rated = [(points, penalty) for handle, points, penalty in rows if handle in both]
    old = [rating for handle, rating in changes if handle in both]
    if len(rated) != len(old):
        return f"{len(rated)} rows and {len(old)} rating changes"
    if len(old) <= MIN_HUMANS:
        return f"{len(old)} rated participants, more than {MIN_HUMANS} are needed"
    return Contest(number, problems, rated, old)


def fetch(
    numbers: Iterable[int],
    directory: Path,
    say: Callable[[str], None],
    api: str = API,
    pause_s: float = PAUSE_S,
) -> int:
    """Ask the API for the contests that have no snapshot yet; returns how many were fetched. A restart goes on.

    Raises:
        UserError: the API cannot be reached or refuses.
    """
    done = 0
    for number in numbers:
        path = directory / f"{number}.json"
        if path.exists():
            continue
        snapshot = {}
        for key, call in (
            ("standings", f"contest.standings?contestId={number}&showUnofficial=false"),
            ("rating_changes", f"contest.ratingChanges?contestId={number}"),
        ):
            snapshot[key] = _ask(f"{api}/{call}")
            time.sleep(pause_s)
        parse(number, snapshot)
        write_atomic(path, json.dumps(snapshot).encode())
        done += 1
        say(f"contest {number}: {len(snapshot['standings']['result']['rows']):,} rows")
    return done


def _ask(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=60) as reply:
            answer = json.load(reply)
    except (urllib.error.URLError, OSError, ValueError) as e:
        raise UserError(
            f"{url}: {e}",
            expected="an answer of the Codeforces API",
            do="try again: what was fetched is kept",
        ) from None
    if answer.get("status") != "OK":
        raise UserError(f"{url}: {answer.get('comment', answer)}", do="try again: what was fetched is kept")
    return answer


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as e:
        raise UserError(f"cannot read '{path}': {e}", do=f"delete it, then {_FETCH}") from None
