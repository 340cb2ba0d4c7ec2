"""Published weights: read without executing code, checked parameter by parameter, downloaded on request.

Kindred contains none of them. Those that it knows by name are torchvision's, trained on ImageNet.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import cast
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import torch
from torch import Tensor, nn

from kindred._support.files import replacing
from kindred.backbones.folders import cache_folder
from kindred.errors import TrainingError
from kindred.training.architectures.backbone import Architecture

__all__ = ["PUBLISHER", "load_weights", "published_file", "read_state"]

PUBLISHER = "https://download.pytorch.org/models"

_TIMEOUT = 30  # seconds without a byte
_BLOCK = 2**20  # bytes at once

# Where training scripts put the state of the network beside that of the optimiser.
_NESTS = ("state_dict", "model")

_EXPECTED = "expected a state dict of tensors alone, torch.save(model.state_dict(), FILE)"


def load_weights(backbone: nn.Module, source: str | Path, *, architecture: Architecture) -> None:
    """Load the weights of a file into a backbone, or published ones by their name ("published").

    Classifiers are left out; the counters of batch norms (`num_batches_tracked`) may be missing and start at 0; half
    precision is converted to that of the backbone. All other parameters must be there with the same shapes, and no
    further ones. Raises TrainingError, naming the first parameter that differs and both shapes, if they are not;
    where a weight is not finite; and as `read_state` and `published_file` do; ModelError if the package that holds
    published weights is not installed.
    """
    file = source if isinstance(source, Path) else _named(source, architecture)
    state = {key: value for key, value in read_state(file).items() if not key.startswith(architecture.dropped)}
    own = backbone.state_dict()
    for key, value in own.items():
        if key.endswith("num_batches_tracked"):
            state.setdefault(key, torch.zeros_like(value))
    _check(state, own, f"{file}: these are not weights of {architecture.name}", architecture.name)
    for key, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise TrainingError(f"{file}: {key} has values that are not finite; it was saved by a run that failed")
    backbone.load_state_dict(state)


def _named(source: str, architecture: Architecture) -> Path:
    """Return the file that `source` stands for: published weights, or a path as text."""
    if source in architecture.published:
        return published_file(architecture.published[source])
    if source == "published" and architecture.packaged is not None:
        return architecture.packaged()
    if Path(source).suffix or Path(source).name != source or Path(source).exists():
        return Path(source)
    packaged = ["published"] if architecture.packaged is not None else []
    known = ["give a .pth or .safetensors file", *architecture.published, *packaged]
    raise TrainingError(f"{architecture.name} has no weights named {source!r}; {' or '.join(known)}")


def _check(state: Mapping[str, Tensor], own: Mapping[str, Tensor], problem: str, name: str) -> None:
    """Raise TrainingError for the first parameter, in the backbone's order, that is missing or different."""
    for key, value in own.items():
        if key not in state:
            raise TrainingError(f"{problem}: {key} {_shape(value)} is missing")
        if state[key].shape != value.shape:
            raise TrainingError(f"{problem}: {key} is {_shape(state[key])} in the file and {_shape(value)} in {name}")
        if state[key].is_floating_point() != value.is_floating_point():
            raise TrainingError(f"{problem}: {key} is {state[key].dtype} in the file and {value.dtype} in {name}")
    for key, value in state.items():
        if key not in own:
            raise TrainingError(f"{problem}: {name} has no {key} {_shape(value)}")


def _shape(value: Tensor) -> str:
    return str(tuple(value.shape))


