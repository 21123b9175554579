"""Which code makes a product: a digest of the modules of this package that decide its bytes."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

__all__ = ["code_of"]

PACKAGE = Path(__file__).parents[1]
ONE_BY_ONE = Lock()  # Python 3.11 parses wrongly in two threads (SystemError: recursion depth)
# They carry work and bytes to where they belong, and decide none.
CARRIERS = {
    "caches", "errors", "pipeline", "cluster.deadline", "cluster.executors", "cluster.slurm",
    "run.catalogue", "run.flows", "run.folder", "run.merges", "simulator.direct.fork_server",
    "simulator.direct.fsps_data", "store.batches", "store.drivers", "store.files", "store.layout",
    "store.locks", "store.machine", "store.opening", "store.provenance", "store.settings",
    "store.shards", "store.store",
}  # fmt: skip


@cache
def code_of(stage: str) -> str:
    """Digest of a stage's module and of all modules of the package that it computes with.

    What they say and do counts, not how it is laid out: comments, docstrings, blank lines and the
    modules that only carry the work (cluster, locks, files ...) may change.
    """
    digest = hashlib.blake2b(digest_size=8)
    modules, todo = set(), {f"stages.{stage}"}
    while todo:
        modules |= todo
        todo = {name for module in todo for name in _imports(_parsed(module))} - modules - CARRIERS
    for module in sorted(modules):
        digest.update(f"{module}\n".encode())
        for word in _words(_parsed(module)):
            digest.update(f"{word}\n".encode())
    return digest.hexdigest()


@cache
def _parsed(module: str) -> ast.Module:
    text = _file(module).read_bytes()
    with ONE_BY_ONE:
        return ast.parse(text)


def _file(module: str) -> Path:
    """Where a module of the package stands, "stages.infer" for one."""
    return PACKAGE.joinpath(*module.split(".")).with_suffix(".py")


def _imports(tree: ast.AST) -> Iterator[str]:
    """Modules of this package that a module imports, wherever the statement stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, *rest = name.split(".")
            if package == PACKAGE.name:  # the name may be one of a module, or of what is in it
                paths = (".".join(rest[:n]) for n in range(1, len(rest) + 1))
                yield from (path for path in paths if _file(path).exists())


def _words(node: Any) -> Iterator[str]:
    """A syntax tree in words that do not depend on the version of Python."""
    if isinstance(node, ast.AST):
        yield type(node).__name__
        for field, value in ast.iter_fields(node):
            if value is None or value == []:  # fields that came with a version
                continue
            yield field
            yield from _words(_without_docstring(node, value) if field == "body" else value)
    elif isinstance(node, list):
        yield f"{len(node)}"
        for each in node:
            yield from _words(each)
    else:
        yield f"{type(node).__name__} {node!r}"


def _without_docstring(node: ast.AST, body: Any) -> Any:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
        return body[1:]
    return body
