"""Private tables: what a model that is trained on them reaches, and what an audit finds out about their rows.

    python -m benchmarks.privacy --seeds 3
    python -m benchmarks.privacy --audit --runs 5

Reads tables/adult.csv.gz in the folder that ZEROSUM_DATA names; a tenth is held out, of the rest --rows rows are drawn.
Rows are judged by `zerosum.metrics.tables.utility`: trees and a linear model trained on as many made as real rows,
tested on the held-out ones. Beside dp_ctgan stand noisy counts of the columns alone and of each column with the target
at the same epsilon and delta, and, without privacy, ctgan and the real rows. Budgets are epochs; what is done is kept
in --folder, so that an interrupted benchmark goes on.

The audit plants rows whose cells are drawn evenly from all that the encoding can write, half of them among the
training rows, and asks which half that is: D; the distance to the nearest of the rows made; and the gradients of all
steps, of D and of the rule for labels, of which it is told everything but the noise and what the planted rows add. D
and distances are also asked which of the real rows were trained on. Lower bounds of epsilon (95 %) have to stay below
the epsilon that is claimed. As a control, the same training without noise shows what the audit can find.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import RESULTS, keep, machine
from benchmarks.tables import source
from zerosum.core import discovery, randomness
from zerosum.data import Data, Dataset, load
from zerosum.data.tables.store import TableStore
from zerosum.gans.tables.ctgan import Config as CTGANConfig
from zerosum.gans.tables.dp_ctgan import DPCTGAN, Config
from zerosum.metrics.tables.audit import attack, epsilon_lower_bound
from zerosum.metrics.tables.marginals import NoisyMarginals
from zerosum.metrics.tables.scores import quick_scores
from zerosum.metrics.tables.sheet import read_sheets
from zerosum.metrics.tables.utility import utility
from zerosum.training import loop
from zerosum.training.arena import open_arena
from zerosum.training.loop import Run
from zerosum.training.private import PrivatePlayer, factors_of, gathered, recorded, squared_norms

TARGET = "income"
SCORES = ("auc", "linear_auc", "f1", "shapes", "pairs", "variation", "rare_error")
EPSILONS = (1.0, 3.0, 10.0)
CANARIES = 200
"""Rows that are planted or kept back in each run of the audit, half of them each."""
AUDITED = 5_000
"""Real rows in each run of the audit."""


def main() -> None:
    """Measure what is missing; results are kept after each row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=30_000, help="training rows at most")
    parser.add_argument("--epochs", type=int, default=30, help="of ctgan, which is not private")
    parser.add_argument("--audit", action="store_true", help="audit instead")
    parser.add_argument("--runs", type=int, default=5, help="of the audit")
    parser.add_argument("--folder", type=Path, default=Path("runs/privacy"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.audit:
        for epsilon in (*EPSILONS[:2], None):
            store(audit(epsilon, given))
    else:
        for name, make in ways(given).items():
            store(measured(name, make, given))


def store(row: dict[str, Any]) -> None:
    """Put a row into benchmarks/results/privacy.json, in the place of an earlier one of the same name."""
    path = RESULTS / "privacy.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    rows = [own for own in rows if own["system"] != row["system"]]
    keep("privacy", [*rows, {**row, "hardware": machine()}])
    print(row["system"], row["values"], flush=True)


def table(rows: int) -> Dataset:
    """Adult, its training rows fewer."""
    data = load(source("adult"), Data(target=TARGET))
    assert isinstance(data.train, TableStore)
    chosen = randomness.permutation(len(data.train), "privacy", "rows")[:rows].sort().values
    return dataclasses.replace(data, train=picked(data.train, chosen))


def picked(rows: TableStore, chosen: Tensor) -> TableStore:
    """The rows at some places."""
    return TableStore(rows.encoding, rows.scalars[chosen], rows.choices[chosen])


# --- usefulness


Make = Callable[[Dataset, int, Path], Any]
"""Data, seed and folder to a frame of as many rows as the data has."""


def ways(given: argparse.Namespace) -> dict[str, Make]:
    """All that is compared, by name."""
    found: dict[str, Make] = {"real rows": lambda data, seed, folder: data.train.frame()}  # type: ignore[attr-defined]
    for epsilon in EPSILONS:
        found[f"columns with the target, noised, epsilon {epsilon:g}"] = marginals(epsilon, TARGET)
        found[f"columns, noised, epsilon {epsilon:g}"] = marginals(epsilon, None)
    for epsilon in reversed(EPSILONS):
        found[f"dp_ctgan, epsilon {epsilon:g}"] = trained("dp_ctgan", Config(epsilon=epsilon))
    unbounded = Config(epsilon=1e9, noise=1e-2, calibrate=False)
    found["dp_ctgan without noise, not private"] = trained("dp_ctgan", unbounded)
    found["ctgan, not private"] = trained("ctgan", CTGANConfig(epochs=given.epochs))
    return found


def marginals(epsilon: float, around: str | None) -> Make:
    """Rows from noisy counts."""

    def make(data: Dataset, seed: int, folder: Path) -> Any:
        counts = NoisyMarginals(epsilon, around)
        counts.fit(data.train.frame(), data.encoding, seed)  # type: ignore[attr-defined, arg-type]
        return counts.sample(len(data.train), seed)

    return make


def trained(system: str, config: Any) -> Make:
    """Rows from the generator of a training, which goes on where it was interrupted."""

    def make(data: Dataset, seed: int, folder: Path) -> Any:
        game: Any = discovery.game_class(system)
        randomness.reseed(seed, "build")
        run, arena = Run(folder=folder, seed=seed), open_arena("auto", "auto")
        generator = loop.train(game(config, data.spec), data, run, folder, arena=arena)
        return generator.sample(len(data.train), seed=seed)

    return make


def measured(name: str, make: Make, given: argparse.Namespace) -> dict[str, Any]:
    """The scores of one way over all seeds."""
    data = table(given.rows)
    values: dict[str, list[float]] = {}
    for seed in range(given.seeds):
        kept = given.folder / f"{name}, {len(data.train)} rows, seed {seed}.json"
        if not kept.exists():
            made = make(data, seed, given.folder / kept.stem)
            kept.write_text(json.dumps(scores(data, made)) + "\n")
        known = json.loads(kept.read_text())
        for score, value in ((name, known[name]) for name in SCORES):
            values.setdefault(score, []).append(value)
    settings = f"--seeds {given.seeds} --rows {given.rows} --epochs {given.epochs}"
    return {
        "system": name, "data": "adult", "command": f"python -m benchmarks.privacy {settings}", "values": values,
        "protocol": {"rows": len(data.train), "held out": len(data.test or ()), "delta": len(data.train) ** -1.5,
                     "seeds": given.seeds, "accountant": "rdp"},
    }  # fmt: skip


def scores(data: Dataset, made: Any) -> dict[str, float]:
    """Usefulness and fidelity of rows."""
    assert isinstance(data.train, TableStore) and isinstance(data.test, TableStore)
    sheets = read_sheets(data.train.encoding, {"test": data.test.frame(), "made": made})
    values = utility(sheets["made"], sheets["test"], TARGET).values
    fidelity = quick_scores(data.train.frame(), made, data.train.encoding, 0)
    return {name: float(value) for name, value in {**values, **fidelity}.items()}


# --- audit


def audit(epsilon: float | None, given: argparse.Namespace) -> dict[str, Any]:
    """Attacks on several trainings; without epsilon, on trainings without noise."""
    name = f"audit of dp_ctgan, epsilon {epsilon:g}" if epsilon else "audit of dp_ctgan without noise (control)"
    runs = []
    for run in range(given.runs):
        kept = given.folder / f"{name}, run {run}.json"
        if not kept.exists():
            kept.write_text(json.dumps(attacked(epsilon, run, given.folder / kept.stem)) + "\n")
        runs.append(json.loads(kept.read_text()))
    values: dict[str, Any] = {"claimed": epsilon}
    for kind in runs[0]["scores"]:
        pooled = [np.concatenate([ranked(run["scores"][kind])[side] for run in runs]) for side in (0, 1)]
        found = attack(*pooled)
        values[f"{kind}: auc"], values[f"{kind}: lower bound, all runs"] = found.auc, found.epsilon
        delta = runs[0]["delta"]
        values[f"{kind}: lower bounds"] = [
            epsilon_lower_bound(*(np.array(side) for side in run["scores"][kind]), delta=delta) for run in runs
        ]
    return {
        "system": name, "data": "adult", "command": f"python -m benchmarks.privacy --audit --runs {given.runs}",
        "values": values,
        "protocol": {"rows": AUDITED, "canaries": CANARIES, "runs": given.runs, "spent": [run["spent"] for run in runs],
                     "confidence": 0.95, "delta": runs[0]["delta"]},
    }  # fmt: skip


def ranked(sides: list[list[float]]) -> list[np.ndarray]:
    """Scores of members and others as ranks within their run, in [0, 1), so that runs can be pooled."""
    whole = np.concatenate([np.array(side) for side in sides])
    rank = np.argsort(np.argsort(whole, kind="stable")) / len(whole)
    return [rank[: len(sides[0])], rank[len(sides[0]) :]]


def attacked(epsilon: float | None, run: int, folder: Path) -> dict[str, Any]:
    """Train once with canaries; the scores of members and others by each attack."""
    data = table(30_000)
    assert isinstance(data.train, TableStore) and isinstance(data.test, TableStore)
    order = randomness.permutation(len(data.train), "audit", run)[:AUDITED]
    rows, planted = picked(data.train, order), canaries(data.train, CANARIES, run)
    members, others = (picked(planted, torch.arange(side, CANARIES, 2)) for side in (0, 1))
    whole = TableStore(
        rows.encoding, torch.cat([rows.scalars, members.scalars]), torch.cat([rows.choices, members.choices])
    )
    config = Config(epsilon=epsilon) if epsilon else Config(epsilon=1e9, noise=1e-2)
    randomness.reseed(run, "build")
    game = DPCTGAN(config, data.spec)
    arena = open_arena("auto", "auto")
    every = torch.arange(CANARIES)
    shown = planted.fetch(every)["row"]
    spies = {
        "gradients of D": Spy(game.discriminator, shown, "real"),
        "gradients of the rule": Spy(game.teacher, shown, "row"),
    }
    generator = loop.train(
        game, dataclasses.replace(data, train=whole), Run(folder=folder, seed=run), folder, [], {}, arena
    )
    made = torch.cat(list(generator.tensors(AUDITED, seed=run)))
    sides = {"canaries": (members, others), "rows": (rows, data.test)}
    found = {}
    for kind, pair in sides.items():
        shown = [own.fetch(torch.arange(min(len(own), len(data.test))))["row"] for own in pair]
        found[f"{kind}, by D"] = [game.critique({"row": own}).flatten().tolist() for own in shown]
        found[f"{kind}, by distance"] = [(-torch.cdist(own, made.cpu()).amin(1)).tolist() for own in shown]
    for kind, spy in spies.items():
        found[f"canaries, by {kind}"] = [spy.scores[every % 2 == side].tolist() for side in (0, 1)]
    return {"scores": found, "spent": game.epsilon, "delta": game.plan.delta}


class Spy:
    """Sees the gradient of every private step of a player, and takes off what all rows add but the canaries (n, d).

    What is left is the noise and, of the canaries that are members and were drawn, the clipped gradients. Scores (n,)
    are how often each seems to be in it, by ridge regression in each step, summed over the steps.

    Args:
        player: whose steps.
        rows: the canaries.
        key: under which batches have real rows.
    """

    def __init__(self, player: PrivatePlayer, rows: Tensor, key: str):
        self.player, self.rows, self.key, self.scores = player, rows, key, torch.zeros(len(rows))
        self.own_step = player.private_step
        player.private_step = self.private_step  # type: ignore[method-assign]

    def private_step(self, loss: Any, batch: dict[str, Tensor], *, expected: float, **rest: Any) -> None:
        """The step, looked at before the weights move."""
        player = self.player
        distances = torch.cdist(batch[self.key], self.rows, compute_mode="donot_use_mm_for_euclid_dist")
        planted = (distances == 0.0).any(1)
        known = [torch.zeros_like(p) for p in player.parameters_]
        with player._learning():
            player._add_clipped(loss, {name: value[~planted] for name, value in batch.items()}, known)
            slopes = self.gradients(loss, batch)
        own_descend = player._descend

        def descend(*given: Any) -> None:
            left = torch.cat([(expected * p.grad - own).flatten() for p, own in zip(player.parameters_, known)])
            self.scores += torch.linalg.solve(slopes @ slopes.T + torch.eye(len(slopes)), slopes @ left)
            own_descend(*given)

        player._descend = descend  # type: ignore[method-assign]
        try:
            self.own_step(loss, batch, expected=expected, **rest)
        finally:
            player._descend = own_descend  # type: ignore[method-assign]

    def gradients(self, loss: Any, batch: dict[str, Tensor]) -> Tensor:
        """The clipped gradient of each canary: (n, weights)."""
        player, every = self.player, torch.arange(len(self.rows))
        others = {name: value[every % len(value)] for name, value in batch.items() if name != self.key}
        with recorded(player.networks[0]) as calls, torch.autocast("cpu", enabled=False):
            terms = loss({self.key: self.rows, **others})
        total = torch.stack([value.sum() for value in terms.values()]).sum()
        by_layer = gathered(calls, torch.autograd.grad(total, [out for _, _, out in calls]))
        factors = factors_of(squared_norms(by_layer), player.bound)
        found = {}
        for layer, pairs in by_layer.items():
            found[id(layer.weight)] = sum(
                torch.einsum("no,ni->noi", slope * factors[:, None], own) for own, slope in pairs
            )
            found[id(layer.bias)] = sum(slope * factors[:, None] for _, slope in pairs)
        return torch.cat([found[id(p)].flatten(1) for p in player.parameters_], 1)


def canaries(like: TableStore, n: int, run: int) -> TableStore:
    """n rows that nobody would have: every choice and every place in a mode is as likely as any other."""
    draw = randomness.generator("cpu", "canaries", run)
    layout = like.encoding.layout
    scalars = torch.rand(n, len(layout.scalars), generator=draw) * 2.0 - 1.0
    choices = [torch.randint(block.size, (n,), generator=draw) for block in layout.choices]
    return TableStore(like.encoding, scalars, torch.stack(choices, 1).to(like.choices.dtype))


if __name__ == "__main__":
    main()
