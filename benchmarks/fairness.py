"""Fair tables of Adult: what a model that learns from generated rows is worth, and how alike it treats women and men.

    python -m benchmarks.fairness --seeds 3

Each system is trained on the training rows with a rule for labels that is as it is (weight 0) and with fairer ones; as
many rows are generated as it was trained on, boosted trees learn the income from them, and are tested on the real rows
that were held out. "parity" is the difference of the shares of women and men whom the trees find rich, "auc" how well
they tell; "linear_parity", "linear_auc" are those of logistic regression. The bar: at most half of the parity
difference of the same model trained on the real rows, at most .03 less AUC.

Beside them: the real rows, and the real rows with labels that the rules draw, which is what a system would reach that
reproduced the rest of the rows perfectly. A training that is done is kept in --folder and not done again.
--choose trains on 85 % of the training rows and tests on the others: settings are chosen so, never on the test rows.
Reads tables/adult.csv.gz in the folder that ZEROSUM_DATA names.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.common import keep
from zerosum.core import discovery, randomness
from zerosum.core.errors import BadOption
from zerosum.data import Data, Dataset, load
from zerosum.data.tables.store import TableStore
from zerosum.metrics.tables.fairness import gap, sheet_fairness
from zerosum.metrics.tables.models import Inputs
from zerosum.metrics.tables.shapes import column_shapes
from zerosum.metrics.tables.sheet import Sheet, read_sheets
from zerosum.metrics.tables.utility import FAMILIES, class_probabilities, utility
from zerosum.training.arena import Arena
from zerosum.training.loop import Run, train
from zerosum.training.optimizers import Adam

TARGET, PROTECTED, FAVOURABLE = "income", "sex", ">50K"
SETTINGS: dict[str, dict[str, Any]] = {
    "ctgan": {"epochs": 30},
    "tabfairgan": {"epochs": 60, "hidden": 256, "adam": Adam(6e-4, (0.5, 0.999))},
    "tabfairgan:paper": {"epochs": 150, "hidden": 256, "adam": Adam(1e-3, (0.5, 0.9), decay=1e-6)},
    "tvae": {"epochs": 60},
}
"""What differs from a system's (or its preset's) settings."""
WEIGHTS = {
    "real rows": (0.0, 0.5, 1.0, 1.5, 3.0),
    "ctgan": (0.0, 0.5, 1.0, 1.5, 3.0),
    "tabfairgan": (0.0, 1.5),
    "tvae": (0.0, 1.5),
    "tabfairgan:paper": (30.0,),
}

ONCE = ("tabfairgan:paper",)
"""Systems that are trained with the first seed alone: eight minutes each."""


def main() -> None:
    """Train and test; results are kept after each training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=list(WEIGHTS), choices=list(WEIGHTS))
    parser.add_argument("--weights", nargs="+", type=float, help="instead of each system's own")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs/fairness"))
    parser.add_argument("--choose", action="store_true", help="test on a part of the training rows; nothing is kept")
    given = parser.parse_args()
    dataset = adult(given.choose)
    found: dict[tuple[str, float], list[dict[str, float]]] = {}
    # Seed by seed, so that every row of the table has a value early on.
    for seed in range(given.seeds):
        for name in given.systems:
            if seed and name in ONCE:
                continue
            for weight in given.weights or WEIGHTS[name]:
                values = once(name, weight, seed, dataset, given)
                found.setdefault((name, weight), []).append(values)
                print(name, weight, seed, {key: round(value, 4) for key, value in values.items()}, flush=True)
                if not given.choose:
                    keep("fairness", rows(found, given))


def adult(choose: bool) -> Dataset:
    """Adult; for choosing settings, with a part of the training rows as test rows."""
    folder = os.environ.get("ZEROSUM_DATA")
    if not folder:
        raise BadOption("set ZEROSUM_DATA to the folder that holds tables/adult.csv.gz.")
    dataset = load(f"{folder}/tables/adult.csv.gz", Data(target=TARGET))
    if not choose:
        return dataset
    store = dataset.train
    assert isinstance(store, TableStore)
    order = randomness.permutation(len(store), "validation")
    parts = order.split([round(0.85 * len(store)), len(store) - round(0.85 * len(store))])
    made = [TableStore(store.encoding, store.scalars[part], store.choices[part]) for part in parts]
    return replace(dataset, train=made[0], test=made[1])


def once(name: str, weight: float, seed: int, dataset: Dataset, given: argparse.Namespace) -> dict[str, float]:
    """The scores of one training; read where it was done before."""
    kind = "choose" if given.choose else "test"
    settings = hashlib.sha256(repr(SETTINGS.get(name)).encode()).hexdigest()[:8]
    place: Path = given.folder / kind / f"{name.replace(':', '-').replace(' ', '-')}-{settings}-{weight:g}-{seed}.json"
    if not place.exists():
        began = time.process_time()
        frame = relabelled(dataset, weight, seed) if name == "real rows" else generated(name, weight, seed, dataset)
        values = {"seconds": time.process_time() - began, **scores(frame, dataset, seed)}
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(values))
    values = json.loads(place.read_text())
    return values


