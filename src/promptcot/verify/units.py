r"""What stands behind a number: units, currencies, counted things, and words that make it another number.

A unit is known by its canonical name, factors in order with their powers: `km/h`, `kilometers per hour` and
`\text{km} \cdot \text{h}^{-1}` are all `h^-1 km`. Any other noun is the name of what was counted. Nothing is converted:
5 km is not 5000 m here, because a reference says in which unit it asks.
"""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction
from functools import lru_cache

# None of these words is a unit.
_ORDINAL = r"third|(?:four|fif|six|seven|eigh|nin|ten|eleven|twelf|[a-z]+teen|[a-z]+tie|hundred|thousand|[a-z]*illion)th"
_SMALL = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|[a-z]+teen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
# Of these words a number becomes another one,
_ARITHMETIC = re.compile(
    r"\b(?:hundreds?|thousands?|lakhs?|lacs?|crores?|myriads?|[a-z]*illi(?:on(?:e[ns]?)?|ard(?:en|s)?)s?|mille|mil|tausend"
    rf"|mill?ones|dozens?|gross|score|couples?|hal(?:f|ves)|(?:{_ORDINAL})s?|{_SMALL}|double|twice|thrice|triple|fold|squared"
    r"|cubed|factorial|power|root|base|binary|octal|hex(?:adecimal)?|decimal|ternary|mod(?:ulo)?|remainder|plus|minus"
    r"|over|divided|multiplied|raised|negative|reciprocal|inverse|choose|pi|infinity|percent|per cent|per mille|ppm|bn|mln|mio"
    r"|basis points?|mega|giga|tera|nano|milli|googol|dutzend|hundert|drittel|viertel|zehntel|halbe|docenas?|tercios?|medios?|cuartos?|demi|tiers"
    r"|tens|itself|[a-z]+(?:fold|ths)"
    r")\b|^pairs?\b|^(?:[a-z]+ed)$"
    "|[\u4e07\u4ebf\u5104\u5343\u767e\u5341\u5146\u6210\u6298\u500d\u534a\u5272\u96f6\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d]"
    "|\u5206\u4e4b|\u4f59|\u8fdb\u5236|\u9032\u6cd5|\\b(?:\u0442\u044b\u0441|\u043c\u043b\u043d|\u0441\u043e\u0442|\u043c\u0438\u043b\u043b\u0438|\u0434\u044e\u0436\u0438\u043d)",
    re.IGNORECASE,
)
# and these say something about it.
_STATEMENT = re.compile(
    r"^(?:less|fewer|more)\b|\b(?:quarters?|false|wrong|incorrect|never|cannot|greater|least|most|than|below|above|under|through|except|without|unless|if|then"
    r"|when|and|or|not|no|none|is|are|was|were|be|but|out of)\b|[\u4ee5][\u4e0a\u4e0b\u5185]|\u5de6\u53f3|\u591a$",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"\b(?:not|never|no|none|nor|neither|but|except|false|wrong|incorrect|invalid|cannot|can't|isn'?t|aren'?t|doesn'?t|without|unless|anything"
    r"|rather|instead|other than)\b|[\u4e0d\u975e\u65e0\u6ca1\u9519]",
    re.IGNORECASE,
)
_COUNTS = re.compile(rf"\b(?:zero|a|an|no|none|{_SMALL})\b|\u03c0", re.IGNORECASE)
_SCALES: dict[str, Fraction | int] = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "quadrillion": 10**15,
    "lakh": 10**5, "lac": 10**5, "crore": 10**7, "dozen": 12, "score": 20, "gross": 144, "\u4e07": 10**4, "\u4ebf": 10**8,
    "half": Fraction(1, 2), "halv": Fraction(1, 2), "third": Fraction(1, 3),
    "fourth": Fraction(1, 4), "fifth": Fraction(1, 5), "sixth": Fraction(1, 6), "seventh": Fraction(1, 7),
    "eighth": Fraction(1, 8), "ninth": Fraction(1, 9), "tenth": Fraction(1, 10), "eleventh": Fraction(1, 11),
    "twelfth": Fraction(1, 12), "hundredth": Fraction(1, 100), "thousandth": Fraction(1, 1000),
}  # fmt: skip
_SCALED = re.compile(
    r"^([^\W\d_]+?)(?:s|es)?(?:(?:\s+of)?(?:\s+an?)?\s+(.*)|)$|^([\u4e07\u4ebf])(.*)$", re.IGNORECASE
)

