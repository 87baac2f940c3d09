"""How an entity that several labels name is named in one column: `tier/node`, `node/interface`, `source->target`.

Tables join on these, so every processor makes them here.
"""

from collections.abc import Iterable


def entity_id(parts: Iterable[str], separator: str = "/") -> str:
    """Return `parts` joined so that no other parts give the same text.

    The last character of `separator` and `%` are written as `%` and their code within a part.
    """
    mark = separator[-1]
    return separator.join(part.replace("%", "%25").replace(mark, f"%{ord(mark):02X}") for part in parts)
