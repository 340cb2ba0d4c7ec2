"""Names of a package that are imported when they are first used (PEP 562).

A command or a program then loads the modules that it needs, and not all that a package has.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` and others take milliseconds to import, and `import kindred` waits for this module
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["imported_late"]


def imported_late(package: str, names: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of `package`, which takes a name from its module, imported at its first use.

    `names` are those of each module of the package, written as in an import: "Graph, map_library as map".
    """
    homes: dict[str, tuple[str, str]] = {}
    for module, listed in names.items():
        for item in listed.split(","):
            name, _, alias = item.strip().partition(" as ")
            homes[alias or name] = f"{package}.{module}", name

    def get(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        module, attribute = homes[name]
        value: object = getattr(import_module(module), attribute)
        return value

    return get
