"""Blocks of a row, the generator of rows and the critic of packs."""

from __future__ import annotations

import torch

from zerosum.data.spec import Block, Spec
from zerosum.networks.tabular import Blocks, Critic, Generator

SPEC = Spec(
    (9,), 0, "table",
    blocks=(
        Block(0, "softmax", 2, "category", "a"), Block(1, "scalar", 1, "value", "b"),
        Block(1, "softmax", 3, "mode", "b"),
        Block(2, "softmax", 2, "category", "c"), Block(3, "scalar", 1, "value", "d"),
    ),
)  # fmt: skip
PIECES = [slice(0, 2), slice(3, 6), slice(6, 8)]


def test_softmax_of_every_block() -> None:
    x = torch.randn(5, 9)
    blocks = Blocks(SPEC)
    soft, log = blocks.softmax(x), blocks.log_softmax(x)
    for piece in PIECES:
        assert torch.allclose(soft[:, piece], x[:, piece].softmax(1))
        assert torch.allclose(log[:, piece], x[:, piece].log_softmax(1))
    assert torch.equal(soft[:, [2, 8]], x[:, [2, 8]])
    assert torch.equal(blocks.join(*blocks.split(x)), x)


def test_gumbel_draws_by_the_probabilities() -> None:
    torch.manual_seed(0)
    x = torch.tensor([[0.0, 1.0, 0.3, -1.0, 0.0, 2.0, 0.5, 0.5, -0.2]]).expand(20_000, 9).clone().requires_grad_()
    drawn = Blocks(SPEC).gumbel(x)
    for piece in PIECES:
        frequency = torch.bincount(drawn[:, piece].argmax(1), minlength=piece.stop - piece.start) / len(x)
        assert torch.allclose(frequency, x[0, piece].softmax(0), atol=0.015)
    drawn[:, 0].sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all() and x.grad[:, :2].abs().sum() > 0


def test_generator_and_critic() -> None:
    G = Generator(4, SPEC, hidden=8)
    assert G.counts.shape == (4,)
    rows = G(torch.randn(6, 4), torch.zeros(6, 4))
    assert rows.shape == (6, 9) and rows[:, [2, 8]].abs().max() <= 1.0
    D = Critic(9 + 4, hidden=8, pack=3).eval()
    joined = torch.randn(6, 13)
    assert D(joined).shape == (2,)
    assert torch.equal(D(joined), D(joined.view(2, 39)))
    with torch.autocast("cpu", torch.bfloat16):
        assert D(joined).dtype == torch.float32 and G(torch.randn(6, 4), torch.zeros(6, 4)).dtype == torch.float32


def test_numbers_keep_their_precision_in_bf16() -> None:
    torch.manual_seed(0)
    G = Generator(16, SPEC, hidden=32).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        made = G(torch.randn(2000, 16), torch.zeros(2000, 4))[:, 2]
    assert len(made.unique()) > 1990


def test_tables_without_categories() -> None:
    spec = Spec((2,), 0, "table", blocks=(Block(0, "scalar", 1, "value", "a"), Block(1, "scalar", 1, "value", "b")))
    G = Generator(4, spec, hidden=8)
    rows = G(torch.randn(3, 4), torch.zeros(3, 0))
    assert Blocks(spec).gumbel(rows).shape == (3, 2)
    only = Spec((3,), 0, "table", blocks=(Block(0, "softmax", 3, "category", "a"),))
    assert torch.allclose(
        Blocks(only).gumbel(Generator(4, only)(torch.randn(3, 4), torch.zeros(3, 3))).sum(1), torch.ones(3)
    )
