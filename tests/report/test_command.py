"""The resolved command as it could be typed again."""

from __future__ import annotations

import dataclasses
import shlex

from tests.report.runs import CONFIG
from zerosum.report.command import written


def test_every_setting_that_is_on_is_written() -> None:
    assert written(CONFIG["command"]) == (
        "zerosum train dcgan --data digits --rounds 100000 --adam.lr 0.0002 --adam.betas 0.5 0.999 --ema-half-life None"
        " --data.resize lanczos --data.no-flip --run.folder runs/demo --run.seed 0 --run.minutes 3"
        " --on-illness rollback --features auto"
        " networks:dcgan --networks.width 64 --networks.batch-norm --networks.no-discriminator-norm"
    )


def test_what_needs_quotes_is_quoted() -> None:
    assert "--data 'my photos'" in written({"system": "dcgan", "data": "my photos"})
    assert written(["zerosum", "train", "a b"]) == "zerosum train 'a b'"
    assert written("zerosum train dcgan") == "zerosum train dcgan"


def test_the_command_line_understands_what_is_written() -> None:
    from zerosum import api
    from zerosum.cli.train import _parse
    from zerosum.core import discovery
    from zerosum.core.settings import to_json
    from zerosum.networks.families import MLP
    from zerosum.training.augmentation import ADA, DiffAugment, Fixed
    from zerosum.training.loop import Run

    module = discovery.load("dcgan")
    config = module.Config(rounds=7, networks=MLP(hidden=32, batch_norm=True), ema_half_life=None)
    command = api.Command("dcgan", config, "my photos", run=Run(seed=3, minutes=0.5), features="none")
    words = shlex.split(written(to_json(command)))
    parsed = _parse(discovery.find("dcgan"), words[3:])
    assert (parsed.config, parsed.source, parsed.data) == (command.config, command.data, command.options)
    assert (parsed.run, parsed.features) == (command.run, command.features)
    for augment in (ADA(target=0.5), DiffAugment(("color", "cutout")), Fixed(0.3, 1e6, 0.5, True)):
        words = shlex.split(written(to_json(dataclasses.replace(command, augment=augment))))
        assert _parse(discovery.find("dcgan"), words[3:]).augmentation == augment
