"""What a stage takes: types, ranges and choices stand in its signature, and are checked from there.

A stage calls the check itself, and whoever starts several of them calls it for all before the
first one starts: both say the same.
"""

import difflib
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import wraps
from numbers import Integral, Real
from os import PathLike
from types import NoneType, UnionType
from typing import Annotated, Any, Protocol, Union, get_args, get_origin, get_type_hints

from hpcsbi.errors import BadInput
from hpcsbi.threads import use_one_thread

__all__ = [
    "AtLeast",
    "Between",
    "Count",
    "Natural",
    "OneOf",
    "Positive",
    "checked",
    "did_you_mean",
    "refuse_wrong",
]

WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    NoneType: "null",
}


class Rule(Protocol):
    """A condition beside the type, in `Annotated`."""

    def holds(self, value: Any) -> bool:
        """Whether a value of the right type is good."""

    def words(self, value: Any) -> str:
        """What it should be."""


@dataclass(frozen=True)
class AtLeast:
    """A number from `low` on."""

    low: float

    def holds(self, value: Any) -> bool:
        """See `Rule`."""
        return value >= self.low

    def words(self, value: Any) -> str:
        """See `Rule`."""
        return f"{self.low:g} or more"


@dataclass(frozen=True)
class Above:
    """A number beyond `low`."""

    low: float

    def holds(self, value: Any) -> bool:
        """See `Rule`."""
        return value > self.low

    def words(self, value: Any) -> str:
        """See `Rule`."""
        return f"more than {self.low:g}"


@dataclass(frozen=True)
class Between:
    """A number from `low` to `high`."""

    low: float
    high: float

    def holds(self, value: Any) -> bool:
        """See `Rule`."""
        return self.low <= value <= self.high

    def words(self, value: Any) -> str:
        """See `Rule`."""
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class OneOf:
    """One of some names."""

    choices: Iterable[str]

    def holds(self, value: Any) -> bool:
        """See `Rule`."""
        return value in tuple(self.choices)

    def words(self, value: Any) -> str:
        """See `Rule`."""
        return f"choose from {', '.join(self.choices)}{did_you_mean(value, self.choices)}"


Count = Annotated[int, AtLeast(1)]
Natural = Annotated[int, AtLeast(0)]
Positive = Annotated[float, Above(0)]


def did_you_mean(word: Any, known: Iterable[str], prefix: str = "") -> str:
    """ "; did you mean steps?" where something known is like the word, else ""."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def refuse_wrong(
    function: Callable, arguments: Mapping[str, Any], where: str, whole: bool = False
) -> None:
    """Compare arguments with the annotations of a function or a dataclass.

    Arguments:
        function: its annotations may hold a `Rule`, as in `Annotated[int, AtLeast(1)]`.
        arguments: name -> value. A mapping in place of a dataclass
            is compared with that one's annotations.
        where: node of the configuration that they are from, for the words.
        whole: refuse it too where one without a default is missing.

    Raises:
        BadInput: an argument that is unknown, of another type, out of range or no choice.
    """
    known = inspect.signature(function).parameters
    hints = get_type_hints(function, include_extras=True)
    for name, value in arguments.items():
        if name not in known:
            raise BadInput(
                f"{where}.{name} is not known{did_you_mean(name, known, f'{where}.') or '.'} "
                f"Of {where} there are {', '.join(known)}."
            )
        if words := _wrong(value, hints.get(name, Any), f"{where}.{name}"):
            end = "" if words.endswith("?") else "."
            raise BadInput(f"{where}.{name} is {literal(value)}: {words}{end}")
    for name, parameter in known.items() if whole else ():
        if parameter.default is parameter.empty and name not in arguments:
            raise BadInput(f"{where}.{name} is missing.")


def checked(*rules: Callable[..., None]) -> Callable[[Callable], Callable]:
    """Decorator of a stage: its arguments are compared with its signature before it begins.

    `stage.check(**arguments)` does that alone, with the arguments that are known. The stage then
    computes with one thread from its first line, for what it loads is made there and then used.

    Arguments:
        rules: functions of some of the stage's arguments that raise BadInput.
    """

    def decorate(stage: Callable) -> Callable:
        name, signature = stage.__name__, inspect.signature(stage)
        if (
            stage.__module__ == "__main__"
        ):  # python -m hpcsbi.stages.train would do nothing, in silence
            print(f"error: run it as python jobs/{name}.py (--help says more).", file=sys.stderr)
            raise SystemExit(2)

        def check(**arguments: Any) -> None:
            refuse_wrong(stage, arguments, name)
            for rule in rules:
                needed = inspect.signature(rule).parameters
                if needed.keys() <= arguments.keys():
                    rule(**{key: arguments[key] for key in needed})

        @wraps(stage)
        def called(*args: Any, **options: Any) -> Any:
            check(**signature.bind(*args, **options).arguments)
            use_one_thread()
            return stage(*args, **options)

        called.check = check
        return called

    return decorate


def literal(value: Any) -> str:
    """A value as the command line has it."""
    names = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return names[value]
    return repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."


def _wrong(value: Any, hint: Any, where: str) -> str:
    """What a value should be, "" if it is right."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        kind, *rules = parts
        said = [rule.words(value) for rule in rules if hasattr(rule, "words")]
        if words := _wrong(value, kind, where):
            return ", ".join([words, *said])
        good = all(rule.holds(value) for rule in rules if hasattr(rule, "holds"))
        return "" if good else ", ".join([WORDS[kind], *said] if kind is not str else said)
    if origin in (Union, UnionType):
        faults = [_wrong(value, part, where) for part in parts]
        return "" if "" in faults else " or ".join(dict.fromkeys(faults))
    if origin is not None and isinstance(origin, type):
        return _wrong_collection(value, origin, parts, where)
    return _wrong_plain(value, hint, where)


def _wrong_plain(value: Any, hint: Any, where: str) -> str:
    if hint in (NoneType, None):
        return "" if value is None else WORDS[NoneType]
    if hint is bool:
        return "" if isinstance(value, bool) else WORDS[bool]
    if hint is int:
        return _wrong_whole(value)
    if hint is float:
        good = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        return "" if good else WORDS[float]
    if hint is str:
        return "" if isinstance(value, str | PathLike) else WORDS[str]
    if isinstance(hint, type) and is_dataclass(hint):
        if isinstance(value, Mapping):
            refuse_wrong(hint, value, where, whole=True)
            return ""
        return "" if isinstance(value, hint) else f"it takes the keys of a {hint.__name__}"
    return ""  # a protocol, or anything


def _wrong_whole(value: Any) -> str:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return ""
    whole = isinstance(value, float) and value.is_integer()
    return WORDS[int] + (f", as {value:.0f}" if whole else "")


def _wrong_collection(value: Any, origin: type, parts: tuple, where: str) -> str:
    if issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            return "keys and values, as {key: value}"
        faults = [_wrong(item, parts[1], f"{where}.{key}") for key, item in value.items()]
    elif issubclass(origin, Sequence):
        kinds = [part for part in parts if part is not Ellipsis]
        fixed = issubclass(origin, tuple) and Ellipsis not in parts
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            return "a list, as [a, b]"
        if fixed and len(value) != len(kinds):
            return f"a list of {len(kinds)}"
        each = kinds if fixed else [kinds[0] if kinds else Any] * len(value)
        faults = [_wrong(item, kind, where) for item, kind in zip(value, each, strict=True)]
    else:
        return ""
    words = next((words for words in faults if words), "")
    return f"a list, each {words}" if words else ""
