"""Draw the architecture of mpn from its imports, and check it against the floors.

    python docs/draw_architecture.py             write the drawing into docs/architecture.md
    python docs/draw_architecture.py --check     change nothing; exit code 1 where a rule is broken
    python docs/draw_architecture.py OTHER       the figures of another checkout, to compare

Every import statement of `mpn/` counts, also those within functions and under TYPE_CHECKING;
nothing is executed. A *place* is a folder of `mpn/` or a module that lies loose in it. `FLOORS`
says which places stand on which floor: a module imports only from its own folder and from lower
floors.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path("docs", "architecture.md")
START, END = "<!-- drawing -->", "<!-- /drawing -->"

NOTE = """Made by `python docs/draw_architecture.py`. Roof first; between two lines lies a floor. A
number says how many imports lead from the row's modules into the column's place. All stand right of
the diagonal and beyond the own floor: they lead down."""

# Ground up. A folder within a folder stands on the floor of the outer one. `mpn` is the package's
# own `__init__.py`, which hands on names of the floors below.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "version"),
    ("io", "meta"),
    ("video", "motion"),
    ("datasets", "model"),
    ("scoring",),
    ("adaptation", "metrics", "jobs", "doctor", "published_weights", "bench"),
    ("evaluation", "training", "api"),
    ("report",),
    ("live", "scale"),
    ("mpn",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {place: number for number, places in enumerate(FLOORS) for place in places}


@dataclass(frozen=True)
class Code:
    """The modules of a checkout's `mpn/` and what they import of each other.

    Attributes:
        files: path of each module's file by its dotted name, such as `mpn.video.sources`; a
            package's `__init__.py` has the name of the package.
        imports: pairs (importing module, imported module), each once.
    """

    files: Mapping[str, Path]
    imports: frozenset[tuple[str, str]]

    def place(self, module: str) -> str:
        """Name the place of a module: its folder below `mpn/`, or itself where it lies loose."""
        parts = module.split(".")[1:]
        if self.files[module].name != "__init__.py":
            parts = parts[:-1] or parts
        return "/".join(parts) or "mpn"

    def places(self) -> list[str]:
        """List the places, from the lowest floor up, by name within a floor."""
        return sorted({self.place(module) for module in self.files}, key=_rank)

    def between_places(self) -> Counter[tuple[str, str]]:
        """Count the imports from one place into another, by (importing, imported) place."""
        pairs = ((self.place(module), self.place(target)) for module, target in self.imports)
        return Counter(pair for pair in pairs if pair[0] != pair[1])

    def loose_modules(self) -> list[str]:
        """List the modules that lie directly in `mpn/`, without the package's own two files."""
        special = ("__init__.py", "__main__.py")
        return sorted(
            module
            for module, file in self.files.items()
            if module.count(".") == 1 and file.name not in special
        )


