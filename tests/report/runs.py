"""Run folders made up for the tests of the report."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

from PIL import Image, ImageDraw

HOSTILE = '<script>alert("x")</script>&'


def grid(path: Path, progress: float, tile: int = 28, across: int = 10) -> None:
    """A picture of rings that sharpen with progress."""
    chance = random.Random(0)
    picture = Image.new("RGB", (tile * across, tile * across // 2), "black")
    draw = ImageDraw.Draw(picture)
    for row in range(across // 2):
        for column in range(across):
            x, y = column * tile, row * tile
            radius = tile * (0.2 + 0.2 * chance.random())
            level = round(255 * min(1.0, 0.2 + progress))
            box = (x + tile / 2 - radius, y + tile / 2 - radius, x + tile / 2 + radius, y + tile / 2 + radius)
            draw.ellipse(box, outline=(level, level, round(255 * chance.random())), width=3)
            for _ in range(round((1 - progress) * 200)):
                dot = (x + chance.randrange(tile), y + chance.randrange(tile))
                draw.point(dot, fill=(chance.randrange(256),) * 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def lines(steps: int = 600, samples: int = 200_000) -> list[dict[str, object]]:
    """metrics.jsonl of a run that goes well, with an event and snapshots."""
    chance = random.Random(1)
    found: list[dict[str, object]] = []
    for step in range(1, steps + 1):
        shown, progress = samples * step // steps, step / steps
        found.append(
            {
                "kind": "log",
                "samples": shown,
                "seconds": 0.4 * step,
                "D/adversarial": 0.4 + 0.8 * math.exp(-6 * progress) + 0.08 * chance.gauss(0, 1),
                "D/penalty": 0.05 + 0.4 * math.exp(-20 * progress) + 0.01 * abs(chance.gauss(0, 1)),
                "G/adversarial": 1.6 - 0.9 * math.exp(-5 * progress) + 0.15 * chance.gauss(0, 1),
                "D/gradient": math.exp(1.5 * chance.gauss(0, 0.4)) * (0.3 + 30 * math.exp(-30 * progress)),
                "G/gradient": math.exp(1.5 * chance.gauss(0, 0.3)) * 0.1,
                "images/s": 820 + 30 * chance.gauss(0, 1),
            }
        )
        if step % 60 == 0:
            found.append(
                {"kind": "scores", "samples": shown, "seconds": 0.4 * step}
                | {
                    "floor": {"fd": 1.871, "coverage": 0.967},
                    "n": 2000,
                    "fd": 9 + 120 * math.exp(-5 * progress),
                    "coverage": 0.86 * (1 - math.exp(-4 * progress)),
                }
            )
            accuracy = 0.62 + 0.2 * math.exp(-3 * progress) + 0.02 * chance.gauss(0, 1)
            found.append(
                {"kind": "health", "samples": shown, "seconds": 0.4 * step, "verdict": "balanced"}
                | {"accuracy_train": accuracy + 0.05, "accuracy_held_out": accuracy - 0.04, "spread": 0.9}
            )
        if step == steps // 2:
            found.append({"kind": "event", "samples": shown, "seconds": 0.4 * step, "rounds": 1562, "event": "resumed"})
    return found


CONFIG = {
    "command": {
        "type": "Command",
        "system": "dcgan",
        "config": {
            "type": "Config",
            "rounds": 100_000,
            "networks": {"type": "DCGAN", "width": 64, "batch_norm": True, "discriminator_norm": False},
            "adam": {"type": "Adam", "lr": 2e-4, "betas": [0.5, 0.999]},
            "ema_half_life": None,
        },
        "data": "digits",
        "options": {"type": "Data", "resolution": None, "resize": "lanczos", "flip": False},
        "run": {
            "type": "Run",
            "folder": "runs/demo",
            "seed": 0,
            "minutes": 3,
            "batch_size": None,
            "on_illness": "rollback",
        },
        "features": "auto",
        "wandb": None,
    },
    "data": {
        "name": "digits",
        "fingerprint": "5f1c2ad90b7e",
        "train": 1617,
        "test": 180,
        "spec": {"type": "Spec", "shape": [1, 8, 8], "classes": 10, "kind": "image"},
        "class_names": list("0123456789"),
        "notes": ["1,797 images of 8 × 8 pixels, gray", "10 classes, the rarest 174 times"],
    },
    "device": {"type": "cpu", "processes": 1, "precision": "fp32"},
    "versions": {"zerosum": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
    "commit": "85a61bc",
    "started": "2026-11-22T17:30:00+00:00",
}
SCORES = {
    "values": {
        "fd": 9.412,
        "kid": 0.0123,
        "kid_std": 0.0011,
        "precision": 0.81,
        "recall": 0.64,
        "coverage": 0.8514,
    },
    "floor": {"fd": 1.871, "kid": 0.0002, "precision": 0.93, "recall": 0.92, "coverage": 0.967},
    "protocol": {
        "extractor": "classifier",
        "reason": "8 × 8 gray images are not what Inception-v3 was trained on",
        "weights_sha256": "9a0364b9e99bb480dd25e1f0284c8555",
        "data": "digits",
        "n_real": 1797,
        "n_fake": 1797,
        "split": "train",
        "seed": 0,
    },
}
HEALTH = {
    "verdict": "overfitting",
    "findings": [
        {
            "illness": "discriminator_overfitting",
            "severity": "warning",
            "samples": 160_000,
            "evidence": "The discriminator is right on 71 % of the training images and on 58 % of held-out ones.",
            "advice": "Add augmentation, or stop at 120k samples, where the scores were best.",
        },
        {
            "illness": "mode_collapse",
            "severity": "critical",
            "samples": 180_000,
            "evidence": {"classes never generated": [4, 9], "coverage": 0.41, "threshold": 0.5},
            "advice": "Roll back with zerosum resume --on-illness rollback, and lower the learning rate of G.",
        },
    ],
}


def make(folder: Path, health: dict[str, object] | None = None) -> Path:
    """A complete run folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("config", CONFIG), ("scores", SCORES), ("health", health or HEALTH)):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    text = "".join(json.dumps(line) + "\n" for line in lines())
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    for thousand in range(0, 201, 10):
        grid(folder / "samples" / f"{thousand:06}k.png", thousand / 200)
    return folder