def configured(name: str, weight: float) -> tuple[Any, Any]:
    """The class of a game and its settings."""
    system, _, preset = name.partition(":")
    game_class: Any = discovery.game_class(system)
    config = discovery.load(system).PRESETS[preset] if preset else game_class.Config()
    asked = {"fair": PROTECTED, "favourable": FAVOURABLE, "fairness": weight} if weight else {}
    return game_class, replace(config, **SETTINGS[name], **asked)


def generated(name: str, weight: float, seed: int, dataset: Dataset) -> pd.DataFrame:
    """As many rows as a system was trained on."""
    game_class, config = configured(name, weight)
    randomness.reseed(seed, "weights")
    game = game_class(config, dataset.spec)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(seed=seed, save_every=10**12)
        generator: Any = train(game, dataset, run, Path(folder), arena=Arena(precision="bf16"))
    generator.encoding = dataset.encoding
    frame: pd.DataFrame = generator.sample(len(dataset.train), seed=seed)
    return frame


def relabelled(dataset: Dataset, weight: float, seed: int) -> pd.DataFrame:
    """The real training rows, with labels that a rule draws where there is a weight."""
    store = dataset.train
    assert isinstance(store, TableStore)
    if not weight:
        return store.frame()
    game_class, config = configured("tvae", weight)
    randomness.reseed(seed, "weights")
    game = game_class(config, dataset.spec).seat(Arena())
    game.meet(store)
    generator = game.trained()
    draw = randomness.generator("cpu", seed, "labels")
    return store.encoding.restore(*generator.labelled(store.scalars.clone(), store.choices.long(), draw))


def scores(frame: pd.DataFrame, dataset: Dataset, seed: int) -> dict[str, float]:
    """AUC, accuracy and parity of trees that learn from a table, on real rows; the table's own parity and shapes."""
    train_rows, test = dataset.train, dataset.test
    assert isinstance(train_rows, TableStore) and isinstance(test, TableStore)
    encoding = train_rows.encoding
    sheets = read_sheets(encoding, {"real": train_rows.frame(), "made": frame, "test": test.frame()})
    fair = sheet_fairness(sheets["made"], sheets["test"], TARGET, [FAVOURABLE], PROTECTED, seed)
    shapes = [shape.score for shape in column_shapes(sheets["real"], sheets["made"])]
    useful = utility(sheets["made"], sheets["test"], TARGET, seed).values
    linear = {"linear_parity": linear_parity(sheets["made"], sheets["test"], seed)}
    return {
        **{name: useful[name] for name in ("auc", "linear_auc")},
        **fair,
        **linear,
        "shapes": statistics.mean(shapes),
    }


def linear_parity(train_rows: Sheet, test: Sheet, seed: int) -> float:
    """The parity difference of logistic regression instead of trees."""
    label, group = test.place(TARGET), test.place(PROTECTED)
    levels = train_rows.fields[label].levels
    assert levels is not None
    good = [str(level).strip() for level in levels].index(FAVOURABLE)
    inputs, known = Inputs.of(train_rows, without=label), train_rows.cells[label]
    family = FAMILIES["linear_"]
    chances = class_probabilities(family, inputs, train_rows, test, known, len(levels), seed)
    return gap(chances.argmax(axis=1) == good, test.cells[group])


def rows(found: dict[tuple[str, float], list[dict[str, float]]], given: argparse.Namespace) -> list[dict[str, Any]]:
    """The values of each seed, and what the bar says of their means."""
    means = {key: {name: statistics.mean(run[name] for run in runs) for name in runs[0]} for key, runs in found.items()}
    real = means.get(("real rows", 0.0))
    protocol = {
        "test": "models trained on as many generated rows as there are training rows, tested on held-out real rows",
        "models": "boosted trees (auc, accuracy, parity, opportunity), logistic regression (linear_)",
        "number behind a name": "--fairness; none: without --fair", "settings": repr(SETTINGS), "precision": "bf16",
        "chosen": "on 15 % of the training rows (--choose)",
    }  # fmt: skip
    table = []
    for (name, weight), runs in found.items():
        own, plain = means[name, weight], means.get((name, 0.0))
        label = name if not weight else f"{name}, fair labels" if name == "real rows" else f"{name} --fair"
        row: dict[str, Any] = {
            "system": f"{label} {weight:g}" if weight else label, "data": "adult, women and men, income",
            "command": f"python -m benchmarks.fairness --seeds {given.seeds}",
            "values": {key: [run[key] for run in runs] for key in runs[0]}, "protocol": protocol,
        }  # fmt: skip
        if real and (name, weight) != ("real rows", 0.0):
            row["note"] = "; ".join(said(model, own, real, plain if weight else None) for model in ("trees", "linear"))
        table.append(row)
    return table


def said(model: str, own: dict[str, float], real: dict[str, float], plain: dict[str, float] | None) -> str:
    """How far a model is from the bar."""
    front = "" if model == "trees" else "linear_"
    share, loss = own[f"{front}parity"] / real[f"{front}parity"], real[f"{front}auc"] - own[f"{front}auc"]
    text = f"{model}: {share:.2f} of the real parity difference, {loss:.3f} AUC lost"
    if plain is None:
        return text
    text += f" ({plain[f'{front}auc'] - own[f'{front}auc']:.3f} against weight 0)"
    return f"{text}, bar {'met' if share <= 0.5 and loss <= 0.03 else 'not met'}"


if __name__ == "__main__":
    main()
