"""Cells of rows, guesses, atoms, and networks that fill in."""

from __future__ import annotations

import pytest
import torch

from tests.gans.games import TABLE, encoded, table
from zerosum.core.errors import BadOption
from zerosum.data.spec import Block, Spec
from zerosum.networks.gain import GainDiscriminator, GainGenerator
from zerosum.networks.imputation import Cells, Filler, Guess, cells_of
from zerosum.networks.masked_rows import Atoms, MaskedRows, RowCritic

SPEC = TABLE.encoding.spec
ROWS = TABLE.fetch(torch.arange(len(TABLE)))["row"]


def masked(**settings: int) -> MaskedRows:
    torch.manual_seed(0)
    chosen = {"width": 16, "blocks": 1, "bins": 12, "latent": 3, "passes": 2} | settings
    return MaskedRows(SPEC, **chosen)


def networks() -> list[Filler]:
    torch.manual_seed(0)
    return [GainGenerator(SPEC), masked()]


def visible_half(filler: Filler) -> torch.Tensor:
    draw = torch.Generator().manual_seed(3)
    return (torch.rand(len(ROWS), len(filler.cells), generator=draw) < 0.5) & filler.cells.known(ROWS)


def test_cells_are_taken_apart_and_put_together() -> None:
    cells = Cells(SPEC)
    known = cells.known(ROWS)
    frame = table()
    assert torch.equal(known, torch.from_numpy(frame.notna().to_numpy()))
    whole = known.all(1)
    assert whole.any()
    again = cells.rows(cells.place(ROWS), cells.choice(ROWS))
    assert torch.equal(again[whole], ROWS[whole])
    spread = cells.spread(known.float())
    assert torch.equal(again * spread, ROWS * spread)


def test_choices_are_counted_exactly_under_autocast() -> None:
    spec = Spec((600,), kind="table", blocks=(Block(0, "softmax", 600, "category"),))
    rows = torch.eye(600)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(Cells(spec).choice(rows)[:, 0], torch.arange(600))


def test_identifiers_are_no_cells() -> None:
    blocks = (Block(0, "softmax", 2, "missing", "id", True), Block(1, "scalar", 1, "value", "x"))
    spec = Spec((3,), kind="table", blocks=blocks)
    [cell] = cells_of(spec)
    assert (cell.column, cell.place, cell.size, cell.absent) == (1, 2, 1, None)
    assert torch.equal(Cells(spec).spread(torch.ones(1, 1)), torch.tensor([[0.0, 0.0, 1.0]]))
    with pytest.raises(BadOption, match="all of them are identifiers"):
        cells_of(Spec((2,), kind="table", blocks=blocks[:1]))
    with pytest.raises(BadOption, match="these samples are image: give a table"):
        cells_of(Spec((3, 8, 8)))


def test_draws_follow_the_chances() -> None:
    chances = torch.tensor([[0.5, 0.3, 0.2, 0.0]]).expand(20_000, -1)
    choices = torch.tensor([0, 0, 1, 1])
    guess = Guess(chances, choices, torch.tensor([[-1.0, 0.0, 0.5, 1.0]]), 0.1)
    u, v = torch.rand(2, 20_000, generator=torch.Generator().manual_seed(0))
    place, choice = guess.draw(u, v)
    assert choice.float().mean() == pytest.approx(0.2, abs=0.02)
    assert ((place - 0.5).abs() <= 0.0501)[choice == 1].all()
    assert (place < -0.9).float().mean() == pytest.approx(0.5, abs=0.02)
    assert place.min() == -1.0
    assert torch.equal(Guess(chances, choices).draw(u, v)[0], torch.zeros(20_000))


@pytest.mark.parametrize("filler", networks(), ids=["gain", "masked"])
def test_what_is_not_visible_has_no_influence(filler: Filler) -> None:
    visible = visible_half(filler)
    z = torch.rand(len(ROWS), filler.latent)
    hidden = filler.cells.spread((~visible).float())
    other = ROWS * (1.0 - hidden) + hidden * ROWS.flip(0)
    for one, two in zip(filler.guess(ROWS, visible, z), filler.guess(other, visible, z), strict=True):
        assert torch.allclose(one.chances, two.chances, atol=1e-6)
        assert torch.allclose(one.chances.sum(1), torch.ones(len(ROWS)), atol=1e-5)
        assert one.places is None or torch.allclose(one.places, two.places, atol=1e-6)


@pytest.mark.parametrize("filler", networks(), ids=["gain", "masked"])
def test_what_is_visible_stays_and_all_else_is_filled(filler: Filler) -> None:
    visible = visible_half(filler)
    u = torch.rand(len(ROWS), 3, len(filler.cells))
    made = filler(ROWS, visible, torch.rand(len(ROWS), filler.latent), u)
    own = filler.cells.spread(visible.float())
    assert torch.equal(made * own, ROWS * own)
    assert filler.cells.known(made).all()
    for piece, block in zip(SPEC.slices, SPEC.blocks, strict=True):
        if block.kind == "softmax":
            assert torch.equal(made[:, piece].sum(1), torch.ones(len(ROWS)))
        else:
            assert made[:, piece].abs().max() <= 1.0


