"""Code families: one sentence and one Python line per operation on a list `a` or a string `s`.

The first sentence reads standard input, the last one prints. `apply` is the meaning of a sentence, written
independently of the line of Python that `work` gives; the tests run both against each other.
"""

from __future__ import annotations

from collections.abc import Callable

from promptcot.pocket.wording import Family, Slots, Value, integer

Ints = tuple[int, ...]
VOWELS = "aeiou"
SMALL = {"k": range(2, 10)}
FEW = {"k": range(2, 5)}


def _ints(value: Value) -> Ints:
    assert isinstance(value, tuple)
    return value


def _text(value: Value) -> str:
    assert isinstance(value, str)
    return value


def _line(template: str) -> Callable[[Value, Slots], str]:
    return lambda _value, slots: template.format(**slots)


def _each(change: Callable[[int, int], int]) -> Callable[[Value, Slots], Value]:
    return lambda v, s: tuple(change(x, int(s.get("k", 0))) for x in _ints(v))


def _keep(holds: Callable[[int, int], bool]) -> Callable[[Value, Slots], Value]:
    return lambda v, s: tuple(x for x in _ints(v) if holds(x, int(s.get("k", 0))))


def _on_ints(change: Callable[[Ints], Value]) -> Callable[[Value, Slots], Value]:
    return lambda v, _s: change(_ints(v))


def _on_text(change: Callable[[str], Value]) -> Callable[[Value, Slots], Value]:
    return lambda v, _s: change(_text(v))


def _k(slots: Slots) -> int:
    return integer(slots, "k")


def _read_ints(value: Value, _: Slots) -> Value:
    """The integers of the input line, or None when it is not a line of integers."""
    try:
        return tuple(int(token) for token in _text(value).split())
    except ValueError:
        return None


def _read_digits(value: Value, _: Slots) -> Value:
    text = _text(value)
    return tuple(map(int, text)) if text.isascii() and text.isdigit() else None


def _read_text(value: Value, _: Slots) -> Value:
    return _text(value) if "\n" not in _text(value) else None


def _differences(values: Ints) -> Ints:
    return tuple(values[i + 1] - values[i] for i in range(len(values) - 1))