_SPELLINGS = {
    "m": "meter metre \u7c73 \u516c\u5c3a \u043c", "cm": "centimeter centimetre \u5398\u7c73 \u516c\u5206 \u0441\u043c", "mm": "millimeter millimetre \u6beb\u7c73 \u043c\u043c",
    "km": "kilometer kilometre \u5343\u7c73 \u516c\u91cc \u043a\u043c", "dm": "decimeter decimetre \u5206\u7c73", "in": "inch inche", "ft": "foot feet",
    "yd": "yard", "mi": "mile", "g": "gram gramme gm \u514b \u0433", "kg": "kilogram kilogramme kilo \u5343\u514b \u516c\u65a4 \u043a\u0433", "mg": "milligram \u6beb\u514b",
    "t": "ton tonne \u5428", "lb": "pound lbs", "oz": "ounce", "s": "sec second \u79d2", "min": "minute mins \u5206\u949f", "h": "hour hr \u5c0f\u65f6 \u65f6 \u0447",
    "day": "\u5929 \u65e5", "week": "wk \u5468", "month": "mo \u6708 \u4e2a\u6708", "year": "yr annum \u5e74", "L": "l liter litre \u5347",
    "mL": "ml milliliter millilitre \u6beb\u5347", "$": "dollar usd buck", "\u00a2": "cent", "\u20ac": "euro eur", "\u00a3": "gbp quid",
    "\u00a5": "yen yuan rmb cny jpy \u5143 \u5186 \u5757 \u5713", "\u20b9": "rupee rs inr", "rad": "radian", "degree": "deg \u5ea6", "person": "people \u4eba",
    "gal": "gallon", "N": "newton", "J": "joule", "W": "watt", "V": "volt", "A": "ampere amp", "Pa": "pascal",
    "Hz": "hertz", "ohm": "\u03a9 \\Omega", "\u00b5": "\\mu micro", "\u00b0C": "celsius centigrade", "\u00b0F": "fahrenheit", "mol": "mole", "am": "a.m", "pm": "p.m",
    "kW": "kw", "kWh": "kwh", "kJ": "kj",
}  # fmt: skip
_CANONICAL = {spelling: name for name, all_ in _SPELLINGS.items() for spelling in (*all_.split(), name)}
_COMPOSED = {
    "mph": "mi/h", "kph": "km/h", "kmh": "km/h", "kmph": "km/h", "fps": "ft/s", "mpg": "mi/gal", "cc": "cm^3",
    "sqft": "ft^2", "\u5e73\u65b9\u5398\u7c73": "cm^2", "\u5e73\u65b9\u7c73": "m^2", "\u5e73\u65b9\u5343\u7c73": "km^2", "\u7acb\u65b9\u5398\u7c73": "cm^3",
    "\u7acb\u65b9\u7c73": "m^3", "\u5343\u7c73/\u65f6": "km/h", "\u7c73/\u79d2": "m/s",
}  # fmt: skip
# Unit symbols that are read as such in plain letters behind a number: 5cm, 10m/s.
_SYMBOLS = (
    "mm cm dm km nm kg mg ml mL kl cc hr hrs min sec mph kph ft in yd mi lb lbs oz kw kW kwh kWh mw MW hz Hz khz kHz usd USD"
    " kJ kPa Pa mol rad deg dB eV keV MeV GeV ms GHz MHz cal kcal nM mM rpm bpm psi atm"
)
SYMBOLS = frozenset(_SYMBOLS.split())
LETTERS = frozenset("mgshlnjwvkcfLJNWVAKCFT")  # units in a text command, and in a quotient of units
CURRENCIES = "$\u00a2\u00a3\u20ac\u00a5\u20b9\u20a9\u20bd\u20aa\u20ab\u20b4\u20a6\u0e3f"
_PIECE = re.compile(
    rf"\s*(?:(per\b|/)|([*\u00b7])|\^?\(?(-?\d+)\)?|([^\W\d_]+(?:-[^\W\d_]+)*\.?|[{CURRENCIES}\u00b0\u00b5]|\\[a-zA-Z]+))",
    re.I,
)
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}


