"""Other people's checkpoints: read whole and without running code, or refused in one line that says why."""

from __future__ import annotations

import hashlib
import http.server
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kindred.errors import TrainingError
from kindred.training.architectures import ARCHITECTURES, Architecture, Backbone, TapSpec, build_backbone
from kindred.training.architectures.backbone import ChainBackbone
from kindred.training.architectures.weights import load_weights, published_file, read_state
from published_layouts import classifier, features


class Small(ChainBackbone):
    """A network of one convolution and one batch norm."""

    def __init__(self) -> None:
        super().__init__([TapSpec("map", 4, 2)], [["conv", "bn"]])
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)
        self.bn = nn.BatchNorm2d(4)


SMALL = Architecture(name="small", build=Small, summary="", source="", dropped=("fc.",))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("KINDRED_HOME", str(folder))
    return folder


@pytest.fixture
def state() -> dict[str, Tensor]:
    """Weights for Small, with a classifier."""
    generator = torch.Generator().manual_seed(3)
    own = {
        key: torch.rand(value.shape, generator=generator) if value.is_floating_point() else torch.tensor(7)
        for key, value in Small().state_dict().items()
    }
    return {**own, "fc.weight": torch.zeros(10, 4), "fc.bias": torch.zeros(10)}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def save(content: object, name: str = "weights.pth") -> Path:
        path = tmp_path / name
        if path.suffix == ".safetensors":
            assert isinstance(content, dict)
            save_file(content, path)
        else:
            torch.save(content, path)
        return path

    return save


def loaded(source: str | Path, backbone: Backbone | None = None) -> dict[str, Tensor]:
    backbone = backbone or Small()
    load_weights(backbone, source, architecture=SMALL)
    return backbone.state_dict()


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "weights.pt"])
@pytest.mark.parametrize("as_text", [False, True])
def test_a_file_fills_the_backbone(
    name: str, as_text: bool, state: dict[str, Tensor], save: Callable[..., Path]
) -> None:
    path = save(state, name)
    found = loaded(str(path) if as_text else path)
    assert list(found) == [key for key in state if not key.startswith("fc.")]
    assert all(torch.equal(found[key], state[key]) for key in found)


@pytest.mark.parametrize("nest", ["state_dict", "model"])
def test_state_dicts_of_training_scripts(nest: str, state: dict[str, Tensor], save: Callable[..., Path]) -> None:
    wrapped = {f"module.{key}": value for key, value in state.items()}
    found = loaded(save({nest: wrapped, "epoch": 90, "optimizer": {"lr": 0.1}, "best": None}))
    assert all(torch.equal(found[key], state[key]) for key in found)


def test_parameters_of_a_saved_network_are_tensors(save: Callable[..., Path]) -> None:
    network = Small()
    path = save({**dict(network.named_parameters()), **dict(network.named_buffers())})
    assert torch.equal(loaded(path)["conv.weight"], network.conv.weight)


