"""Settings to JSON and back, for every system there is."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from zerosum.api import Command
from zerosum.core import discovery
from zerosum.core.errors import BadFile
from zerosum.core.settings import from_json, to_json
from zerosum.networks.families import DCGAN, MLP
from zerosum.training.loop import Run
from zerosum.training.optimizers import SGD, Adam


@pytest.mark.parametrize("name", discovery.systems())
def test_every_config_comes_back(name: str) -> None:
    module: Any = discovery.load(name)
    for config in (module.Config(), *getattr(module, "PRESETS", {}).values()):
        assert from_json(module.Config, json.loads(json.dumps(to_json(config)))) == config


def test_a_command_comes_back(tmp_path: Any) -> None:
    module: Any = discovery.load("gan")
    command = Command(
        "gan", module.Config(optimizer=SGD(), networks=MLP()), "digits", run=Run(folder=tmp_path, minutes=0.5)
    )
    content = json.loads(json.dumps(to_json(command)))
    again = from_json(Command, {**content, "config": None})
    assert dataclasses.replace(again, config=from_json(module.Config, content["config"])) == command


@dataclasses.dataclass(frozen=True)
class Sample:
    """One field of each kind."""

    number: int = 1
    share: float = 0.5
    word: str | None = None
    pair: tuple[float, float] = (0.0, 1.0)
    networks: MLP | DCGAN = MLP()
    adam: Adam = Adam()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"number": "3"}, '"3" is not a setting of the kind int'),
        ({"number": True}, "true is not a setting of the kind int"),
        ({"share": "x"}, "is not a setting of the kind float"),
        ({"word": 3}, "3 is not a setting of the kind str or NoneType"),
        ({"networks": {"type": "UNet"}}, "is not a setting of the kind MLP or DCGAN"),
        ({"adam": {"type": "Adam", "rate": 1.0}}, "Adam has no setting called rate"),
        ({"depth": 3}, "Sample has no setting called depth"),
    ],
)
def test_what_is_not_a_setting_is_refused(content: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadFile, match=complaint):
        from_json(Sample, {"type": "Sample", **content})


def test_whole_numbers_are_floats_too() -> None:
    assert from_json(Sample, {"type": "Sample", "share": 1, "pair": [0, 1]}) == Sample(share=1.0)
