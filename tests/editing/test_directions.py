"""Directions: found where they were put, applied, kept, refused elsewhere."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.editing.generators import PLAIN, STYLED, make
from zerosum.core.errors import BadData, BadFile, BadOption
from zerosum.editing import attributes, directions, points, sefa
from zerosum.editing.ganspace import ganspace, principal


@pytest.mark.parametrize("system", STYLED)
def test_every_layer_has_style_maps(system: str) -> None:
    generator = make(system)
    maps = sefa.style_maps(generator)
    assert {layer for layer, _ in maps} == set(range(points.layers_of(generator)))
    w = points.drawn(generator, [1]).w
    affine = [module for name, module in generator.named_modules() if name.endswith(".affine")]
    layer, weight = maps[-1]
    module = affine[[len(m.bias) for m in affine].index(len(weight))] if system == "stylegan3" else affine[-1]
    if system == "stylegan2":
        expected = module(w[:, layer]) - module(torch.zeros_like(w[:, layer]))
        assert torch.allclose(w[:, layer] @ weight.T, expected, atol=1e-5)


def test_sefa_finds_what_was_planted() -> None:
    generator = make("stylegan2")
    size = points.size_of(generator)
    planted = torch.nn.functional.normalize(torch.arange(1.0, size + 1), dim=0)
    for name, parameter in generator.named_parameters():
        if name.endswith("affine.weight"):
            parameter.data += 20 * torch.randn(len(parameter), 1) * planted
    found = sefa.sefa(generator, 2, samples=100)
    assert abs(float(found.vectors[0] @ planted)) > 0.99
    assert torch.allclose(found.vectors @ found.vectors.T, torch.eye(2), atol=1e-5)
    assert found.facts["share"][0] > found.facts["share"][1]


def test_sefa_on_chosen_layers_moves_those_only() -> None:
    generator = make("stylegan2")
    found = sefa.sefa(generator, 1, layers=[0, 1], samples=100)
    start = points.drawn(generator, [1])
    after = directions.moved(start, found, 0, [2.0]).w
    assert torch.equal(after[:, 2:], start.w[:, 2:]) and not torch.equal(after[:, :2], start.w[:, :2])
    others = sefa.sefa(generator, 1, layers=[4, 5], samples=100)
    assert abs(float(others.vectors[0] @ found.vectors[0])) < 0.999


@pytest.mark.parametrize("system", PLAIN)
def test_sefa_of_plain_generators_is_that_of_the_first_layer(system: str) -> None:
    generator = make(system)
    [first], _ = sefa.entries(generator)
    weight = sefa.latent_matrix(generator)
    assert weight.shape[1] == generator.latent.size
    assert torch.allclose(weight, first.weight[:, : generator.latent.size], atol=1e-5)
    found = sefa.sefa(generator, 1, samples=100)
    strongest = (weight @ found.vectors[0]).norm()
    others = torch.nn.functional.normalize(torch.randn(50, generator.latent.size), dim=1)
    assert (strongest >= (weight @ others.T).norm(dim=0) - 1e-5).all()


def test_the_label_is_not_taken_for_z() -> None:
    generator = make("r3gan", conditional=True)
    assert sefa.entries(generator)[0] == [generator.network.project]
    assert len(sefa.sefa(generator, 2, samples=100)) == 2


def test_ganspace_is_the_principal_components_of_w() -> None:
    generator = make("stylegan2")
    w = points.population(generator, 500).w[:, 0]
    found = ganspace(generator, 3, samples=500)
    _, _, v = torch.linalg.svd(w - w.mean(0), full_matrices=False)
    assert torch.allclose((found.vectors * v[:3]).sum(1).abs(), torch.ones(3), atol=1e-3)
    assert torch.allclose(found.scales, ((w - w.mean(0)) @ found.vectors.T).std(0), atol=1e-5)


@pytest.mark.parametrize("system", PLAIN)
def test_ganspace_of_plain_generators(system: str) -> None:
    generator = make(system)
    one, again = (ganspace(generator, 2, samples=300, seed=1) for _ in range(2))
    assert torch.equal(one.vectors, again.vectors) and one.vectors.shape == (2, generator.latent.size)
    assert one.facts["share"][0] >= one.facts["share"][1] > 0


def test_principal_components_of_many_numbers_are_those_of_few() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 3) @ torch.diag(torch.tensor([9.0, 4.0, 1.0])) @ torch.randn(3, 1500) + 0.01 * torch.randn(
        200, 1500
    )
    state = torch.random.get_rng_state()
    vectors, shares = principal(x, 3, seed=0)
    assert torch.equal(state, torch.random.get_rng_state())
    _, s, v = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    assert torch.allclose((vectors * v[:3]).sum(1).abs(), torch.ones(3), atol=1e-3)
    assert torch.allclose(shares, s[:3].square() / s.square().sum(), atol=1e-3)


def test_the_sign_is_fixed() -> None:
    vectors = torch.tensor([[0.1, -0.9, 0.2], [0.5, 0.2, 0.1]])
    assert torch.equal(directions.signed(vectors), directions.signed(-vectors))
    assert directions.signed(vectors)[0, 1] == 0.9


def test_moved_by_deviations() -> None:
    generator = make("wgan_gp")
    found = sefa.sefa(generator, 2, samples=2000)
    assert torch.allclose(found.scales, torch.ones(2), atol=0.06)  # of a standard normal z
    start = points.drawn(generator, [1, 2])
    after = directions.moved(start, found, 1, [-2, 0, 2])
    assert len(after) == 6
    assert torch.equal(after.w[[1, 4]], start.w)
    assert torch.allclose(after.w[2] - after.w[0], 4 * found.scales[1] * found.vectors[1], atol=1e-5)


# -- attributes ------------------------------------------------------------------------------------------------------


def cloud(n: int = 1500, size: int = 12) -> torch.Tensor:
    return torch.randn(n, size, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.2, 3, size)


def test_a_score_that_is_linear_in_w_is_found() -> None:
    w = cloud()
    truth = torch.nn.functional.normalize(torch.ones(12), dim=0)
    score = 3 * w @ truth + 0.3 * torch.randn(len(w), generator=torch.Generator().manual_seed(1)) + 5
    found = attributes.attribute(w, {"age": score}, "age")
    assert float(found.vectors[0] @ truth) > 0.98
    assert found.facts["quality"]["age"]["R2"] > 0.95
    labels = (score > score.median()).float()
    two = attributes.attribute(w, {"old": labels}, "old")
    assert float(two.vectors[0] @ truth) > 0.9 and two.facts["quality"]["old"]["AUC"] > 0.95


def test_noise_is_not_said_to_be_a_direction() -> None:
    w = cloud()
    score = torch.randn(len(w), generator=torch.Generator().manual_seed(2))
    assert attributes.fit(w, score, "noise").quality < 0.05
    assert abs(attributes.fit(w, (score > 0).float(), "noise").quality - 0.5) < 0.1


def test_conditional_directions_leave_the_others_alone() -> None:
    w = cloud()
    first, second = torch.zeros(12), torch.zeros(12)
    first[5], second[5], second[6] = 1.0, 0.6, 0.8
    scores = {"age": w @ first, "grey": w @ second}
    plain = attributes.attribute(w, scores, "age")
    kept = attributes.attribute(w, scores, "age", keep=["grey"])
    assert abs(float(plain.vectors[0] @ second)) > 0.5
    assert abs(float(kept.vectors[0] @ second)) < 0.02
    assert kept.facts["cosine_with_own"] < 0.9 and set(kept.facts["quality"]) == {"age", "grey"}
    against = attributes.attribute(w, scores, "age", others=second[None])
    assert abs(float(against.vectors[0] @ second)) < 1e-5


def test_a_callable_scores_the_images_of_points() -> None:
    generator = make("stylegan2")
    where = points.population(generator, 60)
    found = attributes.scored(generator, where, lambda images: images.mean(dim=(1, 2, 3)))
    assert torch.allclose(found, points.images_of(generator, where).mean(dim=(1, 2, 3)), atol=1e-5)
    with pytest.raises(BadData, match=r"the score of 60 images must have the shape \(60,\)"):
        attributes.scored(generator, where, lambda images: images.mean(dim=(2, 3)))


def test_the_direction_of_brightness_makes_images_brighter() -> None:
    generator = make("stylegan2")
    where = points.population(generator, 400)
    score = attributes.scored(generator, where, lambda images: images.mean(dim=(1, 2, 3)))
    found = attributes.attribute(where.w, {"light": score}, "light")
    moved = directions.moved(points.drawn(generator, [1, 2, 3]), found, 0, [-2, 0, 2])
    light = points.images_of(generator, moved).mean(dim=(1, 2, 3)).view(3, 3)
    assert (light.diff(dim=1) > 0).all()


# -- files -----------------------------------------------------------------------------------------------------------


def test_saved_and_loaded(tmp_path: Path) -> None:
    generator, path = make("stylegan2"), tmp_path / "d.safetensors"
    found = sefa.sefa(generator, 3, layers=[1, 2], samples=100)
    directions.save(found, generator, path)
    loaded = directions.load(path, generator)
    assert torch.equal(loaded.vectors, found.vectors) and torch.equal(loaded.scales, found.scales)
    assert (loaded.names, loaded.layers, loaded.method) == (found.names, (1, 2), "sefa")
    assert loaded.facts == found.facts
    assert loaded.only(1).names == ("sefa-1",) and loaded.find("2") == 2 and loaded.find("sefa-1") == 1


def test_errors_by_their_text(tmp_path: Path) -> None:
    generator, path = make("stylegan2"), tmp_path / "d.safetensors"
    found = sefa.sefa(generator, 2, samples=100)
    directions.save(found, generator, path)
    with pytest.raises(BadFile, match="made for another generator"):
        directions.load(path, make("stylegan2", seed=1))
    points.save(points.drawn(generator, [1]), generator, path)
    with pytest.raises(BadFile, match="holds points, not directions"):
        directions.load(path, generator)
    points.write(path, "directions", {"vectors": found.vectors}, {"generator": points.fingerprint(generator)})
    with pytest.raises(BadFile, match="does not hold whole directions"):
        directions.load(path, generator)
    with pytest.raises(BadOption, match="there is no direction 'smile' among the 2: sefa-0, sefa-1"):
        found.find("smile")
    start = points.drawn(generator, [1])
    for strengths in ([], [math.nan], [math.inf]):
        with pytest.raises(BadOption, match="are not finite numbers"):
            directions.moved(start, found, 0, strengths)
    with pytest.raises(BadOption, match="the direction has 8 components, these points have 5"):
        directions.moved(points.Points(torch.zeros(1, 5)), found, 0, [1])
    with pytest.raises(BadOption, match="9 directions were asked for; w has 8 components"):
        sefa.sefa(generator, 9, samples=100)
    for method in (sefa.sefa, ganspace):
        with pytest.raises(BadOption, match="no layers with a w of their own"):
            method(make("dcgan"), 1, layers=[0])
    with pytest.raises(BadOption, match="nothing is left of it"):
        directions.orthogonal(torch.tensor([1.0, 0.0]), torch.eye(2))


@pytest.mark.parametrize(
    ("scores", "complaint"),
    [
        (torch.zeros(100), "is 0 for all samples"),
        (torch.full((100,), math.nan), "not finite, the first at sample 0"),
        (torch.zeros(99), r"100 points need 100 scores of 'age'; \(99,\) were given"),
        (torch.tensor([1.0] + [0.0] * 99), "too few samples of one of its two values"),
    ],
)
def test_scores_that_say_nothing(scores: torch.Tensor, complaint: str) -> None:
    with pytest.raises(BadData, match=complaint):
        attributes.attribute(cloud(100), {"age": scores}, "age")


def test_few_samples_and_unknown_names() -> None:
    with pytest.raises(BadData, match="5 scored samples are too few"):
        attributes.attribute(cloud(5), {"age": torch.arange(5.0)}, "age")
    with pytest.raises(BadOption, match="no score called 'sex'; there are age"):
        attributes.attribute(cloud(), {"age": cloud()[:, 0]}, "age", keep=["sex"])


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("-3..3", [-3, -2, -1, 0, 1, 2, 3]), ("-3..3:3", [-3, 0, 3]), ("0..1:5", [0, 0.25, 0.5, 0.75, 1]),
        ("-2,0,2.5", [-2, 0, 2.5]),
    ],
)  # fmt: skip
def test_strengths(text: str, values: list[float]) -> None:
    assert directions.parse_strengths(text) == values


@pytest.mark.parametrize("text", ["", "strong", "1..", "-3..3:1", "-3..3:x", "1,2:3", "nan", "0..inf", "1..2..3"])
def test_strengths_that_are_none(text: str) -> None:
    with pytest.raises(BadOption, match=r"give a range \(-3..3, or -3..3:7 for 7 pictures\) or numbers"):
        directions.parse_strengths(text)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "has no rows"),
        ("name,age\na,1\n", "needs a column `file` or `sample`, and one with scores; it has name, age"),
        ("file\n000001.png\n", "one with scores"),
        ("file,age\n000001.png,old\n", "line 2: could not convert string to float: 'old'"),
        ("file,age\nphoto.png,1\n", "line 2: invalid literal"),
        ("sample,age\n1\n", "line 2"),
        ("sample,age\n-1,5\n", "scores sample -1"),
    ],
)
def test_score_files_that_cannot_be_used(content: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(content)
    with pytest.raises(BadFile, match=complaint):
        attributes.read_scores(tmp_path / "s.csv")


def test_score_files(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("file,age,grey\nsamples/000002.png,30,0\n000000.png,40.5,1\n")
    rows, scores = attributes.read_scores(tmp_path / "s.csv")
    assert rows == [2, 0] and scores["age"].tolist() == [30, 40.5] and scores["grey"].tolist() == [0, 1]
    with pytest.raises(BadFile, match="cannot be read as CSV"):
        attributes.read_scores(tmp_path / "none.csv")
