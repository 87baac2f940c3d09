"""How a reader runs a figure again: the command, safe to paste into a shell, and its lines on a page."""

import re

_ACTIVE_IN_QUOTES = re.compile(r'(["$`\\])')


def command(sql: str, tenant: str) -> str:
    """Return the command that runs `sql` for `tenant`, with the SQL on its own lines."""
    return f'novacron-analytics query "\n{_ACTIVE_IN_QUOTES.sub(_escaped, sql)}\n" --tenant {tenant}'


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found.group(1)}"


def wrap(text: str, width: int) -> list[str]:
    """Return `text` in lines of at most `width` characters, broken at spaces outside quoted text.

    A break is white space to SQL and to the shell inside its quotes, so what is copied from the
    page still runs. A word longer than a line is cut.
    """
    lines = []
    for line in text.expandtabs(4).splitlines():
        indent = " " * min(len(line) - len(line.lstrip()) + 4, width // 2)
        rest = line
        while len(rest) > width:
            cut = _last_break(rest, width, len(indent))
            lines.append(rest[:cut].rstrip())
            rest = indent + rest[cut:].lstrip()
        lines.append(rest)
    return lines


def _last_break(line: str, width: int, indent: int) -> int:
    quoted, found, word = False, 0, 0
    for place, character in enumerate(line[:width]):
        if character == "'":
            quoted = not quoted
        elif character == " " and place > indent:
            word = place
            found = found if quoted else place
    return found or word or width
