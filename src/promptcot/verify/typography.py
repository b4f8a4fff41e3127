r"""Characters and commands that only change how an answer looks: Unicode as LaTeX, fonts, sizes, colours, Markdown.

`plain` maps every way to typeset one thing to one: `½` and `\tfrac12`, `π` and `\pi`, `（1，2）` and `(1,2)`,
`\textcolor{blue}{\large\bf 19}` and `19`. It decides nothing about values.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi - pi rho - sigma tau upsilon phi chi"
    " psi omega"
)
_MARKS = {
    "\u00d7": r"\times ", "\u00b7\u22c5\u2219\u2022\u30fb": r"\cdot ", "\u00f7": r"\div ", "\u00b1": r"\pm ",
    "\u2213": r"\mp ", "\u221e": r"\infty ", "\u2264\u2a7d\u2266": r"\le ", "\u2265\u2a7e\u2267": r"\ge ",
    "\u2260": r"\ne ", "\u2248": r"\approx ", "\u2261": r"\equiv ", "\u2208": r"\in ", "\u2209": r"\notin ",
    "\u222a": r"\cup ", "\u2229": r"\cap ", "\u2216": r"\setminus ", "\u2205\u2300": r"\emptyset ",
    "\u221a": r"\sqrt ", "\u221b": r"\sqrt[3]", "\u221c": r"\sqrt[4]", "\u2220": r"\angle ", "\u25b3": r"\triangle ",
    "\u27e8\u2329": r"\langle ", "\u27e9\u232a": r"\rangle ", "\u230a": r"\lfloor ", "\u230b": r"\rfloor ",
    "\u2308": r"\lceil ", "\u2309": r"\rceil ", "\u2223": r"\mid ", "\u2225": r"\|", "\u2211": r"\sum ",
    "\u220f": r"\prod ", "\u222b": r"\int ", "\u2200": r"\forall ", "\u2203": r"\exists ", "\u2202": r"\partial ",
    "\u2192\u27f6": r"\to ", "\u21d2\u27f9": r"\Rightarrow ", "\u2234": r"\therefore ", "\u2026\u22ef": "...",
    "\u211d": r"\mathbb{R}", "\u2124": r"\mathbb{Z}", "\u2115": r"\mathbb{N}", "\u211a": r"\mathbb{Q}",
    "\u2102": r"\mathbb{C}", "\u00b0\u00ba\u02da": r"^\circ ", "\u2103": r"^\circ\text{C}", "\u2109": r"^\circ\text{F}",
    "\u2032\u2019\u02b9": "'", "\u2033": "''", "\u2044\u2215": "/", "\u2227": r"\land ", "\u2228": r"\lor ",
    "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\uff0d": "-", "\u3001": ",", "\u3002": ".", "\u3010": "[",
    "\u3011": "]", "\u00b5": r"\mu ", "\u03d5\u03c6": r"\phi ", "\u03f5": r"\epsilon ", "\u03d1": r"\theta ",
    "\u03c2": r"\sigma ", "\u2217": "*", "\u2236": ":", "\u2713\u2714\u2705\u220e\u25a0\u25a1": " ", "\u201c\u201d\u201e": '"', "\u33a1": r"\text{m}^2",
    "\u33a5": r"\text{m}^3", "\u33a0": r"\text{cm}^2", "\u33a2": r"\text{km}^2", "\u223c": r"\approx ", "\u2126": r"\Omega ", "\uffe5": "\u00a5", "\uffe1": "\u00a3",
}  # fmt: skip
_CHARACTERS = {ord(c): text for characters, text in _MARKS.items() for c in characters} | {
    code + i: rf"\{name.capitalize() if upper else name} "
    for code, upper in ((0x3B1, False), (0x391, True))
    for i, name in enumerate(_GREEK.split())
    if name != "-" and (code + i) not in (0x3C6,)
}
# Capital letters that LaTeX has no command for look like Latin ones.
_CHARACTERS |= dict(zip(map(ord, "ΑΒΕΖΗΙΚΜΝΟΡΤΧο"), "ABEZHIKMNOPTXo"))
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱˣʸ", "0123456789+-=()nixy"))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₒₓₕₖₗₘₙₚₛₜᵢⱼᵣᵤᵥ", "0123456789+-=()aeoxhklmnpstijruv"))
_RAISED_RUN = re.compile(f"[{''.join(_RAISED)}]+")
_LOWERED_RUN = re.compile(f"[{''.join(_LOWERED)}]+")
_OVERLINED = re.compile("(?:\\d\u0305)+")
_CONNECTIVES = re.compile("(或者|或|以及|及|并且|且|和|与|または|または)")
_JOINS = {"或": " or ", "または": " or ", "或者": " or "}


def unicode_as_latex(text: str) -> str:
    """Every character that LaTeX writes with a command, as that command; the rest in its compatibility form (NFKC).

    Format characters (zero-width, direction marks, soft hyphens) go; digits of all scripts become ASCII.
    """
    text = unicodedata.normalize("NFC", text).replace("\u2260", r"\ne ")
    text = _OVERLINED.sub(lambda m: rf"\overline{{{m.group().replace(chr(0x305), '')}}}", text)
    text = _RAISED_RUN.sub(lambda m: f"^{{{''.join(_RAISED[c] for c in m.group())}}}", _slashed(text))
    text = _LOWERED_RUN.sub(lambda m: f"_{{{''.join(_LOWERED[c] for c in m.group())}}}", text)
    text = "".join(_character(c) for c in text)
    return _CONNECTIVES.sub(lambda m: _JOINS.get(m.group(), " and "), text)


def _slashed(text: str) -> str:
    """¹⁄₂ is a fraction, not a power with an index."""
    return re.sub(
        f"([{''.join(_RAISED)[:30]}]+)[\u2044/]([{''.join(_LOWERED)[:10]}]+)",
        lambda m: rf"\frac{{{''.join(_RAISED[c] for c in m[1])}}}{{{''.join(_LOWERED[c] for c in m[2])}}}",
        text,
    )


@lru_cache(maxsize=4096)
def _character(c: str) -> str:
    if c.isascii():
        return c
    if (mapped := _CHARACTERS.get(ord(c))) is not None:
        return mapped
    category = unicodedata.category(c)
    if category == "Cf" or "\ufe00" <= c <= "\ufe0f":  # variation selectors
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(c))
    if category == "No" and unicodedata.decomposition(c).startswith("<fraction>"):
        top, bottom = unicodedata.normalize("NFKC", c).split("\u2044")
        return rf"\frac{{{top}}}{{{bottom}}}" if bottom else c
    compatible = unicodedata.normalize("NFKC", c)
    return compatible if compatible == c else "".join(map(_character, compatible))


# --- LaTeX


_GROUP = r"\s*\{(?:[^{}]|\{[^{}]*\})*\}"
_NAMES = {
    "lbrace": r"\{", "rbrace": r"\}", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "vert": "|",
    "Vert": r"\|", "ast": "*", "colon": ":", "infin": r"\infty ", "R": r"\mathbb{R}", "N": r"\mathbb{N}",
    "Z": r"\mathbb{Z}", "Q": r"\mathbb{Q}", "C": r"\mathbb{C}", "reals": r"\mathbb{R}", "leqq": r"\le ",
    "geqq": r"\ge ", "leqslant": r"\le ", "geqslant": r"\ge ", "leq": r"\le ", "geq": r"\ge ", "neq": r"\ne ",
    "lt": "<", "gt": ">", "sdot": r"\cdot ", "bullet": r"\cdot ", "cdotp": r"\cdot ", "wedge": " and ", "land": " and ",
    "vee": " or ", "lor": " or ", "thinspace": " ", "medspace": " ", "thickspace": " ", "enspace": " ", "space": " ",
    "nobreakspace": " ", "quad": " ", "qquad": " ", "lVert": r"\|", "rVert": r"\|", "lq": "`", "rq": "'", "prime": "'", "degree": r"^\circ ",
    "textdegree": r"^\circ ", "pounds": "\u00a3", "textsterling": "\u00a3", "euro": "\u20ac", "texteuro": "\u20ac",
    "yen": "\u00a5", "textyen": "\u00a5", "cent": "\u00a2", "textcent": "\u00a2", "textdollar": r"\$",
    "rupee": "\u20b9", "dots": "...", "ldots": "...", "cdots": "...", "textbackslash": r"\setminus ", "smallsetminus": r"\setminus ",
    "textonehalf": r"\frac{1}{2}", "textpi": r"\pi ", "varphi": r"\phi ", "varepsilon": r"\epsilon ", "vartheta": r"\theta ",
    "sim": r"\approx ", "simeq": r"\approx ", "checkmark": " ", "blacksquare": " ", "square": " ", "qed": " ", "cr": r"\\ ",
    "bold": r"\mathbf", "cents": "\u00a2", "iff": r"\Leftrightarrow ", "dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac", "nicefrac": r"\frac", "sfrac": r"\frac",
    "dbinom": r"\binom", "tbinom": r"\binom", "implies": r"\Rightarrow ",
    "longrightarrow": r"\to ", "rightarrow": r"\to ", "Longrightarrow": r"\Rightarrow ", "varnothing": r"\emptyset ",
    "cosec": r"\csc ", "tg": r"\tan ", "ctg": r"\cot ", "cotg": r"\cot ", "arctg": r"\arctan ", "arcctg": r"\arccot ",
}  # fmt: skip
_FONTS = (
    "tiny|scriptsize|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge|displaystyle|textstyle|scriptstyle"
    "|scriptscriptstyle|limits|nolimits|bf|it|sf|tt|sl|sc|em|bfseries|itshape|rmfamily|boldmath|strut|mathstrut"
    "|centering|noindent|hfill|newline|nobreak|allowbreak|relax|protect|therefore"
)
_FUNCTIONS = "(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|cosec|tg|ctg|cotg|arctg|arcctg|ln|lg|log|exp|min|max|gcd|lcm|sgn|det"
_LONGER = "(?:arc)(?:sin|cos|tan|cot|sec|csc)h?|(?:sin|cos|tan|cot|csc)h?|ln|log|gcd|lcm|max"
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<!\\)%[^\n]*\n", " "),  # a comment
        (r"\\not\s*(?:=|\\eq(?![a-z]))", r"\\ne "),
        (r"\\not\s*\\in(?![a-z])", r"\\notin "),
        (r"\\(?:not\s*<|nless(?![a-z]))", r"\\ge "),
        (r"\\(?:not\s*>|ngtr(?![a-z]))", r"\\le "),
        (r"psmallmatrix|bsmallmatrix", "pmatrix"),
        (r"\\math(?:open|close|punct)\s*\{([^{}]*)\}", r"\1"),
        (r"\\math(?:ord|bin|rel)\s*\{([^{}\w]*)\}", r"\1"),
        # What a row break is followed by: \\[4pt]
        (r"\\\\\[[\d.]+\s*[a-z]{2}\]", r"\\\\"),
        (rf"\\(?:{_FONTS})(?![a-zA-Z])\s*", ""),
        (r"\\(?:left|right)\s*\.|\\(?:left|right|middle|[bB]igg?[lrm]?)(?![a-zA-Z])\s*", ""),
        (r"\{\s*\\rm(?![a-zA-Z])\s*([^{}]*)\}", r"\\mathrm{\1}"),
        (r"\\rm\s*(?=\{)", r"\\mathrm"),
        (r"\\rm(?![a-zA-Z])", ""),
        (r"\^\s*(?:\\prime(?![a-zA-Z])|\{\s*\\prime\s*\})", "'"),
        (rf"\\(?:hspace|vspace|phantom|hphantom|vphantom|label|tag|mspace)\*?{_GROUP}", " "),
        (r"\\(?:hskip|kern|mkern|mskip)\s*-?[\d.]+\s*[a-z]{2}", " "),
        (rf"\\fcolorbox{_GROUP}{_GROUP}\s*(?=\{{)", ""),
        (
            rf"\\(?:textcolor|colorbox){_GROUP}\s*(?=\{{)|\\color{_GROUP}|\\bbox\s*(?:\[[^\]]*\])?\s*(?=\{{)",
            "",
        ),
        (r"\\(?:text(?:tt|sl|sc|up|md|normal)|emph)\s*(?=\{)", r"\\text"),
        # Bold letters are names of vectors; bold numbers are numbers.
        (r"\\(?:mathbf|bold|mathbb)\s*(?:\{\s*([RZNQC])\s*\}|([RZNQC])(?![a-zA-Z]))", r"\\mathbb{\1\2}"),
        (r"\\(?:boldsymbol|bm|pmb)\s*(?=\{\s*\\?[a-zA-Z]+\s*\})", r"\\mathbf"),
        (
            r"\\(?:underline|uline|ensuremath|mathtt|mathop|mathbin|mathrel|mathord|mathinner|mathnormal|smash"
            r"|boldsymbol|bm|pmb|framebox|boxed|fbox)\s*(?=\{)",
            "",
        ),
        (rf"\\(?:operatorname\*?|mathop)\s*\{{\s*({_FUNCTIONS})\s*\}}", r"\\\1 "),
        # Behind a number or a fraction sign, sec and min are units.
        (
            rf"(?<![\d/}}~ ])\s*\\(?:mathrm|text|textrm)\s*\{{\s*({_FUNCTIONS})\s*\}}(?=\s*[({{_^\\\w])",
            r"\\\1 ",
        ),
        (rf"\\(?:mathrm|text|textrm)\s*\{{\s*({_LONGER})\s*\}}", r"\\\1 "),
        (r"\\operatorname\*?\s*\{\s*([a-zA-Z])\s*\}", r"\1 "),
        (r"\\\{\s*(?=\\begin\{(?:aligned|align\*?|gathered|split)\})", ""),
        (
            r"\\\{\s*\\begin\{array\}\s*\{[^{}]*\}(.*?)\\end\{array\}(?!\s*\\\})",
            r"\\begin{cases}\1\\end{cases}",
        ),
    )
)
_COMMAND = re.compile(r"\\([a-zA-Z]+)(?![a-zA-Z])[ \t]*")
# Commas in threes inside an argument, where nothing else can be meant.
_GROUPED = re.compile(r"(?<=\{)(\d{1,3}(?:,\d{3})+)(?=\})")
_TAGS = re.compile(r"</?(?:b|i|em|strong|u|span|sub|sup|p|code)>")
_QUOTED = re.compile(r"""^\s*(["']|==|```)(.+?)\1\s*$""", re.DOTALL)
_ENTITIES = (
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&amp;", "&"),
    ("&le;", r"\le "),
    ("&ge;", r"\ge "),
    ("&nbsp;", " "),
)
_BOLD = re.compile(r"^\s*(\*\*|__)(?=\S)(.+?)(?<=\S)\1(.*)$", re.DOTALL)
_SLANTED = re.compile(r"^\s*([*`])([^*`]+)\1\s*$")
_DOUBLED = re.compile(r"\\\\(?=[a-zA-Z{}()%$,;!])")
_SINGLE = re.compile(r"(?<!\\)\\(?:\\\\)*(?!\\)")


def plain(text: str) -> str:
    """`text` without anything that only changes how it looks."""
    if not text.isascii():
        text = unicode_as_latex(text)
    text = _QUOTED.sub(r"\2", _TAGS.sub("", text)) if text[-1:] in "\"'>=`" or "&" in text else text
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    if bold := _BOLD.match(text):
        text = bold[2] + bold[3]
    if slanted := _SLANTED.match(text):
        text = slanted[2]
    if "\\" not in text:
        return text
    text = undoubled(text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    text = _GROUPED.sub(lambda m: m[1].replace(",", ""), text)
    return _COMMAND.sub(_named, text)


def undoubled(text: str) -> str:
    r"""LaTeX that was escaped twice, `\\frac{1}{2}`, escaped once. A text with rows keeps its row breaks."""
    if r"\begin" in text.replace(r"\\begin", "") or not _DOUBLED.search(text) or _SINGLE.search(text):
        return text
    return text.replace("\\\\", "\\")


def _named(match: re.Match[str]) -> str:
    """A standard name as the one that the grammar knows."""
    return _NAMES.get(match[1], match.group())