def _mod(x: int, k: int) -> int:
    return x - (x // k) * k if k else 0


def _unique(values: Ints) -> Ints:
    seen: list[int] = []
    for x in values:
        if x not in seen:
            seen.append(x)
    return tuple(seen)


def _unique_letters(text: str) -> str:
    return "".join(c for i, c in enumerate(text) if c not in text[:i])


READERS: tuple[Family, ...] = (
    Family(
        "read_ints", "", "ints",
        ("Read a line of integers.", "The input is one line of integers.", "You get integers on one line."),
        _read_ints, _line("a = [int(x) for x in input().split()]"), "read integers",
    ),
    Family(
        "read_text", "", "text",
        ("Read a word.", "The input is one word.", "You get a word on one line."),
        _read_text, _line("s = input()"), "read a word",
    ),
    Family(
        "read_digits", "", "ints",
        ("Read a number and list its digits.", "The input is one number, so split it into digits.",
         "You get a number as a list of digits."),
        _read_digits, _line("a = [int(c) for c in input()]"), "split a number into digits",
        ("a number is a list of digits", "splitting a number into digits", "digits of the input"),
    ),
)  # fmt: skip

INT_STEPS: tuple[Family, ...] = (
    Family("keep_even", "ints", "ints",
           ("Keep the even ones.", "Drop all odd values.", "Only even numbers stay."),
           _keep(lambda x, _: x % 2 == 0), _line("a = [x for x in a if x % 2 == 0]"), "keep even",
           ("filter keeps even values", "even numbers only", "selecting by parity even")),
    Family("keep_odd", "ints", "ints",
           ("Keep the odd ones.", "Drop all even values.", "Only odd numbers stay."),
           _keep(lambda x, _: x % 2 != 0), _line("a = [x for x in a if x % 2 == 1]"), "keep odd",
           ("filter keeps odd values", "odd numbers only", "selecting by parity odd")),
    Family("keep_above", "ints", "ints",
           ("Keep those above {k}.", "Drop values of at most {k}.", "Only numbers larger than {k} stay."),
           lambda v, s: tuple(x for x in _ints(v) if not x <= _k(s)), _line("a = [x for x in a if x > {k}]"),
           "keep above {k}", ("filter by a lower bound", "values above a threshold", "large values only"), SMALL),
    Family("keep_below", "ints", "ints",
           ("Keep those below {k}.", "Drop values of at least {k}.", "Only numbers smaller than {k} stay."),
           lambda v, s: tuple(x for x in _ints(v) if not x >= _k(s)), _line("a = [x for x in a if x < {k}]"),
           "keep below {k}", ("filter by an upper bound", "values below a threshold", "small values only"),
           {"k": range(5, 16)}),
    Family("keep_multiples", "ints", "ints",
           ("Keep the multiples of {k}.", "Drop values not divisible by {k}.", "Only numbers divisible by {k} stay."),
           lambda v, s: tuple(x for x in _ints(v) if _mod(x, _k(s)) == 0) if _k(s) else None,
           _line("a = [x for x in a if x % {k} == 0]"), "keep multiples of {k}",
           ("filter by divisibility", "multiples of a number only", "values divisible by k"), {"k": range(3, 6)}),
    Family("scale_each", "ints", "ints",
           ("Multiply each by {k}.", "Scale every value by {k}.", "Each becomes {k} times as large."),
           _each(lambda x, k: k * x), _line("a = [x * {k} for x in a]"), "times {k}",
           ("map multiplies each value", "scaling every element", "elementwise multiplication"), SMALL),
    Family("shift_each", "ints", "ints",
           ("Add {k} to each.", "Raise every value by {k}.", "Each grows by {k}."),
           _each(lambda x, k: k + x), _line("a = [x + {k} for x in a]"), "plus {k}",
           ("map adds a constant", "shifting every element", "elementwise addition"), SMALL),
    Family("lower_each", "ints", "ints",
           ("Subtract {k} from each.", "Lower every value by {k}.", "Each shrinks by {k}."),
           _each(lambda x, k: -(k - x)), _line("a = [x - {k} for x in a]"), "minus {k}",
           ("map subtracts a constant", "lowering every element", "elementwise subtraction"), SMALL),
    Family("mod_each", "ints", "ints",
           ("Replace each by its remainder modulo {k}.", "Reduce every value modulo {k}.", "Each becomes its rest by {k}."),
           lambda v, s: tuple(_mod(x, _k(s)) for x in _ints(v)) if _k(s) else None, _line("a = [x % {k} for x in a]"),
           "rest by {k}", ("map takes remainders", "elementwise modulo", "remainders of every element"),
           {"k": range(3, 10)}),
    Family("square_each", "ints", "ints",
           ("Square each.", "Multiply every value by itself.", "Each becomes its square."),
           _each(lambda x, _: abs(x) ** 2), _line("a = [x * x for x in a]"), "square each",
           ("map squares each value", "squaring every element", "elementwise squares")),
    Family("digit_sum_each", "ints", "ints",
           ("Replace each by its digit sum.", "Add up the digits of every value.", "Each becomes the sum of its digits."),
           _each(lambda x, _: sum(int(c) for c in str(x) if c != "-")),
           _line("a = [sum(map(int, str(abs(x)))) for x in a]"), "digit sums",
           ("map takes digit sums", "digit sum of every element", "adding decimal digits")),
    Family("sort_up", "ints", "ints",
           ("Sort them in ascending order.", "Order them from small to large.", "Arrange them upwards."),
           _on_ints(lambda v: tuple(sorted(v))), _line("a = sorted(a)"), "sort up",
           ("sorting in ascending order", "increasing order", "ordering from small to large")),
    Family("sort_down", "ints", "ints",
           ("Sort them in descending order.", "Order them from large to small.", "Arrange them downwards."),
           _on_ints(lambda v: tuple(sorted(v))[::-1]), _line("a = sorted(a, reverse=True)"), "sort down",
           ("sorting in descending order", "decreasing order", "ordering from large to small")),
    Family("unique", "ints", "ints",
           ("Remove repeated values.", "Keep only the first of equal values.", "Each value stays once."),
           _on_ints(_unique), _line("a = list(dict.fromkeys(a))"), "drop repeats",
           ("removing duplicates in order", "distinct values", "deduplication of a list")),
    Family("reverse", "ints", "ints",
           ("Reverse the list.", "Turn the order around.", "List them from last to first."),
           _on_ints(lambda v: tuple(reversed(v))), _line("a = a[::-1]"), "reverse",
           ("reversing a list", "order from last to first", "backward order")),
    Family("take_first", "ints", "ints",
           ("Take the first {k}.", "Keep only the first {k} values.", "Cut the list after {k} values."),
           lambda v, s: tuple(x for i, x in enumerate(_ints(v)) if i < _k(s)), _line("a = a[:{k}]"), "first {k}",
           ("prefix of a list", "taking the first elements", "list slicing from the start"), FEW),
    Family("drop_first", "ints", "ints",
           ("Skip the first {k}.", "Delete the first {k} values.", "Start the list after {k} values."),
           lambda v, s: tuple(x for i, x in enumerate(_ints(v)) if i >= _k(s)), _line("a = a[{k}:]"), "skip {k}",
           ("suffix of a list", "dropping the first elements", "list slicing to the end"), {"k": range(1, 4)}),
    Family("every_second", "ints", "ints",
           ("Take every second value, beginning with the first.", "Drop every other value, keeping the first.",
            "Keep positions 0, 2, 4 and so on."),
           _on_ints(lambda v: tuple(x for i, x in enumerate(v) if i % 2 == 0)), _line("a = a[::2]"), "every second",
           ("slicing with a step", "every other element", "even positions of a list")),
    Family("differences", "ints", "ints",
           ("Replace the list by differences of neighbors.", "Take each value minus the one before.",
            "Keep the gaps between neighbors."),
           _on_ints(_differences), _line("a = [y - x for x, y in zip(a, a[1:])]"), "neighbor gaps",
           ("differences of neighbors", "adjacent gaps in a list", "first differences")),
)  # fmt: skip

TEXT_STEPS: tuple[Family, ...] = (
    Family("text_reverse", "text", "text",
           ("Reverse the word.", "Write the word backwards.", "Flip the letters around."),
           _on_text(lambda t: "".join(reversed(t))), _line("s = s[::-1]"), "reverse letters",
           ("reversing a string", "writing a word backwards", "letters from last to first")),
    Family("drop_vowels", "text", "text",
           ("Remove all vowels.", "Drop the letters a, e, i, o and u.", "Only consonants stay."),
           _on_text(lambda t: "".join(c for c in t if c not in VOWELS)),
           _line('s = "".join(c for c in s if c not in "aeiou")'), "drop vowels",
           ("filtering letters of a string", "removing vowels", "consonants only")),
    Family("keep_vowels", "text", "text",
           ("Keep only vowels.", "Drop all consonants.", "Only the letters a, e, i, o and u stay."),
           _on_text(lambda t: "".join(c for c in t if c in VOWELS)),
           _line('s = "".join(c for c in s if c in "aeiou")'), "keep vowels",
           ("selecting vowels of a string", "vowels only", "keeping the vowels")),
    Family("take_letters", "text", "text",
           ("Take the first {k} letters.", "Cut the word after {k} letters.", "Keep only {k} letters from the front."),
           lambda v, s: "".join(c for i, c in enumerate(_text(v)) if i < _k(s)), _line("s = s[:{k}]"), "first {k} letters",
           ("prefix of a string", "first letters of a word", "string slicing from the start"), FEW),
    Family("drop_letters", "text", "text",
           ("Skip the first {k} letters.", "Delete {k} letters from the front.", "Start the word after {k} letters."),
           lambda v, s: "".join(c for i, c in enumerate(_text(v)) if i >= _k(s)), _line("s = s[{k}:]"), "skip {k} letters",
           ("suffix of a string", "dropping leading letters", "string slicing to the end"), {"k": range(1, 4)}),
    Family("sort_letters", "text", "text",
           ("Sort the letters.", "Put the letters in alphabetical order.", "Arrange the letters from a to z."),
           _on_text(lambda t: "".join(sorted(t))), _line('s = "".join(sorted(s))'), "sort letters",
           ("sorting characters", "alphabetical order of letters", "letters in order")),
    Family("unique_letters", "text", "text",
           ("Remove repeated letters.", "Keep only the first of equal letters.", "Each letter stays once."),
           _on_text(_unique_letters), _line('s = "".join(dict.fromkeys(s))'), "drop repeated letters",
           ("distinct characters in order", "removing repeated letters", "deduplicating a string")),
    Family("double_letters", "text", "text",
           ("Double each letter.", "Write every letter twice.", "Repeat each letter once more."),
           _on_text(lambda t: "".join(c * 2 for c in t)), _line('s = "".join(c + c for c in s)'), "double letters",
           ("map over characters", "doubling letters", "writing letters twice")),
    Family("repeat_text", "text", "text",
           ("Repeat the word {k} times.", "Write the word {k} times in a row.", "Join {k} copies of the word."),
           lambda v, s: "".join(_text(v) for _ in range(_k(s))), _line("s = s * {k}"), "repeat {k} times",
           ("string repetition", "copies of a string", "repeating a word"), {"k": range(2, 4)}),
    Family("replace_letter", "text", "text",
           ("Replace each {letter} by {other}.", "Turn every {letter} into {other}.", "Write {other} for each {letter}."),
           lambda v, s: "".join(str(s["other"]) if x == s["letter"] else x for x in _text(v)),
           _line('s = s.replace("{letter}", "{other}")'), "{letter} becomes {other}",
           ("replacing characters", "letter substitution", "swapping one letter for another")),
    Family("letter_positions", "text", "ints",
           ("List the alphabet positions of its letters.", "Turn each letter into its place in the alphabet.",
            "Number the letters with a as 1."),
           _on_text(lambda t: tuple(ord(c) - 96 for c in t)), _line("a = [ord(c) - 96 for c in s]"), "letter positions",
           ("letters as alphabet positions", "character codes", "mapping letters to numbers")),
)  # fmt: skip

PRINTS: tuple[Family, ...] = (
    Family("print_list", "ints", "answer",
           ("Print the list.", "Print what is left on one line.", "Output all values with spaces."),
           _on_ints(lambda v: " ".join(map(str, v))), _line("print(*a)"), "print the list"),
    Family("sum", "ints", "answer",
           ("Print the sum.", "Output their total.", "Add them up and print that."),
           _on_ints(lambda v: str(sum(v))), _line("print(sum(a))"), "print the sum",
           ("reduce by summation", "sum of a list", "adding all elements")),
    Family("maximum", "ints", "answer",
           ("Print the largest, or 0 if none.", "Output the maximum, 0 when empty.", "Find the top value or 0 and print it."),
           _on_ints(lambda v: str(sorted(v)[-1] if v else 0)), _line("print(max(a, default=0))"), "print the largest",
           ("maximum of a list", "largest element", "reduce by maximum")),
    Family("minimum", "ints", "answer",
           ("Print the smallest, or 0 if none.", "Output the minimum, 0 when empty.", "Find the least value or 0 and print it."),
           _on_ints(lambda v: str(sorted(v)[0] if v else 0)), _line("print(min(a, default=0))"), "print the smallest",
           ("minimum of a list", "smallest element", "reduce by minimum")),
    Family("count", "ints", "answer",
           ("Print how many there are.", "Output their number.", "Count them and print that."),
           _on_ints(lambda v: str(sum(1 for _ in v))), _line("print(len(a))"), "print the count",
           ("counting elements", "length of a list", "reduce by counting")),
    Family("print_text", "text", "answer",
           ("Print the word.", "Print what is left of the word.", "Output the letters."),
           _on_text(lambda t: t), _line("print(s)"), "print the word"),
    Family("text_length", "text", "answer",
           ("Print the number of letters.", "Output the length of the word.", "Count the letters and print that."),
           _on_text(lambda t: str(sum(1 for _ in t))), _line("print(len(s))"), "print the length",
           ("length of a string", "counting letters", "number of characters")),
    Family("letter_count", "text", "answer",
           ("Print how often {letter} occurs.", "Output the number of letters {letter}.", "Count each {letter} and print that."),
           lambda v, s: str(sum(1 for x in _text(v) if x == s["letter"])), _line('print(s.count("{letter}"))'), "count {letter}",
           ("counting a character", "frequency of a letter", "occurrences in a string")),
    Family("capitals", "text", "answer",
           ("Print it in capitals.", "Output the word in upper case.", "Print all letters as capitals."),
           _on_text(lambda t: "".join(c.upper() for c in t)), _line("print(s.upper())"), "print in capitals",
           ("upper case conversion", "capital letters", "changing letter case")),
)  # fmt: skip

CODE_DISTRACTOR = Family(
    "code_distractor", "any", "any",
    ("This task was posted {n} days ago.", "It was solved by {n} people.", "The line comes from page {n} of a log.",
     "{name} wrote it {n} times."),
    lambda v, _s: v, _line(""), "distractor {n}", (), {"n": range(2, 99)},
)  # fmt: skip
