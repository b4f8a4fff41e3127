"""What `promptcot doctor` prints: which sandboxes were tried on this machine, and why one cannot be used; and which
packages programs may be given."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

from promptcot.verify.sandbox import probe
from promptcot.verify.sandbox.backends import ORDER, interpreter
from promptcot.verify.sandbox.packages import installed

# Settings that stop user namespaces, which bwrap needs: the file, the value that does, what it means.
_SWITCHES = (
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor keeps unprivileged programs out of user namespaces (Ubuntu 23.10 and newer)",
    ),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "user namespaces are for root only"),
    ("/proc/sys/user/max_user_namespaces", "0", "user namespaces are switched off"),
)


def findings() -> dict[str, Any]:
    """The probes and their outcome, as plain data."""
    probes = {name: probe(name) for name in ORDER}
    usable = [name for name in ORDER if probes[name].backend]
    return {
        "sandbox": usable[0] if usable else None,
        "probes": {n: {"usable": not p.why, "why": p.why, "about": _about(n)} for n, p in probes.items()},
        "notes": [] if probes["bwrap"].backend else switches(),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": f"{sys.version.split()[0]} ({interpreter()})",
        "packages": installed(),
    }


def _about(name: str) -> str:
    backend = probe(name).backend
    return backend.about if backend else ""


def switches() -> list[str]:
    """Which known settings of this machine keep bwrap from working."""
    found = [f"{meaning}: {path} is {value}" for path, value, meaning in _SWITCHES if _read(path) == value]
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        found.append("in a container: Docker's default seccomp profile denies user namespaces")
    return found


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text().strip() if file.exists() else ""


def _packages(found: dict[str, Any]) -> str:
    there = [f"{name} {version}" for name, version in found["packages"].items() if version]
    absent = [name for name, version in found["packages"].items() if not version]
    missing = f"; not installed: {', '.join(absent)} ({sys.executable} -m pip install NAME)" if absent else ""
    return (", ".join(there) or "none of those usually asked for") + missing


def run(as_json: bool) -> int:
    """Print the findings. Returns 0 if programs can be confined here, else 1."""
    found = findings()
    if as_json:
        print(json.dumps(found, indent=1))
        return 0 if found["sandbox"] else 1
    print(f"{found['system']}; Python {found['python']}")
    for name, p in found["probes"].items():
        print(f"  {name:<9} {'works: ' + p['about'] if p['usable'] else 'cannot be used: ' + p['why']}")
    print(f"  {'unsafe':<9} limits only, not a sandbox; used only when asked for")
    for note in found["notes"]:
        print(f"  note: {note}")
    print(f"  packages for programs (programs.packages, --packages; none unless named): {_packages(found)}")
    if found["sandbox"]:
        print(f"Programs written by models run in: {found['sandbox']}")
        return 0
    print(
        "Programs written by models cannot be confined here, so stages that run them refuse. To run programs you"
    )
    print("trust anyway: --set programs.sandbox=unsafe (recipes), --sandbox unsafe (promptcot verify)")
    return 1
