"""What `kindred.training` offers: the verbs of the command line, loaded at first use, and examples that hold."""

from __future__ import annotations

import doctest
import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

from kindred import training

MODULES = [found.name for found in pkgutil.walk_packages(training.__path__, "kindred.training.")]


@pytest.mark.parametrize("name", training.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert name in dir(training)
    assert callable(getattr(training, name))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'kindred\.training' has no attribute 'trains'"):
        _ = training.trains


def test_the_package_itself_imports_no_pytorch() -> None:
    program = "import sys, kindred.training; assert not {'torch', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings_hold(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0
