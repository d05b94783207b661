"""Private steps, against gradients that PyTorch computes row by row."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadOption
from zerosum.core.latents import Normal
from zerosum.data.spec import Batch
from zerosum.networks.tabular import Critic
from zerosum.training.arena import Arena
from zerosum.training.batches import Batches
from zerosum.training.optimizers import SGD
from zerosum.training.player import Losses
from zerosum.training.private import Ledger, Poisson, PrivatePlayer, nearest_counts

WIDTH = 7


def judge(seed: int = 0) -> Critic:
    torch.manual_seed(seed)
    return Critic(WIDTH, hidden=6, pack=1, dropout=0.0)


def seated(network: nn.Module, arena: Arena | None = None, **settings: Any) -> PrivatePlayer:
    player = PrivatePlayer(network, optimizer=SGD(0.1, momentum=0.0), **settings)
    player.seat("judge", arena or Arena())
    return player


def pairs(n: int, seed: int = 1, scale: float = 3.0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    return {name: scale * torch.randn(n, WIDTH, generator=draw) for name in ("real", "made")}


def loss_of(network: nn.Module) -> Any:
    def loss(batch: Batch) -> Losses:
        return {"adversarial": F.softplus(-network(batch["real"])) + F.softplus(network(batch["made"]))}

    return loss


def one_by_one(network: nn.Module, batch: Batch) -> Tensor:
    """The gradients of all rows by PyTorch: (n, weights)."""
    weights = {name: value.detach() for name, value in network.named_parameters()}

    def single(own: dict[str, Tensor], real: Tensor, made: Tensor) -> Tensor:
        logits = [torch.func.functional_call(network, own, (row[None],)) for row in (real, made)]
        return (F.softplus(-logits[0]) + F.softplus(logits[1])).sum()

    found = torch.func.vmap(torch.func.grad(single), in_dims=(None, 0, 0))(weights, batch["real"], batch["made"])
    return torch.cat([value.flatten(1) for value in found.values()], 1)


def stepped(player: PrivatePlayer, network: nn.Module, batch: Batch, noise: float = 0.0, seed: int = 0) -> Tensor:
    """The gradient that a private step descends, times the rows expected (10): (weights,)."""
    draw = torch.Generator().manual_seed(seed)
    player.private_step(loss_of(network), batch, noise=noise, expected=10.0, draw=draw)
    return torch.cat([10.0 * p.grad.flatten() for p in network.parameters() if p.grad is not None])


@pytest.mark.parametrize("bound", [0.05, 0.7, 100.0])
@pytest.mark.parametrize("micro", [None, 4])
def test_clipped_sums_are_those_of_gradients_row_by_row(bound: float, micro: int | None) -> None:
    network, batch = judge(), pairs(13)
    rows = one_by_one(network, batch)
    norms = rows.norm(dim=1)
    expected = (rows * (bound / norms).clamp_max(1.0)[:, None]).sum(0)
    found = stepped(seated(network, Arena(micro_batch=micro), bound=bound), network, batch)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert bound == 100.0 or (norms > bound).any()


def test_frozen_layers_neither_move_nor_count() -> None:
    network, batch = judge(), pairs(8)
    player = PrivatePlayer(network, bound=0.05, optimizer=SGD(0.1, momentum=0.0))
    player.freeze(network.body[0])
    player.seat("judge", Arena())
    before = network.body[0].weight.clone()
    rows = one_by_one(network, batch)[:, sum(p.numel() for p in network.body[0].parameters()) :]
    expected = (rows * (0.05 / rows.norm(dim=1)).clamp_max(1.0)[:, None]).sum(0)
    assert torch.allclose(stepped(player, network, batch), expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(network.body[0].weight, before)


def test_a_row_more_moves_the_sum_by_the_bound_at_most() -> None:
    batch = pairs(9, scale=50.0)
    fewer = {name: value[:-1] for name, value in batch.items()}
    sums = [stepped(seated(network, bound=0.5), network, own) for own in (batch, fewer) for network in (judge(),)]
    assert 0.4 < (sums[0] - sums[1]).norm() <= 0.5 * (1 + 1e-4)


def test_noise_has_the_standard_deviation_asked_for() -> None:
    network = judge()
    found = torch.cat([
        stepped(seated(network, bound=0.5), network, pairs(0), noise=3.0, seed=seed) for seed in range(40)
    ])  # fmt: skip
    assert found.mean() == pytest.approx(0.0, abs=0.05)
    assert found.std() == pytest.approx(1.5, rel=0.03)


def test_a_row_that_is_no_number_says_nothing() -> None:
    network, batch = judge(), pairs(5)
    poisoned = copy.deepcopy(batch)
    poisoned["real"][2] = float("inf")
    kept = {name: value[[0, 1, 3, 4]] for name, value in batch.items()}
    other = judge()
    found, expected = stepped(seated(network), network, poisoned), stepped(seated(other), other, kept)
    assert torch.allclose(found, expected, atol=1e-6)


def test_steps_descend_and_are_logged() -> None:
    network = judge()
    player = seated(network, bound=5.0)
    batch, before = pairs(10), player.value(lambda b: {"all": loss_of(network)(b)["adversarial"].mean()}, pairs(10))
    for _ in range(20):
        stepped(player, network, batch)
    values = player.arena.log.read(1)
    assert values.keys() == {"judge/adversarial", "judge/gradient"}
    assert player.value(lambda b: {"all": loss_of(network)(b)["adversarial"].mean()}, batch) < 0.8 * before
    assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), r"1 \(BatchNorm1d\) mixes the rows of a batch"),
        (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, affine=False)), "mixes the rows"),
        (nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), "1.weight is no weight of a linear layer"),
        (nn.Conv2d(3, 4, 3), "weight is no weight of a linear layer"),
    ],
)
def test_networks_that_cannot_be_clipped_are_refused(network: nn.Module, text: str) -> None:
    with pytest.raises(BadOption, match=text):
        PrivatePlayer(network)


def test_the_bound_is_positive() -> None:
    with pytest.raises(BadOption, match="cannot be clipped to the norm 0"):
        PrivatePlayer(judge(), bound=0.0)


class Rows:
    """A store of numbered rows."""

    labels = None

    def __init__(self, n: int):
        self.n = n

    def __len__(self) -> int:
        return self.n

    def fetch(self, indices: Tensor, flip: Tensor | None = None) -> Batch:
        return {"row": indices.float()[:, None]}

    def prefetch(self, indices: Tensor) -> None:
        pass

    def to(self, device: Any) -> Rows:
        return self


def test_each_row_is_drawn_by_itself() -> None:
    order = Poisson(500, 0.02, ("secret",))
    drawn = [order(10 * number, 10) for number in range(2000)]
    sizes = torch.tensor([float(len(own)) for own in drawn])
    assert sizes.mean() == pytest.approx(10.0, rel=0.03)
    assert sizes.var() == pytest.approx(500 * 0.02 * 0.98, rel=0.1)  # binomial: neither fixed nor clumped
    counts = torch.bincount(torch.cat(drawn), minlength=500).float()
    assert counts.min() > 15 and counts.max() < 70
    assert torch.equal(order(50, 10), order(50, 3))
    assert not torch.equal(order(50, 10), Poisson(500, 0.02, ("other",))(50, 10))


def test_batches_hand_on_all_rows_that_were_drawn() -> None:
    store: Any = Rows(400)
    order = Poisson(400, 0.05, ("secret",))
    batches = Batches(store, batch_size=20, noise={"z": Normal(3)}, seed=(0,), arena=Arena(), order=order)
    for number in range(30):
        batch = next(batches)
        assert torch.equal(batch["row"].flatten().long(), order(20 * number, 20))
        assert batch["z"].shape == (20, 3)
    assert batches.samples == 600


def test_a_ledger_gives_no_steps_back() -> None:
    ledger = Ledger()
    early = copy.deepcopy(ledger.state_dict())
    for _ in range(3):
        with ledger.step(torch.device("cpu")):
            pass
    late = copy.deepcopy(ledger.state_dict())
    ledger.load_state_dict(early)
    assert ledger.steps == 3
    fresh = Ledger()
    assert fresh.seed() != ledger.seed()
    fresh.load_state_dict(late)
    assert fresh.steps == 3 and fresh.seed() == ledger.seed()


def test_random_numbers_of_a_step_are_secret_and_repeatable() -> None:
    ledger = Ledger()
    other = Ledger()
    other.load_state_dict(ledger.state_dict())
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    found = []
    for own in (ledger, other, ledger):
        with own.step(torch.device("cpu")) as draw:
            found.append((torch.rand(4), torch.randn(4, generator=draw)))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(found[0], found[1], strict=True))
    assert not torch.equal(found[0][0], found[2][0]) and not torch.equal(found[0][1], found[2][1])


def test_nearest_counts() -> None:
    assert nearest_counts(torch.tensor([3.0, 1.0]), 4.0).tolist() == [3.0, 1.0]
    assert nearest_counts(torch.tensor([5.0, -2.0, 1.0]), 4.0).tolist() == [4.0, 0.0, 0.0]
    found = nearest_counts(torch.randn(50, generator=torch.Generator().manual_seed(0)), 30.0)
    assert found.min() >= 0 and float(found.sum()) == pytest.approx(30.0, rel=1e-5)
