"""YAML with the line of every value, so that an error in a pipeline file can say where it is."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from resources.errors import InvalidInput


class PipelineFileError(InvalidInput):
    """A pipeline file that cannot be used; the message begins with `file:line:`."""

    def __init__(self, path: Path, line: int, problem: str) -> None:
        self.path, self.line, self.problem = path, line, problem
        super().__init__(f"{path}:{line}: {problem}")


class Place:
    """One value of a YAML file, with its file and line."""

    def __init__(self, path: Path, node: yaml.Node) -> None:
        self.path, self._node = path, node

    @property
    def line(self) -> int:
        return self._node.start_mark.line + 1

    def error(self, problem: str) -> PipelineFileError:
        return PipelineFileError(self.path, self.line, problem)

    def error_at(self, path: Sequence[int | str], problem: str) -> PipelineFileError:
        """Return the error of the part that `path` (list positions and keys) leads to, as far as it leads."""
        at = self
        for step in path:
            if isinstance(step, int) and isinstance(at._node, yaml.SequenceNode):
                at = list(at.items())[step]
            elif isinstance(step, str) and isinstance(at._node, yaml.MappingNode) and step in at.mapping():
                at = at.mapping()[step]
            else:
                break
        return at.error(problem)

    def mapping(self, *known: str) -> "dict[str, Place]":
        """Return this mapping's values by key, refusing keys besides `known` (if any) and keys given twice."""
        if not isinstance(self._node, yaml.MappingNode):
            raise self.error("expected keys with values here")
        found: dict[str, Place] = {}
        for key_node, value_node in self._node.value:
            key, at = str(key_node.value), Place(self.path, key_node)
            if known and key not in known:
                raise at.error(f"{key!r} is not known here. Known: {', '.join(known)}.")
            if key in found:
                raise at.error(f"{key!r} is given twice")
            found[key] = Place(self.path, value_node)
        return found

    def items(self) -> "Iterator[Place]":
        """Yield the values of this list."""
        if not isinstance(self._node, yaml.SequenceNode):
            raise self.error("expected a list here")
        for node in self._node.value:
            yield Place(self.path, node)

    def is_list(self) -> bool:
        return isinstance(self._node, yaml.SequenceNode)

    def text(self) -> str:
        if not isinstance(self._node, yaml.ScalarNode):
            raise self.error("expected text here")
        return str(self._node.value)

    def value(self) -> Any:
        """Return the plain value: text, numbers, dates, lists and mappings of them.

        Raises:
            PipelineFileError: naming the line of a part that has no such value, as an impossible date, or of a key
                that is given twice.
        """
        for part in self._parts({}):
            if isinstance(part._node, yaml.ScalarNode):
                part._constructed()
            elif not part.is_list():
                part.mapping()
        return self._constructed()

    def _parts(self, seen: dict[int, yaml.Node]) -> "Iterator[Place]":
        """Yield this and all values within it, each once: an alias may lead back to where it is."""
        if id(self._node) in seen:
            return
        seen[id(self._node)] = self._node
        yield self
        if isinstance(self._node, yaml.CollectionNode):
            for child in self._node.value:
                for node in child if isinstance(child, tuple) else (child,):
                    yield from Place(self.path, node)._parts(seen)

    def _constructed(self) -> Any:
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_document(self._node)
        except (yaml.YAMLError, ValueError) as error:
            raise self.error(f"cannot be read: {error}") from error
        finally:
            loader.dispose()


def read_text(path: Path) -> str:
    """Return the text in `path`; `PipelineFileError` where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineFileError(path, 1, f"cannot be read: {error}") from error


def read_yaml(path: Path) -> Place:
    """Return the document in `path`.

    Raises:
        PipelineFileError: it cannot be read, or is not one YAML document.
    """
    text = read_text(path)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise PipelineFileError(path, line, f"is not YAML: {getattr(error, 'problem', error)}") from error
    if node is None:
        raise PipelineFileError(path, 1, "is empty")
    return Place(path, node)
