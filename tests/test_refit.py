"""scripts/refit.py: what it runs, where it puts what was fitted, and that it does not repeat what is done."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "refit.py"


@pytest.fixture
def refit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("refit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_fits_in_order_and_only_once(
    refit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipes, work = tmp_path / "recipes", tmp_path / "work"
    recipes.mkdir()
    commands: list[list[str]] = []

    def run(*words: object) -> str:
        command = list(map(str, words))
        commands.append(command)
        if "fit" in command:
            made = Path(command[command.index("-o") + 1])
            key = "words" if "--feature-words" in command else "whitening"
            made.with_name(f"{made.stem}-{key}.npz").write_text(made.stem)
            if "--code" in command:
                made.with_name(f"{made.stem}-code.npz").write_text("code")
        return json.dumps({"recall@1": 0.75, "images": 3}) if "evaluate" in command else ""

    monkeypatch.setattr(refit, "run", run)
    monkeypatch.setattr(refit, "RECIPES", recipes)
    arguments = ["whitening", "words", "calibration", "measure", "--work", str(work), "--distractors"]
    refit.main(arguments)
    assert {file.name: file.read_text() for file in recipes.iterdir()} == {
        "kin-pca512.npz": "kin-pca512",
        "kin-average512.npz": "kin-average512",
        "kin-words4096.npz": "kin-words4096",
        "patches-pca128.npz": "patches-pca128",
        "patches-rabitq512.npz": "code",
    }
    verbs = [" ".join(command) for command in commands]
    assert sum(" fit " in each for each in verbs) == 4
    assert sum(" evaluate " in each for each in verbs) == 3 * 4 + 1
    assert [" fit " in each for each in verbs[:4]] == [True] * 4
    assert "--write" in verbs[4]
    assert verbs[-1].count("--distractors") == 7
    assert capsys.readouterr().out.count('{"recall@1": 0.75}') == 3 * 4 + 1
    done = len(commands)
    refit.main(arguments)
    assert [" ".join(each).split()[0] for each in commands[done:]] == ["benchmarks/calibration.py", "-c"]


def test_unknown_steps_and_foreign_cards_are_refused(refit: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        refit.main(["whiten", "--work", str(tmp_path)])
    from kindred.backbones import load_card

    card, _ = load_card("kin")
    (tmp_path / "new.onnx").write_bytes(b"another")
    (tmp_path / "new.toml").write_text(card.to_toml(), encoding="utf-8")
    with pytest.raises(SystemExit, match="is not the file that"):
        refit.put_network(tmp_path / "new.onnx")
