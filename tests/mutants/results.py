# SPDX-License-Identifier: MIT
"""The mutants that mutmut tested, read from its directory `mutants/`."""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import ndiff
from functools import cache
from pathlib import Path

DIRECTORY = Path("mutants")

NOT_TESTED = {None, 2, 34}
SURVIVED = {0, 5, 33}
"""mutmut's codes; 5 and 33: no test runs the function. Any other: a test or mypy saw the change."""

AT_IMPORT = {
    "service.domain.session.x__stage",
    "service.http.endpoints.x_command_endpoint",
    "service.http.fields.x__limit_length",
    "service.http.fields.x__text_schema",
    "service.http.parameters.x__decoded_by",
    "service.persistence.events.x_append",
    "service.persistence.events.x_enqueue",
    "service.persistence.sessions.x_upsert",
}
"""Functions that run when their module is imported, before mutmut puts a mutant in place."""

_HEADER_NAME = re.compile(
    r"(?:headers(?:\.get(?:list)?\(|\[|=\{)|_codings\(request, |id_header = \(b)'[^']*'"
)
"""Where a statement names a header, whose case does not matter (RFC 9110, section 5.1)."""

Change = tuple[str, str, str]
"""The function, the statement as it is, and as it would be; stable while the function is."""


@dataclass(frozen=True)
class Mutant:
    file: Path
    name: str
    code: int | None

    @property
    def has_survived(self) -> bool:
        return self.code in SURVIVED

    @property
    def is_tested(self) -> bool:
        return self.code not in NOT_TESTED

    @property
    def is_equivalent(self) -> bool:
        """True if only the case of a header's name has changed."""
        _, before, after = self.change
        return _in_lower_case(before) == _in_lower_case(after)

    @property
    def change(self) -> Change:
        module, _, mangled = self.name.rpartition(".")
        function = mangled.rpartition("__mutmut_")[0]
        functions = _functions(DIRECTORY / self.file)
        before = _statements(functions[f"{function}__mutmut_orig"])
        after = _statements(functions[mangled])
        lines = list(ndiff(before, after))
        return (
            f"{module}.{function.removeprefix('x').strip('_ǁ').replace('ǁ', '.')}",
            "; ".join(line[2:].strip() for line in lines if line.startswith("- ")),
            "; ".join(line[2:].strip() for line in lines if line.startswith("+ ")),
        )


def _in_lower_case(statement: str) -> str:
    return _HEADER_NAME.sub(lambda name: name[0].lower(), statement)


def _statements(function: str) -> list[str]:
    """The lines of its body, without its decorators and its first line."""
    lines = iter(function.splitlines())
    for line in lines:
        if line.startswith(("def ", "async def ")):
            break
    return list(lines)


@cache
def _functions(file: Path) -> dict[str, str]:
    """The source of each function and method, one statement a line; names are unique in a file."""
    return {
        node.name: ast.unparse(node)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def mutants() -> Iterator[Mutant]:
    """Without those of functions that are gone: an earlier run has left their results."""
    for meta in sorted(DIRECTORY.rglob("*.py.meta")):
        file = meta.relative_to(DIRECTORY).with_suffix("")
        for name, code in json.loads(meta.read_text())["exit_code_by_key"].items():
            is_there = name.rpartition(".")[2] in _functions(DIRECTORY / file)
            if is_there and name.rpartition("__mutmut_")[0] not in AT_IMPORT:
                yield Mutant(file, name, code)
