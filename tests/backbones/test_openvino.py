from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from forked import PATIENCE, in_fork
from kindred.backbones.card import Card
from kindred.backbones.openvino import FULL, OpenVINOEngine, _pieces
from kindred.backbones.runtime import core
from kindred.backbones.zoo import add_model, load_card
from kindred.errors import ModelError, UsageError

MEAN, STD = (10.0, 100.0, 200.0), (2.0, 4.0, 8.0)


@pytest.fixture
def mirror(save_graph: Callable[..., Path]) -> Callable[..., tuple[Card, Path]]:
    """Return a function that adds a network whose map is its preprocessed input, pooled 2 × 2."""
    node = pytest.importorskip("onnx").helper.make_node

    def make(**options: Any) -> tuple[Card, Path]:
        nodes = [node("AveragePool", ["image"], ["map"], kernel_shape=[2, 2], strides=[2, 2])]
        add_model(save_graph(nodes, {}, ["map"]), mean=MEAN, std=STD, **options)
        return load_card("tiny")

    return make


@pytest.fixture
def small(tiny: Callable[..., Path]) -> tuple[Card, Path]:
    add_model(tiny(), mean=(127.5,) * 3, std=(127.5,) * 3)
    return load_card("tiny")


def pooled(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Preprocess and pool by hand: (B, H, W, 3) → (B, 3, H/2, W/2)."""
    scaled = (batch - np.array(MEAN)) / np.array(STD)
    blocks = scaled.reshape(len(batch), batch.shape[1] // 2, 2, batch.shape[2] // 2, 2, 3)
    return np.asarray(blocks.mean((2, 4)).transpose(0, 3, 1, 2), np.float32)


def test_preprocessing_follows_the_card(mirror: Callable[..., tuple[Card, Path]], picture: NDArray[np.uint8]) -> None:
    engine = OpenVINOEngine(*mirror(), precision="f32")
    (maps,) = engine.run(picture)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps, pooled(picture), rtol=1e-5, atol=1e-5)


def test_channel_order_bgr(mirror: Callable[..., tuple[Card, Path]], picture: NDArray[np.uint8]) -> None:
    engine = OpenVINOEngine(*mirror(channel_order="BGR"), precision="f32")
    np.testing.assert_allclose(engine.run(picture)[0], pooled(picture)[:, ::-1], rtol=1e-5, atol=1e-5)


def test_layout_nhwc(save_graph: Callable[..., Path], picture: NDArray[np.uint8]) -> None:
    node = pytest.importorskip("onnx").helper.make_node
    nodes = [
        node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        node("AveragePool", ["planes"], ["map"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    path = save_graph(nodes, {}, ["map"], shape=("batch", "height", "width", 3))
    assert add_model(path, mean=MEAN, std=STD).layout == "NHWC"
    engine = OpenVINOEngine(*load_card("tiny"), precision="f32")
    np.testing.assert_allclose(engine.run(picture)[0], pooled(picture), rtol=1e-5, atol=1e-5)


def test_taps_are_returned_in_the_requested_order(small: tuple[Card, Path], picture: NDArray[np.uint8]) -> None:
    both = OpenVINOEngine(*small, taps=("deep", "stem"), precision="f32")
    assert [tap.name for tap in both.taps] == ["deep", "stem"]
    deep, stem = both.run(picture)
    assert (deep.shape, stem.shape) == ((1, 6, 12, 16), (1, 4, 48, 64))
    (alone,) = OpenVINOEngine(*small, precision="f32").run(picture)  # the default tap
    np.testing.assert_allclose(alone, deep, rtol=1e-5, atol=1e-5)


def test_a_later_run_does_not_change_earlier_maps(small: tuple[Card, Path], picture: NDArray[np.uint8]) -> None:
    engine = OpenVINOEngine(*small, precision="f32")
    (first,) = engine.run(picture)
    kept = first.copy()
    (second,) = engine.run(255 - picture)
    assert np.array_equal(first, kept)
    assert not np.allclose(first, second)


def test_read_only_and_strided_batches(small: tuple[Card, Path], picture: NDArray[np.uint8]) -> None:
    engine = OpenVINOEngine(*small, precision="f32")
    (expected,) = engine.run(picture)
    frozen = picture.copy()
    frozen.flags.writeable = False
    assert np.array_equal(engine.run(frozen)[0], expected)
    strided = np.repeat(picture, 2, axis=2)[:, :, ::2]
    assert np.array_equal(engine.run(strided)[0], expected)


def batches(count: int) -> list[tuple[str, NDArray[np.uint8]]]:
    random = np.random.default_rng(3)
    sizes = [(32, 48), (48, 32), (40, 40)]
    return [(f"#{at}", random.integers(0, 256, (1 + at % 3, *sizes[at % 3], 3), dtype=np.uint8)) for at in range(count)]


def test_a_stream_equals_runs_in_order(small: tuple[Card, Path]) -> None:
    engine = OpenVINOEngine(*small, taps=("stem", "deep"), precision="f32")
    work = batches(23)
    done = list(engine.stream(work))
    assert [token for token, _ in done] == [token for token, _ in work]
    for (_, maps), (_, batch) in zip(done, work, strict=True):
        for ours, alone in zip(maps, engine.run(batch), strict=True):
            np.testing.assert_allclose(ours, alone, rtol=1e-4, atol=1e-5)
    assert list(engine.stream([])) == []


def test_a_stream_reads_few_batches_ahead(small: tuple[Card, Path]) -> None:
    engine = OpenVINOEngine(*small, threads=1, precision="f32")
    taken = 0

    def source() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        nonlocal taken
        for entry in batches(40):
            taken += 1
            yield entry

    held = [taken - finished for finished, _ in enumerate(engine.stream(source()))]
    assert max(held) <= 3  # one at work, one waiting, and the one just taken


def test_a_stream_can_be_closed_early(small: tuple[Card, Path]) -> None:
    engine = OpenVINOEngine(*small, precision="f32")
    stream = engine.stream(iter(batches(10)))
    assert next(stream)[0] == "#0"
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    assert [token for token, _ in engine.stream(batches(3))] == ["#0", "#1", "#2"]


def test_an_invalid_batch_ends_only_its_own_stream(small: tuple[Card, Path]) -> None:
    engine = OpenVINOEngine(*small, precision="f32")
    with pytest.raises(UsageError, match="expected uint8"):
        list(engine.stream([*batches(4), ("bad", np.zeros((2, 2), np.uint8))]))
    assert len(list(engine.stream(batches(4)))) == 4


def test_too_small_images_are_refused(save_graph: Callable[..., Path]) -> None:
    node = pytest.importorskip("onnx").helper.make_node
    nodes = [node("Conv", ["image", "w"], ["map"], kernel_shape=[9, 9], strides=[2, 2])]
    path = save_graph(nodes, {"w": np.ones((2, 3, 9, 9), np.float32)}, ["map"])
    add_model(path, mean=MEAN, std=STD)
    engine = OpenVINOEngine(*load_card("tiny"))
    with pytest.raises(UsageError, match=r"tiny cannot take images of 5 × 4 pixels \(too small\?\)") as caught:
        engine.run(np.zeros((1, 4, 5, 3), np.uint8))
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="tiny cannot take images of 5 × 4 pixels"):
        list(engine.stream([("a", np.zeros((1, 4, 5, 3), np.uint8))]))


def test_threads_share_an_engine(small: tuple[Card, Path]) -> None:
    engine = OpenVINOEngine(*small, precision="f32")
    work = batches(6)
    expected = [engine.run(batch)[0] for _, batch in work]
    found: dict[int, NDArray[np.float32]] = {}

    def run(at: int) -> None:
        for _ in range(5):
            found[at] = engine.run(work[at][1])[0]

    threads = [threading.Thread(target=run, args=(at,)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for at in range(6):
        np.testing.assert_allclose(found[at], expected[at], rtol=1e-4, atol=1e-5)


def test_the_compiled_graph_is_cached(small: tuple[Card, Path], tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    folder = tmp_path / "cache"
    (expected,) = OpenVINOEngine(*small, cache_dir=folder, precision="f32").run(picture)
    (blob,) = (folder / "openvino").glob("tiny-*.blob")
    before = blob.stat().st_ino
    engine = OpenVINOEngine(*small, cache_dir=folder, precision="f32", threads=1)
    np.testing.assert_allclose(engine.run(picture)[0], expected, rtol=1e-4, atol=1e-5)
    list(engine.stream([(0, picture)]))
    assert [entry.stat().st_ino for entry in (folder / "openvino").iterdir()] == [before]  # one serves all
    OpenVINOEngine(*small, cache_dir=folder, taps="stem", precision="f32")
    assert len(list((folder / "openvino").iterdir())) == 2


def test_the_default_cache_is_the_users_cache_folder(small: tuple[Card, Path], home: Path) -> None:
    OpenVINOEngine(*small)
    assert len(list((home / "cache" / "openvino").glob("tiny-*.blob"))) == 1


def test_a_damaged_or_foreign_blob_is_compiled_again(
    small: tuple[Card, Path], tmp_path: Path, picture: NDArray[np.uint8]
) -> None:
    from kindred.backbones.blobs import load_blob, store_blob

    (expected,) = OpenVINOEngine(*small, cache_dir=tmp_path, precision="f32").run(picture)
    (blob,) = (tmp_path / "openvino").glob("*.blob")
    whole = blob.read_bytes()
    blob.write_bytes(whole[:1000])
    assert np.array_equal(OpenVINOEngine(*small, cache_dir=tmp_path, precision="f32").run(picture)[0], expected)
    assert load_blob(blob) is not None
    store_blob(blob, b"whole, but of no OpenVINO")
    assert np.array_equal(OpenVINOEngine(*small, cache_dir=tmp_path, precision="f32").run(picture)[0], expected)


def test_an_unwritable_cache_is_ignored(small: tuple[Card, Path], tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    (tmp_path / "file").write_text("")
    engine = OpenVINOEngine(*small, cache_dir=tmp_path / "file")
    assert engine.run(picture)[0].shape == (1, 6, 12, 16)


def test_a_graph_with_another_digest_is_refused(small: tuple[Card, Path]) -> None:
    card, path = small
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="is not the graph that its card describes"):
        OpenVINOEngine(card, path)
    path.unlink()
    with pytest.raises(ModelError, match="the model cannot be read: no such file"):
        OpenVINOEngine(card, path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'tensor = "deep"',
            'tensor = "depp"',
            "the graph has no tensor 'depp', the tap 'deep' of its card",
        ),
        ('input_name = "image"', 'input_name = "pixels"', "the input of the graph differs from its card"),
        ('"NCHW"', '"NHWC"', "the input of the graph differs from its card"),
    ],
)
def test_a_card_that_does_not_fit_its_graph(small: tuple[Card, Path], old: str, new: str, message: str) -> None:
    card, path = small
    with pytest.raises(ModelError, match=message) as caught:
        OpenVINOEngine(Card.from_toml(card.to_toml().replace(old, new)), path)
    assert "\n" not in str(caught.value)


def test_invalid_options_are_refused(small: tuple[Card, Path]) -> None:
    with pytest.raises(UsageError, match="threads is 0; expected at least 1"):
        OpenVINOEngine(*small, threads=0)
    with pytest.raises(UsageError, match="precision is 'f16'; expected 'auto', 'f32' or 'bf16'"):
        OpenVINOEngine(*small, precision="f16")  # type: ignore[arg-type]


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="where the processor lists its instructions")
def test_the_default_precision_is_bfloat16_if_native(small: tuple[Card, Path]) -> None:
    native = "avx512_bf16" in Path("/proc/cpuinfo").read_text().split()
    assert OpenVINOEngine(*small).precision == ("bf16" if native else "f32")


def test_precision(small: tuple[Card, Path], picture: NDArray[np.uint8]) -> None:
    exact = OpenVINOEngine(*small, precision="f32")
    assert (exact.precision, exact.device) == ("f32", "cpu")
    if "BF16" not in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(UsageError, match="cannot compute in bfloat16"):
            OpenVINOEngine(*small, precision="bf16")
        assert OpenVINOEngine(*small).precision == "f32"
        return
    coarse = OpenVINOEngine(*small, precision="bf16")
    assert coarse.precision == "bf16"
    a, b = exact.run(picture)[0].ravel(), coarse.run(picture)[0].ravel()
    assert not np.array_equal(a, b)
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.999


def test_batches_of_any_size_give_each_image_its_own_maps(small: tuple[Card, Path]) -> None:
    engine = OpenVINOEngine(*small, precision="f32")
    random = np.random.default_rng(3)
    sizes = [1, FULL, FULL + 3, 3, 2 * FULL, 1]
    batches = [random.integers(0, 256, (size, 64, 48, 3), np.uint8) for size in sizes]
    alone = [np.concatenate([engine.run(image[None])[0] for image in batch]) for batch in batches]
    for (token, (maps,)), expected, at in zip(engine.stream(enumerate(batches)), alone, range(9), strict=False):
        assert token == at
        np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(engine.run(batches[at])[0], expected, rtol=1e-4, atol=1e-4)


def test_large_images_run_one_by_one_and_small_ones_together() -> None:
    """A batch of large images takes more memory, and is no faster than they are alone."""
    pieces = [[len(each) for each in _pieces(np.zeros((6, *size, 3), np.uint8))] for size in ((168, 224), (240, 320))]
    assert pieces == [[FULL, 1, 1], [1] * 6]


GROWTH = """
import sys
import numpy as np
from kindred.backbones import load

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

engine = load("kin", threads=1, precision="f32")
shapes = [(1, 32 + 16 * (n % 10), 32 + 16 * (n // 10), 3) for n in range(100)]
for batch in shapes[:20]:
    engine.run(np.zeros(batch, np.uint8))
few = resident()
for batch in shapes[20:]:
    engine.run(np.zeros(batch, np.uint8))
print(resident() - few)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a process on Linux")
def test_memory_does_not_grow_with_the_variety_of_shapes() -> None:
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 60  # megabytes; each shape more took some 4, these 80 above 300


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_compiles_the_network_again(small: tuple[Card, Path], picture: NDArray[np.uint8]) -> None:
    engine = OpenVINOEngine(*small, precision="f32")
    expected = engine.run(picture)[0]
    list(engine.stream((at, picture) for at in range(4)))

    def child() -> bool:
        streamed = [maps[0] for _, maps in engine.stream((at, picture) for at in range(4))]
        return all(np.array_equal(each, expected) for each in [engine.run(picture)[0], *streamed])

    assert in_fork(child)
    assert np.array_equal(engine.run(picture)[0], expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_inherit_idle_threads(small: tuple[Card, Path], picture: NDArray[np.uint8]) -> None:
    kept = OpenVINOEngine(*small, precision="f32")
    expected = kept.run(picture)[0]
    freed = OpenVINOEngine(*small, precision="f32")
    list(freed.stream((at, picture) for at in range(4)))
    del freed
    gc.collect()

    def child() -> bool:
        engine = OpenVINOEngine(*small, precision="f32")
        streamed = [maps[0] for _, maps in engine.stream((at, picture) for at in range(4))]
        return all(np.array_equal(each, expected) for each in [engine.run(picture)[0], *streamed])

    assert in_fork(child)
    assert np.array_equal(kept.run(picture)[0], expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("action", ["close", "free", "continue"])
def test_a_forked_child_never_waits_for_a_stream_of_its_parent(small: tuple[Card, Path], action: str) -> None:
    engine = OpenVINOEngine(*small, precision="f32")
    large = np.zeros((1, 2500, 2500, 3), np.uint8)  # so that requests still run when the process forks
    expected = engine.run(large)[0]
    streams = [engine.stream((at, large) for at in range(12))]
    first = next(streams[0])

    def child() -> bool:
        if action == "close":
            streams[0].close()  # type: ignore[attr-defined]
        elif action == "free":
            streams.clear()
            gc.collect()
        elif action == "continue":
            with pytest.raises(UsageError, match="this stream of batches belongs to the process that was forked"):
                list(streams[0])
        again = next(iter(engine.stream([(0, large)])))[1][0]
        return np.array_equal(again, expected)

    assert in_fork(child)
    rest = list(streams[0])
    assert [token for token, _ in (first, *rest)] == list(range(12))
    assert all(np.array_equal(maps[0], expected) for _, maps in (first, *rest))


ENDING = """
import os
import sys
import numpy as np
from kindred.backbones import load

engine = load("tiny", precision="f32")
stream = engine.stream((at, np.zeros((1, 2500, 2500, 3), np.uint8)) for at in range(12))
next(stream)
if not os.fork():
    sys.exit(0)  # as an interpreter ends, which frees the stream and the network
_, status = os.wait()
assert len(list(stream)) == 11
print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.usefixtures("small")
def test_a_forked_child_can_end_in_the_middle_of_a_stream() -> None:
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


def test_many_first_streams_at_once_compile_once(
    small: tuple[Card, Path], picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = OpenVINOEngine(*small)
    compiled: list[str] = []
    original = OpenVINOEngine._compiled

    def counted(self: OpenVINOEngine, hint: Any) -> Any:
        compiled.append(hint)
        return original(self, hint)

    monkeypatch.setattr(OpenVINOEngine, "_compiled", counted)
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: list(engine.stream([(0, picture)])), range(16)))
    assert compiled == ["THROUGHPUT"]