def read_state(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a `.safetensors`, `.pth` or `.pt` file by name.

    A state dict may be stored under "state_dict" or "model", and its names may begin with "module.", as
    `DistributedDataParallel` writes them. Code in a pickle is never executed: such a file is refused. Raises
    TrainingError if the file is missing or damaged, holds no state dict, or holds code.
    """
    if not file.is_file():
        raise TrainingError(f"{file}: no such file; expected weights, a .pth or .safetensors file")
    stored = _read_safetensors(file) if file.suffix == ".safetensors" else _read_pickle(file)
    for nest in _NESTS:
        if isinstance(stored, Mapping) and isinstance(stored.get(nest), Mapping):
            stored = stored[nest]
    if not isinstance(stored, Mapping) or not stored:
        raise TrainingError(f"{file}: holds {_kind(stored)}, not a state dict; {_EXPECTED}")
    for key, value in stored.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise TrainingError(f"{file}: {key!r} is {_kind(value)}; {_EXPECTED}")
    tensors = cast("Mapping[str, Tensor]", stored)
    if all(key.startswith("module.") for key in tensors):
        return {key.removeprefix("module."): value for key, value in tensors.items()}
    return dict(tensors)


def _kind(value: object) -> str:
    if isinstance(value, Mapping) and not value:
        return "an empty table"
    return f"a value of type {type(value).__name__}"


def _read_safetensors(file: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{file}: not a whole .safetensors file: {_line(error)}") from None


def _read_pickle(file: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old and new forms of pickles; what cannot be read is an error
            # weights_only: a pickle is a program; this reader builds tensors and containers, and calls nothing else.
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        # PyTorch's own message advises to run the code, which must not reach the user.
        foreign = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if foreign is None:
            raise TrainingError(f"{file}: not a whole checkpoint of PyTorch; get the file again") from None
        raise TrainingError(f"{file}: refused: reading it would run {foreign[1]}; {_EXPECTED}") from None


def _line(error: Exception) -> str:
    """Return the first line of an error's message; of a failed connection, its cause alone."""
    cause = error.reason if isinstance(error, URLError) and not isinstance(error, HTTPError) else error
    text = str(cause).strip() or type(error).__name__
    return text.splitlines()[0]


def published_file(name: str, *, base: str = PUBLISHER, folder: Path | None = None) -> Path:
    """Return published weights by their file name, from the cache or downloaded to it.

    base: the address that the name is appended to. folder: of the cache, None for `weights` in the user's cache. The
    name ends with the first eight digits of the file's sha256, which are checked every time; a cached file that fails
    is downloaded again. A download is stored whole or not at all. Raises TrainingError, saying what to do by hand,
    if there is no network, the download breaks off, or its digest is wrong.
    """
    if folder is None:
        cache = cache_folder()
        if cache is None:
            raise TrainingError("no home folder to store weights in: set KINDRED_HOME to a folder")
        folder = cache / "weights"
    file = folder / name
    if file.is_file() and _digest(file).startswith(_expected(name)):
        return file
    address = f"{base}/{name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part:
            found = _fetch(address, part)
            if not found.startswith(_expected(name)):
                raise _DownloadError(f"its sha256 begins with {found[:8]}, not with {_expected(name)}")
    except (OSError, HTTPException, _DownloadError) as error:
        if isinstance(error, HTTPError):
            error.close()  # it is the response, too, and holds its connection
        raise TrainingError(
            f"{address} cannot be downloaded: {_line(error)}; download it elsewhere and give the file: --weights {name}"
        ) from None
    return file


class _DownloadError(Exception):
    """A download is incomplete or has the wrong digest."""


def _expected(name: str) -> str:
    """Return the digits of the sha256 at the end of a file name, as in `resnet18-f37072fd.pth`."""
    return Path(name).stem.rpartition("-")[2]


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetch(address: str, file: Path) -> str:
    """Download a file and return its sha256, in hex."""
    digest = hashlib.sha256()
    with urlopen(address, timeout=_TIMEOUT) as response, file.open("wb") as out:
        while block := response.read(_BLOCK):
            digest.update(block)
            out.write(block)
        size = response.headers.get("Content-Length")
        if size is not None and out.tell() != int(size):
            raise _DownloadError(f"the connection broke off after {out.tell()} of {size} bytes")
    return digest.hexdigest()
