"""Names of a package that are imported at first use (PEP 562).

A command or a program then only loads the modules that it needs.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` and others take milliseconds to import, and `import kindred` waits for this module
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["imported_late"]


def imported_late(package: str, names: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of `package`, which imports a name from its module at first use.

    `names` lists the names of each module of the package, in the form of an import: "Graph, map_library as map".
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
