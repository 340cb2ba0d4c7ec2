"""The published layouts of torchvision's networks and of EfficientNet-Lite, by rules of their own: keys and shapes.

A layout is the state dict of the whole network, classifier included, in the order of the checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator

Entry = tuple[str, tuple[int, ...]]

# Parameters of the whole networks, classifiers included, as published with the weights (GoogLeNet: without its
# auxiliary classifiers).
PARAMETERS = {
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "googlenet": 6_624_904,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "mobilenet_v2": 3_504_872,
    "efficientnet_lite0": 4_652_008,
    "efficientnet_lite1": 5_416_680,
    "efficientnet_lite2": 6_092_072,
}

CLASSIFIERS = {
    "alexnet": ("classifier.1 9216 4096", "classifier.4 4096 4096", "classifier.6 4096 1000"),
    "vgg16": ("classifier.0 25088 4096", "classifier.3 4096 4096", "classifier.6 4096 1000"),
    "vgg19": ("classifier.0 25088 4096", "classifier.3 4096 4096", "classifier.6 4096 1000"),
    "googlenet": ("fc 1024 1000",),
    "resnet18": ("fc 512 1000",),
    "resnet34": ("fc 512 1000",),
    "resnet50": ("fc 2048 1000",),
    "resnet101": ("fc 2048 1000",),
    "resnet152": ("fc 2048 1000",),
    "mobilenet_v2": ("classifier.1 1280 1000",),
    "efficientnet_lite0": ("_fc 1280 1000",),
    "efficientnet_lite1": ("_fc 1280 1000",),
    "efficientnet_lite2": ("_fc 1280 1000",),
}


def features(name: str) -> list[Entry]:
    """Every key and shape of the feature part."""
    if name.startswith("resnet"):
        return list(_resnet(int(name.removeprefix("resnet"))))
    if name.startswith("efficientnet_lite"):
        return list(_efficientnet_lite(int(name[-1])))
    rules = {"alexnet": _alexnet, "vgg16": _vgg16, "vgg19": _vgg19, "googlenet": _googlenet, "mobilenet_v2": _mobile}
    return list(rules[name]())


def classifier(name: str) -> list[Entry]:
    """Every key and shape of the classifier."""
    entries: list[Entry] = []
    for line in CLASSIFIERS[name]:
        key, inputs, outputs = line.split()
        entries += [(f"{key}.weight", (int(outputs), int(inputs))), (f"{key}.bias", (int(outputs),))]
    return entries


def parameter_count(entries: list[Entry]) -> int:
    """The numbers that are learned: running statistics and counters are not."""
    total = 0
    for key, shape in entries:
        if "running_" in key or key.endswith("num_batches_tracked"):
            continue
        size = 1
        for side in shape:
            size *= side
        total += size
    return total


def _conv(key: str, outputs: int, inputs: int, size: int) -> Iterator[Entry]:
    yield f"{key}.weight", (outputs, inputs, size, size)


def _biased(key: str, outputs: int, inputs: int, size: int) -> Iterator[Entry]:
    yield from _conv(key, outputs, inputs, size)
    yield f"{key}.bias", (outputs,)


def _norm(key: str, channels: int) -> Iterator[Entry]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{key}.{part}", (channels,)
    yield f"{key}.num_batches_tracked", ()


def _alexnet() -> Iterator[Entry]:
    rows = "0 64 3 11 / 3 192 64 5 / 6 384 192 3 / 8 256 384 3 / 10 256 256 3"
    for row in rows.split("/"):
        at, outputs, inputs, size = map(int, row.split())
        yield from _biased(f"features.{at}", outputs, inputs, size)


def _vgg(positions: str) -> Iterator[Entry]:
    """The positions of the convolutions in `features`, group by group: the gaps are ReLUs and poolings."""
    inputs = 3
    for outputs, group in zip((64, 128, 256, 512, 512), positions.split("/"), strict=True):
        for at in group.split():
            yield from _biased(f"features.{at}", outputs, inputs, 3)
            inputs = outputs


def _vgg16() -> Iterator[Entry]:
    return _vgg("0 2 / 5 7 / 10 12 14 / 17 19 21 / 24 26 28")


def _vgg19() -> Iterator[Entry]:
    return _vgg("0 2 / 5 7 / 10 12 14 16 / 19 21 23 25 / 28 30 32 34")


def _resnet(layers: int) -> Iterator[Entry]:
    depths = {18: "2222", 34: "3463", 50: "3463", 101: "3 4 23 3", 152: "3 8 36 3"}[layers]
    counts = [int(count) for count in (depths.split() if " " in depths else depths)]
    wide = 4 if layers >= 50 else 1
    yield from _conv("conv1", 64, 3, 7)
    yield from _norm("bn1", 64)
    for stage, count in enumerate(counts):
        width = 64 << stage
        before = 64 if stage == 0 else (width // 2) * wide
        for at in range(count):
            inputs = before if at == 0 else width * wide
            key = f"layer{stage + 1}.{at}"
            if wide == 4:
                convolutions = [(width, inputs, 1), (width, width, 3), (4 * width, width, 1)]
            else:
                convolutions = [(width, inputs, 3), (width, width, 3)]
            for number, (outputs, channels, size) in enumerate(convolutions, 1):
                yield from _conv(f"{key}.conv{number}", outputs, channels, size)
                yield from _norm(f"{key}.bn{number}", outputs)
            if at == 0 and (stage or wide == 4):
                yield from _conv(f"{key}.downsample.0", width * wide, inputs, 1)
                yield from _norm(f"{key}.downsample.1", width * wide)


def _googlenet() -> Iterator[Entry]:
    def unit(key: str, outputs: int, inputs: int, size: int) -> Iterator[Entry]:
        yield from _conv(f"{key}.conv", outputs, inputs, size)
        yield from _norm(f"{key}.bn", outputs)

    yield from unit("conv1", 64, 3, 7)
    yield from unit("conv2", 64, 64, 1)
    yield from unit("conv3", 192, 64, 3)
    # inputs, then 1×1, 3×3 reduced, 3×3, "5×5" reduced, "5×5", pooled
    rows = """
    3a 192  64  96 128 16  32  32
    3b 256 128 128 192 32  96  64
    4a 480 192  96 208 16  48  64
    4b 512 160 112 224 24  64  64
    4c 512 128 128 256 24  64  64
    4d 512 112 144 288 32  64  64
    4e 528 256 160 320 32 128 128
    5a 832 256 160 320 32 128 128
    5b 832 384 192 384 48 128 128
    """
    for row in rows.strip().splitlines():
        name, *numbers = row.split()
        inputs, one, r3, three, r5, five, pooled = map(int, numbers)
        key = f"inception{name}"
        yield from unit(f"{key}.branch1", one, inputs, 1)
        yield from unit(f"{key}.branch2.0", r3, inputs, 1)
        yield from unit(f"{key}.branch2.1", three, r3, 3)
        yield from unit(f"{key}.branch3.0", r5, inputs, 1)
        yield from unit(f"{key}.branch3.1", five, r5, 3)
        yield from unit(f"{key}.branch4.1", pooled, inputs, 1)


def _mobile() -> Iterator[Entry]:
    yield from _conv("features.0.0", 32, 3, 3)
    yield from _norm("features.0.1", 32)
    outputs = [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320]
    for at, (inputs, channels) in enumerate(zip([32, *outputs], outputs, strict=False), 1):
        hidden = inputs * (1 if at == 1 else 6)
        key = f"features.{at}.conv"
        first = 0
        if at > 1:
            yield from _conv(f"{key}.0.0", hidden, inputs, 1)
            yield from _norm(f"{key}.0.1", hidden)
            first = 1
        yield f"{key}.{first}.0.weight", (hidden, 1, 3, 3)
        yield from _norm(f"{key}.{first}.1", hidden)
        yield from _conv(f"{key}.{first + 1}", channels, hidden, 1)
        yield from _norm(f"{key}.{first + 2}", channels)
    yield from _conv("features.18.0", 1280, 320, 1)
    yield from _norm("features.18.1", 1280)


def _efficientnet_lite(number: int) -> Iterator[Entry]:
    """The blocks one by one: how many channels come out, and the side of the depthwise kernel."""
    rows = {
        0: "16 24 24 40 40 80 80 80 112 112 112 192 192 192 192 320",
        1: "16 24 24 24 40 40 40 80 80 80 80 112 112 112 112 192 192 192 192 192 320",
        2: "16 24 24 24 48 48 48 88 88 88 88 120 120 120 120 208 208 208 208 208 352",
    }[number]
    large = {"40", "48", "112", "120", "192", "208"}  # channels of the stages with kernels of 5 × 5
    yield from _conv("_conv_stem", 32, 3, 3)
    yield from _norm("_bn0", 32)
    inputs = 32
    for at, row in enumerate(rows.split()):
        key, channels, hidden = f"_blocks.{at}", int(row), inputs * (6 if at else 1)
        if at:
            yield from _conv(f"{key}._expand_conv", hidden, inputs, 1)
            yield from _norm(f"{key}._bn0", hidden)
        yield from _conv(f"{key}._depthwise_conv", hidden, 1, 5 if row in large else 3)
        yield from _norm(f"{key}._bn1", hidden)
        yield from _conv(f"{key}._project_conv", channels, hidden, 1)
        yield from _norm(f"{key}._bn2", channels)
        inputs = channels
    yield from _conv("_conv_head", 1280, inputs, 1)
    yield from _norm("_bn1", 1280)
