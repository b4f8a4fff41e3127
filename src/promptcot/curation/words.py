"""What counts as a word, in any script.

Words are runs of letters, digits and the marks on them. Chinese and Japanese do not separate words, so each of their
characters is one. Thai, Lao, Khmer and Burmese do not either; there a word is what stands between two spaces.
"""

from __future__ import annotations

import re

# What is not seen and yet splits a word or tells two texts apart: Unicode's default ignorables (soft hyphens, zero-width
# characters, byte order marks, variation selectors), and TeX's own soft hyphen.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    r"|(?<=[^\W\d_])\\-(?=[^\W\d_])"
)
ALONE = r"\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_MARKS = (  # of Latin, Hebrew, Arabic, Indic and South-East Asian scripts: no letters to `re`
    r"\u0300-\u036f\u0591-\u05bd\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff\u0e31-\u0eff\u0f18-\u109f\u17b4-\u17d3"
)
WORD = rf"[{ALONE}]|(?:[^\W_{ALONE}]|[{_MARKS}])+"
_STOPS = r"\u3001-\u3003\u3008-\u3020\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
_COUNTED = re.compile(rf"[{ALONE}]|[^\s{ALONE}{_STOPS}]+")


def visible(text: str) -> str:
    """The text without what is not seen of it."""
    return _INVISIBLE.sub("", text)


def count_words(text: str) -> int:
    """As many as white space separates; every Chinese or Japanese character is one, their punctuation none."""
    return len(_COUNTED.findall(text))
