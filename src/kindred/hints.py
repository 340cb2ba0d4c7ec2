"""Error messages for unknown names and wrong options, the same for every table of methods.

"unknown re-ranker 'difusion'; did you mean 'diffusion'? known: aqe, alpha_qe, diffusion"
"re-ranker 'aqe': unknown option 'k'; known: n"
"re-ranker 'aqe': option n is 'many'; expected a whole number, such as 10"
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from kindred.errors import KindredError, UsageError

__all__ = ["REQUIRED", "check_known", "check_options", "check_type", "nearest", "options_of"]

COUNT = 10
"""An example of a number where the default is 0, which stands for one that is chosen later."""

REQUIRED = object()
"""Stands in `usual` for an option that has no default, or may also be an array: any type is accepted."""

LISTED = 40  # names in one message; there may be hundreds of models


def check_known(kind: str, name: object, known: Collection[str], *, error: type[KindredError], where: str = "") -> None:
    """Raise `error` unless `name` is one of `known`; `kind` is what it names, `where` the start of the message.

    >>> check_known("pooling", "gemm", ["mac", "gem"], error=KindredError)
    Traceback (most recent call last):
    kindred.errors.KindredError: unknown pooling 'gemm'; did you mean 'gem'? known: mac, gem
    """
    if not isinstance(name, str) or name not in known:
        begin = f"{where}: " if where else ""
        raise error(f"{begin}unknown {kind} {name!r}; {nearest(str(name), known)}")


def check_type(what: str, value: object, kinds: type | tuple[type, ...], expected: str) -> None:
    """Raise UsageError unless `value` is of one of `kinds`; `expected` says what it should be.

    >>> check_type("exclude", 5, str, "a pattern such as '*.png'")
    Traceback (most recent call last):
    kindred.errors.UsageError: exclude is 5; expected a pattern such as '*.png'
    """
    if not isinstance(value, kinds):
        raise UsageError(f"{what} is {value!r:.100}; expected {expected}")


def check_options(
    owner: str, given: Mapping[str, object], usual: Mapping[str, object], *, error: type[KindredError]
) -> None:
    """Raise `error` for an unknown option of `owner`, such as "pooling 'gem'", or a value of the wrong type.

    `usual` maps each option to its default, whose type is required; see `options_of`.
    """
    for name, value in given.items():
        if not usual:
            raise error(f"{owner}: unknown option {name!r}; it takes none")
        check_known("option", name, usual, error=error, where=owner)
        expected = _expected(value, usual[name])
        if expected:
            example = usual[name] if usual[name] or isinstance(usual[name], bool) else COUNT
            raise error(f"{owner}: option {name} is {value!r}; expected {expected}, such as {example!r}")


def options_of(function: Callable[..., object], *, without: Collection[str] = ()) -> dict[str, object]:
    """Return the options of a method with their defaults: the keyword-only parameters of its function."""
    import inspect  # takes 10 ms, and is needed only for methods in use

    return {
        each.name: REQUIRED if each.default is each.empty or "Array" in str(each.annotation) else each.default
        for each in inspect.signature(function).parameters.values()
        if each.kind is each.KEYWORD_ONLY and each.name not in without
    }


def nearest(name: str, known: Collection[str]) -> str:
    """Return the nearest known name and the list of known names, for the end of an error message.

    >>> nearest("gemm", ["gem", "mac"])
    "did you mean 'gem'? known: gem, mac"
    >>> nearest("x", ["gem", "mac"])
    'known: gem, mac'
    """
    import difflib  # only errors need it

    if not known:
        return "there are none"
    listed = list(known)
    more = f" and {len(listed) - LISTED:,} more" if len(listed) > LISTED else ""
    names = f"known: {', '.join(listed[:LISTED])}{more}"
    near = difflib.get_close_matches(name, listed, n=1)
    return f"did you mean {near[0]!r}? {names}" if near else names


def _expected(value: object, usual: object) -> str:
    """Return the expected type as a phrase, "" if `value` is of the type of the usual value.

    Whole and decimal numbers are interchangeable, as the functions check ranges themselves; a default of None accepts
    any type.
    """
    if usual is None or usual is REQUIRED:
        return ""
    if isinstance(usual, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(usual, int | float):
        wrong = isinstance(value, bool | str | list | tuple | Mapping) or value is None
        return ("a whole number" if isinstance(usual, int) else "a number") if wrong else ""
    if isinstance(usual, str):
        return "" if isinstance(value, str) else "text"
    return ""
