"""The values of a config: read from YAML, with what the environment has put in."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

from mpn.errors import DataError

MAX_BYTES = 1_000_000  # of a config: more is none
# An alias (*) stands for what its anchor (&) has, so few lines can stand for more than any memory
# holds: values that all aliases together may stand for, and values within one another.
MAX_COPIED, DEEPEST = 10_000, 50
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Tags such as !!bool let PyYAML look values up, and take texts apart, as they come.
_UNREADABLE = (
    yaml.YAMLError,
    UnicodeDecodeError,
    RecursionError,
    ValueError,
    LookupError,
    AttributeError,
)


class _Refused(yaml.MarkedYAMLError):
    """What YAML allows, and a config does not."""


class _Loader(yaml.SafeLoader):
    """Loads plain values, as `yaml.safe_load`.

    Attributes:
        mistakes: keys that come twice, a line each.
    """

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self.mistakes: list[str] = []
        self._sizes: dict[yaml.Node, tuple[int, int]] = {}  # values in it, how many in one another
        self._copied = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        alias, mark = self.check_event(yaml.AliasEvent), self.peek_event().start_mark
        node = super().compose_node(parent, index)
        if node is None:
            return None
        if not alias:
            if isinstance(node, yaml.MappingNode):
                self._check_keys(node)
            self._sizes[node] = self._size(node)
        elif node not in self._sizes:
            raise _Refused(problem="an alias (*) stands for what it is in", problem_mark=mark)
        else:
            self._copied += self._sizes[node][0]
        if self._copied > MAX_COPIED or self._sizes[node][1] > DEEPEST:
            problem = f"aliases (*) stand for more than {MAX_COPIED:,} values"
            if self._sizes[node][1] > DEEPEST:
                problem = f"more than {DEEPEST} values are within one another"
            raise _Refused(problem=problem, problem_mark=mark)
        return node

    def _size(self, node: yaml.Node) -> tuple[int, int]:
        inside = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            inside = [child for pair in node.value for child in pair]
        sizes = [self._sizes[child] for child in inside]
        return 1 + sum(count for count, _ in sizes), 1 + max((deep for _, deep in sizes), default=0)

    def _check_keys(self, node: yaml.MappingNode) -> None:
        """Look at keys as they were written: what `<<` brings in may be there, too."""
        keys: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problem = "a list or a mapping stands where a name should"
                raise _Refused(problem=problem, problem_mark=key.start_mark)
            if key.value in keys:
                line = key.start_mark.line + 1
                self.mistakes.append(f"line {line}: {key.value} comes twice, take one out")
            keys.add(key.value)


def load_values(path: Path, mistakes: list[str]) -> dict[str, Any]:
    """Read the values of a config.

    Args:
        path: of the YAML file.
        mistakes: keys that come twice are added, a line each.

    Raises:
        DataError: it cannot be read, or is no YAML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise DataError(f"{path}: is larger than {MAX_BYTES:,} bytes, which no config is")
        loader = _Loader(data)
        values = loader.get_single_data()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); mpn watch --example prints one"
        ) from error
    except _UNREADABLE as error:
        mark = getattr(error, "problem_mark", None)
        at = f"line {mark.line + 1}" if mark else "file"
        reason = getattr(error, "problem", None) or " ".join(str(error).split())[:120]
        problem = reason if isinstance(error, _Refused) else f"is no YAML ({reason})"
        raise DataError(f"{path}: {at}: {problem}; see mpn watch --example") from error
    if not isinstance(values, dict):
        raise DataError(f"{path}: file: holds no settings; mpn watch --example prints some")
    mistakes += loader.mistakes
    return values


def substituted(value: Any, mistakes: list[str], where: str = "") -> Any:
    """Put environment variables into texts: ${NAME}.

    Args:
        value: as it was read.
        mistakes: variables that are not set are added, and texts that nothing can be called; a
            line "where: what, what to do" each.
        where: keys on the way to it.
    """
    if isinstance(value, dict):
        return {
            key: substituted(item, mistakes, f"{where}.{key}".lstrip("."))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [substituted(item, mistakes, f"{where}.{n}") for n, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    usable = value.replace("\0", "?").encode(errors="replace").decode()
    if usable != value:
        mistakes.append(
            f"{where}: holds a character that no name can have (such as \\0), delete it"
        )
        value = usable  # (whoever looks for a file of that name would fail)
    for name in VARIABLE.findall(value):
        if name not in os.environ:
            mistakes.append(f"{where}: the environment has no {name}, set it (export {name}=...)")
    return VARIABLE.sub(lambda match: os.environ.get(match[1], match[0]), value)
