"""Series selectors in PromQL's notation: which series of a source are meant.

Only selectors, not expressions: `novacron_storage_iops{operation="read", tier=~"nvme|ssd"}`. A
selector read here and written again means the same to Prometheus, VictoriaMetrics and to the
sources that answer by themselves: regular expressions are RE2's, as they are to both servers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

import re2

from resources.errors import InvalidInput

Operator = Literal["=", "!=", "=~", "!~"]

NAME = "__name__"
MAX_LENGTH = 10_000
# A compiled expression; one that names a thousand VMs takes a few MB.
MAX_EXPRESSION_BYTES = 256 << 20

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_NAMES = re.compile(r"[a-zA-Z0-9_:]+(\|[a-zA-Z0-9_:]+)+")
_MATCHER = re.compile(
    r"""\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)\s*""", re.DOTALL
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)", re.DOTALL)
_PLAIN = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\", '"': '"', "'": "'"}


@dataclass(frozen=True)
class Matcher:
    """One condition on a label. A label that a series lacks counts as empty."""

    label: str
    operator: Operator
    value: str

    def matches(self, value: str) -> bool:
        """Return whether a label of this value meets the condition. A regular expression must match it whole."""
        if self.operator in ("=", "!="):
            return (value == self.value) == (self.operator == "=")
        return _matches(self.value, value) == (self.operator == "=~")

    def __str__(self) -> str:
        return f"{self.label}{self.operator}{quoted(self.value)}"


@dataclass(frozen=True)
class Selector:
    """Series that meet all of `matchers`."""

    matchers: tuple[Matcher, ...]

    @property
    def name(self) -> str | None:
        """The metric's name, None where the selector does not fix one."""
        return next((m.value for m in self.matchers if m.label == NAME and m.operator == "="), None)

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Return whether the series `name{labels}` is meant."""
        return all(m.matches(name if m.label == NAME else labels.get(m.label, "")) for m in self.matchers)

    def matches_name(self, name: str) -> bool:
        """Return whether a series of the metric `name` may be meant."""
        return all(m.matches(name) for m in self.matchers if m.label == NAME)

    def having(self, *matchers: Matcher) -> "Selector":
        """Return this selector with more conditions."""
        return Selector((*self.matchers, *matchers))

    def by_name(self) -> "tuple[Selector, Selector] | None":
        """Return two selectors for half of the metrics each, where this one lists several by name."""
        named = next((m for m in self.matchers if m.label == NAME and m.operator == "=~"), None)
        if named is None or not _NAMES.fullmatch(named.value):
            return None
        names = named.value.split("|")
        halves = (one_of(NAME, half) for half in (names[: len(names) // 2], names[len(names) // 2 :]))
        first, second = (Selector(tuple(half if m is named else m for m in self.matchers)) for half in halves)
        return first, second

    def __str__(self) -> str:
        name = self.name
        rest = [m for m in self.matchers if not (m.label == NAME and m.operator == "=" and m.value == name)]
        if name is None or not _METRIC.fullmatch(name):
            return "{" + ",".join(map(str, self.matchers)) + "}"
        return name + ("{" + ",".join(map(str, rest)) + "}" if rest else "")


def parse_selector(text: str) -> Selector:
    """Return the selector that `text` writes.

    Raises:
        InvalidInput: it is no selector: an expression, an unknown escape, an expression that does
            not compile, or conditions that would select every series.
    """
    return _parsed(text)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Selector:
    if len(text) > MAX_LENGTH:
        raise InvalidInput(f"a selector of {len(text)} characters ({text[:60]!r}...) is too long. Name fewer values.")
    stripped = text.strip()
    name = _METRIC.match(stripped)
    matchers = [Matcher(NAME, "=", name.group())] if name else []
    rest = stripped[name.end() :].strip() if name else stripped
    if rest:
        if not (rest.startswith("{") and rest.endswith("}")):
            raise _no_selector(text, "after the metric's name only {label conditions} may follow")
        matchers += _conditions(text, rest[1:-1])
    if not any(not matcher.matches("") for matcher in matchers):
        raise _no_selector(text, "it names no metric and no label value, so it would select everything")
    return Selector(tuple(matchers))


def _conditions(text: str, inside: str) -> list[Matcher]:
    found, position = [], 0
    while inside[position:].strip():
        match = _MATCHER.match(inside, position)
        if match is None:
            raise _no_selector(text, f'{inside[position : position + 40]!r} is not label="value"')
        label, operator, value = match.group(1), cast(Operator, match.group(2)), _unquoted(text, match.group(3))
        if operator in ("=~", "!~"):
            try:
                _compiled(value)
            except re2.error as error:
                raise _no_selector(text, f"the expression {value!r} is wrong: {error}") from error
        found.append(Matcher(label, operator, value))
        position = match.end()
        if position < len(inside):
            if inside[position] != ",":
                raise _no_selector(text, f"a comma is missing before {inside[position : position + 40]!r}")
            position += 1
    return found


def quoted(value: str) -> str:
    """Return `value` as a PromQL string; whatever is in it stays inside the quotes."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def one_of(label: str, values: list[str]) -> Matcher:
    """Return the condition that `label` is one of `values`, written so that servers look them up as a set."""
    if len(values) == 1:
        return Matcher(label, "=", values[0])
    return Matcher(label, "=~", "|".join(re2_literal(value) for value in values))


def re2_literal(value: str) -> str:
    """Return an expression that matches just `value`, in the syntax that RE2 and Python share."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", value)


def _unquoted(text: str, literal: str) -> str:
    body = literal[1:-1]
    if literal[0] == "`":
        return body

    def plain(match: re.Match[str]) -> str:
        code = match.group(1)
        if code in _PLAIN:
            return _PLAIN[code]
        try:
            return chr(int(code, 8) if code.isdigit() else int(code[1:], 16))
        except (ValueError, OverflowError) as error:
            raise _no_selector(text, f"unknown escape \\{code}") from error

    return _ESCAPE.sub(plain, body)


@lru_cache(maxsize=4096)
def _matches(expression: str, value: str) -> bool:
    """Return whether `expression` matches `value` whole; series of one metric ask the same over and over."""
    return _compiled(expression).fullmatch(value) is not None


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> Any:
    options = re2.Options()
    options.dot_nl, options.log_errors, options.max_mem = True, False, MAX_EXPRESSION_BYTES
    return re2.compile(expression, options)


def _no_selector(text: str, why: str) -> InvalidInput:
    shown = text if len(text) <= 120 else f"{text[:117]}..."
    return InvalidInput(
        f'{shown!r} is not a series selector: {why}. Write a metric\'s name, or name{{label="value"}}; '
        "expressions such as rate(...) are not selectors."
    )
