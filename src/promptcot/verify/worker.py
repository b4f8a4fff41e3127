"""The process in which SymPy and Math-Verify run: requests on stdin, replies on stdout, one JSON line each.

    python -m promptcot.verify.worker PACKAGE MEMORY_MB CPU_S

It imports the package once and forks a child that answers. The kernel bounds the child: address space, and CPU
time per request by a profiling timer whose signal has no handler and so cannot be caught by a library. When a child
dies, this process replies in its place and forks the next, which costs milliseconds instead of an import. Both end
when stdin closes, also if the parent was killed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import warnings
from typing import Any


def main() -> None:
    """Serve until stdin closes."""
    package, memory_mb, cpu_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    replies = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is not a reply
    warnings.simplefilter("ignore")
    _say(replies, {"missing": _import(package)})
    while True:
        child = os.fork()
        if not child:
            _serve(replies, memory_mb, cpu_s)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if not code:
            return
        reason = (
            f"timeout: more than {cpu_s:g} s of CPU"
            if code == -signal.SIGPROF
            else f"crashed: exit code {code}"
        )
        _say(replies, {"equal": None, "reason": reason})


def _serve(replies: int, memory_mb: int, cpu_s: float) -> None:
    """The child: answer line by line."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    while line := _line():
        signal.setitimer(signal.ITIMER_PROF, cpu_s)
        reply = _answer(json.loads(line))
        signal.setitimer(signal.ITIMER_PROF, 0)
        _say(replies, reply)


def _line() -> bytes:
    """One request, read without a buffer that would die with the child."""
    heard = b""
    while not heard.endswith(b"\n"):
        chunk = os.read(0, 1 << 16)
        if not chunk:
            return b""
        heard += chunk
    return heard


def _say(replies: int, reply: dict[str, Any]) -> None:
    line = json.dumps(reply).encode() + b"\n"
    while line:
        line = line[os.write(replies, line) :]


def _import(name: str) -> str:
    """Import and warm up; empty, or the name of the package that is not installed."""
    try:
        __import__(name)
        if name == "math_verify":
            _math_verify("1", r"\frac{1}{2}")  # its parser builds tables at the first use
        elif name == "sympy":
            _symbolic("symbolic", r"\sin^2x", r"1-\cos^2x", 15, False)
    except ImportError as e:
        return e.name or name
    return ""


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """{"equal": true, false or null, "reason": ...}; null if it cannot be decided here."""
    from promptcot.verify.exact import TooLarge, Undecided, Undefined
    from promptcot.verify.judges import Open
    from promptcot.verify.symbolic import Unproven
    from promptcot.verify.tokens import Mismatch, Unreadable

    try:
        if request["mode"] == "math-verify":
            return _math_verify(request["gold"], request["prediction"])
        return _symbolic(**request)
    except TooLarge:
        return {"equal": None, "reason": "a number is too large to compare"}
    except (Unproven, Undecided):
        return {"equal": None, "reason": "not proven: the values agree to 40 digits, or SymPy cannot decide"}
    except Open as e:
        return {"equal": None, "reason": f"open: {e}"}
    except (Undefined, Mismatch) as e:
        return {"equal": False, "reason": "undefined" if isinstance(e, Undefined) else "different"}
    except Unreadable:
        return {"equal": None, "reason": "unreadable"}
    except MemoryError:
        return {"equal": None, "reason": "memory"}
    except (
        ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, RecursionError, TypeError,
        ValueError,
    ) as e:  # fmt: skip
        return {"equal": None, "reason": f"sympy failed: {type(e).__name__}: {str(e)[:200]}"}


def _symbolic(mode: str, gold: str, prediction: str, digits: int, loose: bool) -> dict[str, Any]:
    from promptcot.verify.latex import parse
    from promptcot.verify.structure import same_answer
    from promptcot.verify.symbolic import Symbolic, Tolerant

    left, right = parse(gold), parse(prediction)
    if mode == "release":  # which knows expressions only, no lists or inequalities
        same = Tolerant().value(left, right)
    else:
        same = same_answer(left, right, Symbolic(), digits, loose)
    return {"equal": same, "reason": "equal" if same else "different"}


def _math_verify(gold: str, prediction: str) -> dict[str, Any]:
    """Math-Verify's verdict, its own timeouts (SIGALRM) switched off: this process is the timeout."""
    import logging

    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    left, right = (parse(f"${text}$", parsing_timeout=None) for text in (gold, prediction))
    if not left or not right:
        return {
            "equal": False,
            "reason": "math-verify could not read the " + ("gold" if not left else "prediction"),
        }
    same = bool(verify(left, right, timeout_seconds=None))
    return {"equal": same, "reason": "equal" if same else "different"}


if __name__ == "__main__":
    main()