def read_code(root: Path = ROOT) -> Code:
    """Read the import statements of every module below `root/mpn`.

    Args:
        root: a checkout.

    Raises:
        FileNotFoundError: there is no `mpn/__init__.py` in it.
    """
    if not (root / "mpn" / "__init__.py").is_file():
        raise FileNotFoundError(f"{root}: no mpn/__init__.py; expected a checkout of this project")
    files = {}
    for file in sorted((root / "mpn").rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    pairs = {(module, target) for module in files for target in _imported(module, files)}
    return Code(files, frozenset((module, target) for module, target in pairs if module != target))


def _imported(module: str, files: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules of `files` that a module imports, by the text of its import statements."""
    file = files[module]
    package = module.split(".")[: None if file.name == "__init__.py" else -1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            # `from mpn import metrics` imports a module, `from mpn.video import x` perhaps a name.
            inner = [f"{source}.{alias.name}" for alias in node.names]
            names = [name if name in files else source for name in inner]
        else:
            continue
        yield from (name for name in names if name in files)


def _floor(place: str) -> int:
    """Number the floor of a place from 0; of an unknown one the number above all floors."""
    return FLOOR_OF.get(place.split("/")[0], len(FLOORS))


def _rank(place: str) -> tuple[int, str]:
    return _floor(place), place


def circles(pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Find the groups in which each can be reached from each other one.

    Args:
        pairs: (importing, imported).

    Returns:
        The names of each group of two or more (its strongly connected components), sorted.
    """
    onward: dict[str, set[str]] = {}
    for source, target in pairs:
        onward.setdefault(source, set()).add(target)
    reached = {name: _reachable(name, onward) for name in onward}
    groups = {
        tuple(sorted(other for other in reached[name] if name in reached.get(other, ())))
        for name in onward
        if name in reached[name]
    }
    return sorted(list(group) for group in groups if len(group) > 1)


def _reachable(start: str, onward: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        fresh = onward.get(waiting.pop(), set()) - seen
        seen |= fresh
        waiting += fresh
    return seen


def not_downward(code: Code) -> list[str]:
    """List the imports that lead to the same or a higher floor, a line each.

    Within a place, and between a folder and the folders inside it, every direction is allowed (and
    a circle is found by `circles`).
    """
    lines = []
    for module, target in sorted(code.imports):
        own, other = code.place(module), code.place(target)
        if own.split("/")[0] == other.split("/")[0]:
            continue
        if _floor(other) >= _floor(own):
            direction = "upward" if _floor(other) > _floor(own) else "sideways"
            lines.append(f"{module} imports {target}: {direction}, {own} -> {other}")
    return lines


def problems(code: Code) -> list[str]:
    """List what breaks the rules of the architecture, a line each; empty where nothing does."""
    unknown = [place for place in code.places() if _floor(place) == len(FLOORS)]
    lines = [
        f"{place}: stands on no floor; name it in FLOORS of {Path(__file__).name}"
        for place in unknown
    ]
    lines += [f"circle of modules: {', '.join(group)}" for group in circles(code.imports)]
    lines += [f"circle of places: {', '.join(group)}" for group in circles(code.between_places())]
    return lines + not_downward(code)


def figures(code: Code) -> dict[str, int]:
    """Count what can be compared before and after a change, by a word for each."""
    between = code.between_places()
    return {
        "modules": len(code.files),
        "modules on the top level": len(code.loose_modules()),
        "places": len(code.places()),
        "imports between modules": len(code.imports),
        "imports between modules of different places": sum(between.values()),
        "imports between places (pairs)": len(between),
        "circles of modules": len(circles(code.imports)),
        "circles of places": len(circles(between)),
    }


def drawing(code: Code) -> str:
    """Draw the places by floor, roof first, with the number of imports between them, as Markdown.

    Row by column: how many imports of the row's modules lead to modules of the column's place. The
    places stand in the same order in rows and columns, so every import that leads to a lower floor
    stands right of the diagonal.
    """
    places = code.places()[::-1]
    between = code.between_places()
    width = max(len(place) for place in places) + 4
    rule = "-" * (width + 3 * len(places))
    lines = [" " * width + "".join(f"{number:3}" for number in range(1, len(places) + 1)), rule]
    numbered = list(enumerate(places, 1))
    for _, floor in groupby(numbered, key=lambda item: _floor(item[1])):
        for number, place in floor:
            counts = (between[place, other] for other in places)
            cells = [f"{count:3}" if count else "  ." for count in counts]
            cells[number - 1] = "  \\"
            lines.append(f"{number:2}  {place}".ljust(width) + "".join(cells).rstrip())
        lines.append(rule)
    return "\n".join(["```text", *lines, "```"])


def table(code: Code) -> str:
    """List places, their files and their purpose (of the package's docstring), as Markdown."""
    rows = ["| place | files | purpose |", "|---|---|---|"]
    for place in code.places()[::-1]:
        modules = [module for module in code.files if code.place(module) == place]
        package = next((m for m in modules if code.files[m].name == "__init__.py"), modules[0])
        stems = sorted(code.files[m].stem for m in modules if m != package)
        rows.append(f"| `{place}` | {', '.join(stems)} | {_purpose(code.files[package])} |")
    return "\n".join(rows)


def _purpose(file: Path) -> str:
    """Give the first sentence of a module's docstring, in one line."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return paragraph.split(". ")[0].rstrip(".").replace("|", "\\|")


def section(code: Code) -> str:
    """Compose what stands between the markers of docs/architecture.md, markers included."""
    counts = "\n".join(f"| {name} | {count} |" for name, count in figures(code).items())
    return "\n\n".join(
        [
            START,
            NOTE,
            drawing(code),
            table(code),
            "| figure | |\n|---|---|\n" + counts,
            END,
        ]
    )


def with_section(page: str, text: str) -> str:
    """Put the section in place of the one between the markers; at the end where there is none."""
    before, start, rest = page.partition(START)
    after = rest.partition(END)[2] if start else "\n"
    return before.rstrip("\n") + "\n\n" + text + after.rstrip("\n") + "\n"


def main() -> int:
    """Write the drawing, or check it, or print the figures of another checkout."""
    parser = argparse.ArgumentParser(description="Draw the architecture of mpn from its imports.")
    parser.add_argument("root", nargs="?", type=Path, help="another checkout: print its figures")
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()
    code = read_code(options.root or ROOT)
    for name, count in figures(code).items():
        print(f"{count:5}  {name}")
    if options.root is not None:
        for group in [*circles(code.imports), *circles(code.between_places())]:
            print("circle:", ", ".join(group))
        return 0
    broken = problems(code)
    page = ROOT / PAGE
    old = page.read_text(encoding="utf-8") if page.is_file() else "# Architecture\n"
    new = with_section(old, section(code))
    if options.check and new != old:
        broken.append(f"{PAGE}: the drawing is out of date; run python docs/draw_architecture.py")
    elif new != old:
        page.write_text(new, encoding="utf-8")
    for line in broken:
        print(line, file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