def test_the_older_form_of_checkpoints(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert torch.equal(loaded(path)["conv.weight"], state["conv.weight"])


def test_counters_of_batch_norms_may_be_missing(state: dict[str, Tensor], save: Callable[..., Path]) -> None:
    del state["bn.num_batches_tracked"]
    network = Small()
    network.bn.num_batches_tracked.fill_(5)  # type: ignore[union-attr]
    assert int(loaded(save(state), network)["bn.num_batches_tracked"]) == 0


def test_half_precision_becomes_single(state: dict[str, Tensor], save: Callable[..., Path]) -> None:
    halves = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    found = loaded(save(halves, "half.safetensors"))
    assert found["conv.weight"].dtype == torch.float32
    assert torch.equal(found["conv.weight"], halves["conv.weight"].float())


def empty(entries: list[tuple[str, tuple[int, ...]]]) -> dict[str, Tensor]:
    """Zeros of these names and shapes; the counters are whole numbers."""
    return {key: torch.zeros(shape, dtype=torch.float32 if shape else torch.int64) for key, shape in entries}


@pytest.mark.parametrize("name", ["googlenet", "mobilenet_v2", "resnet18"])
def test_a_whole_published_layout_loads_but_for_its_classifiers(name: str, save: Callable[..., Path]) -> None:
    entries = [*features(name), *classifier(name)]
    if name == "googlenet":
        entries += [("aux1.conv.conv.weight", (128, 512, 1, 1)), ("aux2.fc2.bias", (1000,))]
    whole = empty(entries)
    whole[entries[0][0]].fill_(0.25)
    backbone = build_backbone(name, weights=save(whole))
    assert float(backbone.state_dict()[entries[0][0]].min()) == 0.25


def refused(source: str | Path, architecture: str) -> str:
    with pytest.raises(TrainingError) as caught:
        build_backbone(architecture, weights=source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_checkpoint_for_another_architecture(save: Callable[..., Path]) -> None:
    def saved(name: str) -> Path:
        return save(empty(features(name)), f"{name}.pth")

    path = saved("resnet18")
    wrong = f"{path}: these are not weights of "
    assert refused(path, "resnet50") == (
        f"{wrong}resnet50: layer1.0.conv1.weight is (64, 64, 3, 3) in the file and (64, 64, 1, 1) in resnet50"
    )
    assert refused(path, "resnet34") == f"{wrong}resnet34: layer1.2.conv1.weight (64, 64, 3, 3) is missing"
    assert refused(path, "vgg16") == f"{wrong}vgg16: features.0.weight (64, 3, 3, 3) is missing"
    path = saved("resnet34")
    assert refused(path, "resnet18") == (
        f"{path}: these are not weights of resnet18: resnet18 has no layer1.2.conv1.weight (64, 64, 3, 3)"
    )


def test_numbers_of_another_kind(state: dict[str, Tensor], save: Callable[..., Path]) -> None:
    state["conv.bias"] = state["conv.bias"].to(torch.int64)
    with pytest.raises(TrainingError, match=r"conv\.bias is torch\.int64 in the file and torch\.float32 in small"):
        loaded(save(state))


def test_weights_of_a_run_that_failed(state: dict[str, Tensor], save: Callable[..., Path]) -> None:
    state["bn.running_var"][2] = torch.nan
    network = Small()
    before = network.conv.weight.clone()
    with pytest.raises(TrainingError, match=r"bn\.running_var has values that are not finite"):
        loaded(save(state), network)
    assert torch.equal(network.conv.weight, before)


class Malicious:
    """Its pickle writes a file when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.write_text, (self.target, "executed"))


@pytest.mark.parametrize("form", ["torch", "plain"])
def test_code_in_a_pickle_is_refused_and_never_run(form: str, tmp_path: Path) -> None:
    target, path = tmp_path / "executed", tmp_path / "evil.pth"
    content = {"conv.weight": torch.zeros(2), "payload": Malicious(target)}
    if form == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(
        TrainingError, match=r"evil\.pth: refused: reading it would run \S+; expected a state dict"
    ) as e:
        loaded(path)
    assert "\n" not in str(e.value)
    assert "weights_only" not in str(e.value)
    assert not target.exists()
    pickle.loads(pickle.dumps(Malicious(target)))
    assert target.exists(), "the test's own payload does nothing"


def test_a_whole_network_is_refused_too(save: Callable[..., Path]) -> None:
    with pytest.raises(TrainingError, match=r"would run \S*Linear; expected a state dict of tensors alone"):
        loaded(save(nn.Linear(2, 2)))


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("damage", ["half", "empty", "text"])
def test_damaged_files(name: str, damage: str, state: dict[str, Tensor], save: Callable[..., Path]) -> None:
    path = save(state, name)
    data = path.read_bytes()
    path.write_bytes({"half": data[: len(data) // 2], "empty": b"", "text": b"<html>not found</html>"}[damage])
    with pytest.raises(TrainingError, match=r"weights\.\w+: not a whole ") as caught:
        loaded(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({}, "holds an empty table, not a state dict"),
        ([1, 2], "holds a value of type list, not a state dict"),
        ({"state_dict": {"a": 1}}, "'a' is a value of type int"),
        ({3: torch.zeros(1)}, "3 is a value of type Tensor"),
    ],
)
def test_files_without_a_state_dict(content: object, problem: str, save: Callable[..., Path]) -> None:
    with pytest.raises(TrainingError, match=problem):
        read_state(save(content))


def test_files_that_are_not_there() -> None:
    assert refused("nowhere.pth", "alexnet") == (
        "nowhere.pth: no such file; expected weights, a .pth or .safetensors file"
    )
    assert refused("imagenet", "resnet50") == (
        "resnet50 has no weights named 'imagenet'; give a .pth or .safetensors file or published or published-v2"
    )
    assert refused("published", "kin") == "kin has no weights named 'published'; give a .pth or .safetensors file"


# Downloads, from a server of our own


class Server:
    """A web server of this machine: what it has, by path, and how often it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.broken: set[str] = set()
        self.asked: list[str] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                data = server.files.get(self.path)
                if data is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if self.path in server.broken else data)

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.http.server_port}/models"

    def offer(self, data: bytes, *, name: str = "net", digest: str = "") -> str:
        """Put a file on the server under the name that published weights have; return the name."""
        file = f"{name}-{digest or hashlib.sha256(data).hexdigest()[:8]}.pth"
        self.files[f"/models/{file}"] = data
        return file


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    found = Server()
    thread = threading.Thread(target=found.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.http.shutdown()
    found.http.server_close()
    thread.join()


def test_a_download_is_kept_in_the_cache(server: Server, home: Path) -> None:
    data = bytes(range(256)) * 9000  # more than one block
    name = server.offer(data)
    path = published_file(name, base=server.base)
    assert path == home / "cache" / "weights" / name
    assert path.read_bytes() == data
    assert published_file(name, base=server.base) == path
    assert len(server.asked) == 1
    path.write_bytes(data[:100])
    assert published_file(name, base=server.base).read_bytes() == data
    assert len(server.asked) == 2


def failed(name: str, base: str, folder: Path) -> str:
    with pytest.raises(TrainingError) as caught:
        published_file(name, base=base, folder=folder)
    assert list(folder.iterdir()) == []
    message = str(caught.value)
    assert message.startswith(f"{base}/{name} cannot be downloaded: ")
    assert message.endswith(f"; download it elsewhere and give the file: --weights {name}")
    return message


def test_a_wrong_digest(server: Server, tmp_path: Path) -> None:
    data = b"something else"
    name = server.offer(data, digest="0123abcd")
    found = hashlib.sha256(data).hexdigest()[:8]
    assert f"its sha256 begins with {found}, not with 0123abcd" in failed(name, server.base, tmp_path / "cache")


def test_a_connection_that_breaks_off(server: Server, tmp_path: Path) -> None:
    name = server.offer(bytes(3_000_000))
    server.broken.add(f"/models/{name}")
    message = failed(name, server.base, tmp_path / "cache")
    assert "1500000 of 3000000 bytes" in message or "IncompleteRead(1500000 bytes read" in message


def test_a_file_that_the_server_does_not_have(server: Server, tmp_path: Path) -> None:
    assert "HTTP Error 404" in failed("net-00000000.pth", server.base, tmp_path / "cache")


def test_no_network(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{unused.getsockname()[1]}"
        message = failed("net-00000000.pth", base, tmp_path / "cache")
    assert "refused" in message
    assert "urlopen" not in message


def test_published_weights_by_name(
    state: dict[str, Tensor], save: Callable[..., Path], server: Server, home: Path
) -> None:
    name = server.offer(save(state).read_bytes(), name="small")
    published_file(name, base=server.base)
    network = Small()
    known = Architecture(
        name="small", build=Small, summary="", source="", published={"published": name}, dropped=("fc.",)
    )
    load_weights(network, "published", architecture=known)  # from the cache: nothing is asked of torchvision's server
    assert torch.equal(network.conv.weight, state["conv.weight"])
    assert (home / "cache" / "weights" / name).is_file()


def test_what_is_published() -> None:
    """The names that torchvision's documentation lists, for its first and second edition of weights."""
    packaged = {name for name, entry in ARCHITECTURES.items() if entry.packaged is not None}
    assert packaged == {"efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"}
    assert {name: list(entry.published.values()) for name, entry in ARCHITECTURES.items() if name not in packaged} == {
        "alexnet": ["alexnet-owt-7be5be79.pth"],
        "vgg16": ["vgg16-397923af.pth"],
        "vgg19": ["vgg19-dcbb9e9d.pth"],
        "googlenet": ["googlenet-1378be20.pth"],
        "resnet18": ["resnet18-f37072fd.pth"],
        "resnet34": ["resnet34-b627a593.pth"],
        "resnet50": ["resnet50-0676ba61.pth", "resnet50-11ad3fa6.pth"],
        "resnet101": ["resnet101-63fe2227.pth", "resnet101-cd907fc2.pth"],
        "resnet152": ["resnet152-394f9c45.pth", "resnet152-f82ba261.pth"],
        "mobilenet_v2": ["mobilenet_v2-b0353104.pth", "mobilenet_v2-7ebf99e0.pth"],
    }