def denies(words: str) -> bool:
    """Do these words take back what stands beside them?"""
    return bool(_DENIAL.search(words))


def changes_value(words: str) -> bool:
    """May these words behind (or before) a number make it another one?"""
    return changes_number(words) or bool(_STATEMENT.search(words))


def changes_number(words: str) -> bool:
    """Do these words make of a number surely another one?"""
    return bool(_ARITHMETIC.search(words))


def counts(words: str) -> bool:
    """May these words be a number themselves?"""
    return changes_number(words) or bool(_COUNTS.search(words))


def scaled(words: str) -> tuple[Fraction, str]:
    """What a number is multiplied by, and the unit: `million dollars` is (1000000, "dollars"), `cm` is (1, "cm")."""
    found = _SCALED.match(words.strip())
    scale = _SCALES.get((found[1] or found[3]).casefold()) if found else None
    if found is None or scale is None:
        return Fraction(1), words
    more, unit = scaled((found[2] if found[1] else found[4]) or "")
    return scale * more, unit


@lru_cache(maxsize=512)
def unit_name(words: str) -> str | None:
    r"""The canonical name of a unit or of a counted thing; None if `words` are neither.

    Args:
        words: Text behind a number, without braces: `km/h`, `m s^-1`, `square feet`, `red apples`, `\mu m`.
    """
    words = words.replace("(", " ").replace(")", " ").strip(" .,")
    if words in _CANONICAL:
        return _CANONICAL[words]
    words = _COMPOSED.get(words.casefold(), words)
    if not words:
        return None
    nouns = [w for w in re.split(r"[\s/*^]+", words) if w not in _CANONICAL and w not in _COMPOSED]
    if changes_value(" ".join(nouns)):
        return None
    factors: Counter[str] = Counter()
    sign, power, at, last = 1, 1, 0, ""
    while at < len(words):
        piece = _PIECE.match(words, at)
        if not piece:
            return None
        at = piece.end()
        over, _, exponent, word = piece.groups()
        if over:
            sign = -1
        elif exponent:
            if not last:
                return None
            factors[last] += sign * (int(exponent) - 1)
        elif word:
            lower = word.casefold().rstrip(".")
            if lower in _POWERS:
                power = _POWERS[lower]
                continue
            if lower in ("of", "the", "a", "an", "each", "every"):
                continue
            if len(word) == 1 and word.isascii() and word.isalpha() and word not in LETTERS:
                return None
            last = _single(word.rstrip("."))
            for name, times in _factors(last):
                factors[name] += sign * power * times
            power = 1
    return " ".join(n if p == 1 else f"{n}^{p}" for n, p in sorted(factors.items()) if p) or None


def _factors(name: str) -> list[tuple[str, int]]:
    composed = _COMPOSED.get(name.casefold())
    if composed is None:
        return [(name, 1)]
    top, _, bottom = composed.partition("/")
    base, _, power = top.partition("^")
    return [(base, int(power or 1))] + ([(bottom, -1)] if bottom else [])


_SYMBOL = 3  # letters of a symbol at most
_UNMISTAKABLE = {
    "cm",
    "mm",
    "km",
    "kg",
    "ft",
    "in",
    "lb",
    "lbs",
    "hr",
    "hrs",
    "min",
    "sec",
    "yd",
    "oz",
    "usd",
    "mph",
    "kph",
    "deg",
    "mi",
    "rad",
}


def _single(word: str) -> str:
    if word in _CANONICAL:
        return _CANONICAL[word]
    name = word.casefold()
    if len(word) <= _SYMBOL and word != name and name not in _UNMISTAKABLE:
        return word  # mW and MW, mb and MB: the case of a symbol says how large it is
    if len(name) > 2 and name.endswith("s") and not name.endswith("ss"):
        name = name[:-1]
    return _CANONICAL.get(name, name)


def same_unit(a: str, b: str) -> bool:
    """Are they one unit, or one thing under a shorter and a longer name (apple, red apple)?"""
    if a == b or {a, b} <= {"\u00a3", "lb"}:  # both are pounds
        return True
    if {a, b} in ({"degree", "\u00b0C"}, {"degree", "\u00b0F"}):
        return True
    x, y = set(a.split()), set(b.split())
    return (x < y or y < x) and not any(n in _SPELLINGS or "^" in n for n in x | y)