def test_later_groups_see_what_earlier_ones_drew() -> None:
    filler, seen = masked(passes=3), []
    guess = filler.guess
    filler.guess = lambda rows, visible, z: (seen.append(visible.clone()), guess(rows, visible, z))[1]  # type: ignore[method-assign]
    visible = torch.zeros(len(ROWS), len(filler.cells), dtype=torch.bool)
    filler(ROWS, visible, torch.zeros(len(ROWS), 3), torch.rand(len(ROWS), 3, len(filler.cells)))
    assert len(seen) == 3
    assert not seen[0].any()
    assert (seen[1] <= seen[2]).all() and seen[1].any() and seen[2].sum() > seen[1].sum()


def test_the_mean_over_the_nearest_atoms_is_the_place() -> None:
    cells = Cells(SPEC)
    atoms = Atoms(cells, 12)
    place, choice = cells.place(ROWS), cells.choice(ROWS)
    first, second, share = atoms.near(place, choice)
    values = torch.stack([atoms.places.expand(len(ROWS), -1, -1).gather(2, index[..., None])[..., 0]
                          for index in (first, second)])  # fmt: skip
    assert torch.allclose(values[0] * (1 - share) + values[1] * share, place, atol=1e-6)
    for index in (first, second):
        assert torch.equal(atoms.choices.expand(len(ROWS), -1, -1).gather(2, index[..., None])[..., 0], choice)
    everything = torch.ones(len(ROWS), len(cells), dtype=torch.bool)
    assert torch.allclose(atoms.features(place, choice, everything).sum(1), torch.tensor(float(len(cells))))


def test_surprise_is_least_where_the_atoms_are_right() -> None:
    cells = Cells(SPEC)
    atoms = Atoms(cells, 12)
    place, choice = cells.place(ROWS), cells.choice(ROWS)
    features = atoms.features(place, choice, torch.ones(len(ROWS), len(cells), dtype=torch.bool))
    right, flat = (atoms.surprise(logits, place, choice) for logits in (features.log(), torch.zeros_like(features)))
    assert torch.isfinite(flat).all() and (flat > 0).all()
    entropy = -(features * features.clamp_min(1e-9).log()).sum(1)
    assert torch.allclose(right.nan_to_num().sum(1), entropy, atol=1e-3)


def test_draws_of_the_game_are_rows_with_gradients() -> None:
    filler = masked()
    logits = torch.randn(len(ROWS), filler.atoms.total, requires_grad=True)
    gumbel = -torch.log(-torch.log(torch.rand(logits.shape).clamp(1e-6, 1 - 1e-6)))
    made = filler.sample(logits, gumbel, torch.rand(len(ROWS), len(filler.cells)), 1.0)
    assert made.shape == ROWS.shape and made.abs().max() <= 1.0
    for cell in filler.cells.cells:
        if cell.choices.stop:
            assert torch.allclose(made[:, cell.choices].sum(1), torch.ones(len(ROWS)), atol=1e-5)
        if cell.absent is not None:
            assert not made[:, cell.absent].any()
    made.square().sum().backward()
    assert logits.grad is not None and logits.grad.abs().sum() > 0


def test_gain_is_the_papers_where_all_columns_are_numbers() -> None:
    frame = table()[["amount", "ratio"]].assign(count=1.0 * table()["count"])
    store = encoded(frame, scaling="range", kinds=dict.fromkeys(frame.columns, "continuous"))
    G, D = GainGenerator(store.encoding.spec), GainDiscriminator(store.encoding.spec)
    assert [layer.out_features for layer in G.body[::2]] == [3, 3, 3]  # type: ignore[union-attr]
    assert G.body[0].in_features == D.body[0].in_features == 6
    x = G.numbers(store.fetch(torch.arange(40))["row"])
    low, high = frame["ratio"].min(), frame["ratio"].max()
    expected = torch.tensor(((frame["ratio"] - low) / (high - low)).to_numpy(), dtype=torch.float32)
    assert torch.allclose(x[:, 1], expected, atol=1e-5)
    assert D(x, torch.zeros(40, 3)).shape == (40, 3)


def test_the_critic_sees_no_missing_cells() -> None:
    torch.manual_seed(0)
    D, visible = RowCritic(SPEC, width=8, blocks=1), visible_half(masked())
    judged = torch.zeros_like(visible)
    judged[:, 0] = ~visible[:, 0]
    other = ROWS + torch.randn_like(ROWS) * (1.0 - D.cells.spread((visible | judged).float()))
    assert torch.allclose(D(ROWS, visible, judged), D(other, visible, judged), atol=1e-5)
    assert D(ROWS, visible, judged).shape == (len(ROWS),)
