"""The program in an answer: every way models and public data fence code, and what is no program."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcot.verify.fences import fenced_blocks
from promptcot.verify.programs import extract_program

LOOP = "for i in range(2):\n    if i:\n        print(i)\n"
INDENTED = "".join(f"   {line}\n" for line in LOOP.splitlines())
TABBED = "".join(f"\t{line}\n" for line in LOOP.splitlines())


@pytest.mark.parametrize("mark", ["```", "~~~", "````", "~~~~~"])
@pytest.mark.parametrize(
    "info",
    [
        "", "python", "py", "Python", "Python3", "python3", " python", "\tpy3", "Python 3", "PYTHON", "pypy3", "python3.11",
        "{.python}", "{python}", "{ .python .numberLines}", "python title=main.py", 'python {"a": 1}', "python:solution.py",
        "python,linenos", "python\r", "\r", "ipython3",
    ],
)  # fmt: skip
def test_every_common_fence_holds_the_program(mark: str, info: str) -> None:
    end = "\r" if info.endswith("\r") else ""
    text = f"Here it is:\n\n{mark}{info}\n{LOOP}{mark}{end}\nThat is all.\n"
    assert extract_program(text) == LOOP


@pytest.mark.parametrize(
    ("text", "code"),
    [
        # several blocks
        ("a\n```\nx\n```\nb\n```py\ny\n```\nc", "y\n"),
        ("```python\nx\n```\n```python\ny\n```", "y\n"),
        ("<think>\n```\nx\n```\n</think>\n```python\ny\n```", "y\n"),
        ("```python\nx\n```\nPrints:\n```\n3\n```\n```text\n4\n```\n```bash\npython x.py\n```", "x\n"),
        ("```\nx\n```\n~~~\ny\n~~~", "y\n"),
        ("```cpp\nint x;\n```", "int x;\n"),
        ("```pycon\n>>> 1\n```\n```\nx\n```\n", "x\n"),
        # indented, in lists
        (f"1. So:\n\n   ```python\n{INDENTED}   ```\n", LOOP),
        (f"1. So:\n\n   ~~~\n{INDENTED}   ~~~\n", LOOP),
        (f"\t```python\n{TABBED}\t```\n", LOOP),
        (f"    ```python\n{TABBED}    ```\n", LOOP),
        (f"- ```python\n{INDENTED[1:]}  ```\n", INDENTED[1:].replace("\n  ", "\n").removeprefix("  ")),
        (f"10) ```python\n    {LOOP.splitlines()[0]}\n        print(i)\n    ```\n", "for i in range(2):\n    print(i)\n"),
        (f"  ```python\n{LOOP}  ```", LOOP.replace("    if", "  if").replace("        p", "      p")),
        ("```python\nx\n   ```", "x\n"),
        # fences within the program
        ("```python\nprint('```')\n```", "print('```')\n"),
        ('```python\ndef f():\n    """\n    ```\n    f()\n    ```\n    """\n```', 'def f():\n    """\n    ```\n    f()\n    ```\n    """\n'),
        ("````python\nx = '''\n```\n'''\n````", "x = '''\n```\n'''\n"),
        ("~~~python\nx = '''\n```\n'''\n~~~", "x = '''\n```\n'''\n"),
        ("```python\nx = '''\n~~~\n'''\n```", "x = '''\n~~~\n'''\n"),
        ("````markdown\nSo:\n```python\nx\n```\n````", "x\n"),
        ("````md\nSo:\n~~~\nx\n~~~\n````", "x\n"),
        # no closing fence, or not quite
        ("```python\nx", "x\n"),
        ("```python\nx\n", "x\n\n"),
        ("```python\nx\n```\nand\n```python\ncut off", "x\n"),
        ("Input:\n```\n3\n```\nProgram:\n```python\nx\n", "x\n\n"),
        ("```python\nx```", "x\n"),
        ("```python\nx```\nThat is it.", "x\n"),
        ("````python\nx\n```\nThat is it.", "x\n\n"),
        ("```python\nfirst try\n```python\ny\n```", "y\n"),
        ("```python\nx\n```\n```", "x\n"),
        ("```python\nx\n```\n\n```\n\n```\n", "x\n"),
    ],
)  # fmt: skip
def test_the_program_is_the_last_block_that_can_be_one(text: str, code: str) -> None:
    assert extract_program(text) == code


@pytest.mark.parametrize(
    "text",
    [
        "print(1)", "", "```\n\n```", "```python\n```", "<think>\n```\nx\n```", "```x```", "`x`", "``\nx\n``", "~~x~~",
        "```", "~~~", "Use ```print(1)``` here.", "```python",
    ],
)  # fmt: skip
def test_without_a_block_there_is_no_program(text: str) -> None:
    assert extract_program(text) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\nx\n```", "x"),
        ("```python\nx\n```\nPrints:\n```\n3\n```", "3"),
        ("~~~python\nx\n~~~", None),
        ("```python\nx", None),
        ("a ```\nx\n``` b", "x"),
        ("  ```python\n  x\n  ```", "  x"),
    ],
)
def test_the_official_rule_is_kept_as_it_is(text: str, code: str | None) -> None:
    assert extract_program(text, "lcb") == code


@settings(deadline=None)
@given(st.text(alphabet="ab\n `~\t1.-", max_size=60))
def test_any_text_can_be_searched_for_a_program(text: str) -> None:
    code = extract_program(text)
    assert code is None or code.strip()


BODY = st.lists(st.text(alphabet="ab #`~'", max_size=6), min_size=1, max_size=5)


@settings(deadline=None)
@given(BODY, st.sampled_from("`~"), st.integers(3, 6), st.integers(0, 6), st.booleans())
def test_what_stands_between_two_fences_comes_back(
    lines: list[str], sign: str, length: int, indent: int, cr: bool
) -> None:
    lines = [line for line in lines if sign * 3 not in line] or ["x"]
    fence, margin, end = sign * length, " " * indent, "\r\n" if cr else "\n"
    text = end.join([f"{margin}{fence}python", *(margin + line for line in lines), f"{margin}{fence}", ""])
    (block,) = fenced_blocks(text)
    assert (block.language, block.closed, block.is_python) == ("python", True, True)
    assert block.content.splitlines() == lines
