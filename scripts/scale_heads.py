"""Scale the heads of a student that was exported by `kindred distill`; all else stays as it is.

    python scripts/scale_heads.py kin.onnx new.onnx 0.5 1

One factor for each head, in their order: how strong it is in the tap `features`, compared with before.
The card is written beside the new file, with its digest. The third edition of `kin` was made by the command above.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from kindred.backbones.card import Card, digest_of

JOINED = "features"


def scale(model: onnx.ModelProto, factors: Sequence[float]) -> None:
    """Multiply the scale of each head, in place."""
    makers = {output: node for node in model.graph.node for output in node.output}
    joined = makers[JOINED]
    if joined.op_type != "Concat" or len(joined.input) != len(factors):
        raise SystemExit(f"{JOINED} joins {len(joined.input)} heads; got {len(factors)} factors")
    for name, factor in zip(joined.input, factors, strict=True):
        constant = makers[makers[name].input[1]].attribute[0].t
        constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant) * np.float32(factor)))


def main(source: Path, target: Path, factors: Sequence[float]) -> None:
    """Write the scaled student and its card."""
    model = onnx.load(str(source))
    scale(model, factors)
    onnx.save(model, str(target))
    card = Card.load(source.with_suffix(".toml"))
    replace(card, file=target.name, digest=digest_of(target)).save(target.with_suffix(".toml"))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), [float(text) for text in sys.argv[3:]])
