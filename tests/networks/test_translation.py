"""Networks of translation and super-resolution: sizes, precision, features, errors, and what the papers say of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zerosum.core.errors import BadOption
from zerosum.networks import rrdb, spade, srdiscriminator, translator
from zerosum.networks.encoder import Encoder
from zerosum.networks.patch import MultiScale, Patch, Pixel
from zerosum.networks.spectral import SpectralNorm
from zerosum.networks.translator import Double, Halve, InstanceNorm, Mirror, ResNet, SampleNorm, to_multiple
from zerosum.networks.unet import UNet

SHAPES = [(1, 8, 8), (4, 30, 17), (3, 48, 32)]


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def size(c: int, h: int, w: int) -> str:
    return f"{c}x{h}x{w}"


NETWORKS: dict[str, Callable[[tuple[int, int, int]], nn.Module]] = {
    "resnet": lambda s: ResNet(s, s, width=4, blocks=2, dropout=True),
    "resnet, filters": lambda s: ResNet(s, s, width=4, blocks=2, norm=nn.BatchNorm2d, antialias=True),
    "unet": lambda s: UNet(s, s, width=4, depth=3, dropout=True),
    "unet, instances": lambda s: UNet(s, s, width=4, depth=3, norm=InstanceNorm),
    "unet, samples": lambda s: UNet(s, s, width=4, depth=3, norm=SampleNorm),
    "spade": lambda s: spade.Generator(s[0], s, width=2, latent=0),
    "rrdb x1": lambda s: rrdb.RRDBNet(s[0], scale=1, features=8, blocks=1, growth=4),
    "rrdb x2": lambda s: rrdb.RRDBNet(s[0], scale=2, features=8, blocks=1, growth=4),
    "rrdb x4": lambda s: rrdb.RRDBNet(s[0], features=8, blocks=2, growth=4),
    "rrdb x8": lambda s: rrdb.RRDBNet(s[0], scale=8, features=8, blocks=1, growth=4),
    "srresnet x3": lambda s: rrdb.SRResNet(s[0], scale=3, features=8, blocks=1),
    "srresnet x4": lambda s: rrdb.SRResNet(s[0], features=8, blocks=2),
    "pixel": lambda s: Pixel(s[0], width=4, norm=InstanceNorm),
    "u-net discriminator": lambda s: srdiscriminator.UNet(s[0], width=4),
    "u-net discriminator, no skips": lambda s: srdiscriminator.UNet(s[0], width=4, skips=False),
}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: size(*s))
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_any_size_any_precision_and_gradients_for_all(
    name: str, shape: tuple[int, int, int], precision: torch.dtype
) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name](shape).to(memory_format=torch.channels_last)
    x = noise(2, *shape).contiguous(memory_format=torch.channels_last).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        y = network(x)
    scale = int(name[-1]) if " x" in name else 1
    made = 1 if "discriminator" in name or name == "pixel" else shape[0]
    assert y.shape == (2, made, scale * shape[1], scale * shape[2])
    (y.float() * noise(*y.shape)).sum().backward()
    for parameter in network.parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all()
    assert torch.isfinite(y).all() and x.grad is not None and x.grad.abs().sum() > 0
    assert sum(float(p.grad.abs().sum()) > 0 for p in network.parameters()) > len(list(network.parameters())) / 2


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "pixel"])
def test_mirrored_and_cropped_sizes_do_not_change_the_others(name: str) -> None:
    """What is left of an image that is no multiple is what the mirrored image gives there."""
    torch.manual_seed(0)
    network, x = NETWORKS[name]((3, 30, 18)).eval(), noise(1, 3, 30, 18)
    scale = int(name[-1]) if " x" in name else 1
    multiple = {"rrdb x1": 4, "rrdb x2": 2, "spade": 4}.get(name, 1 if scale > 1 else 4 if name[0] == "r" else 8)
    y, whole = network(x), network(to_multiple(x, multiple))
    torch.testing.assert_close(y, whole[:, :, : 30 * scale, : 18 * scale])


def test_mirroring_up_to_a_multiple() -> None:
    x = torch.arange(3.0).view(1, 1, 1, 3)
    assert to_multiple(x, 8)[0, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert to_multiple(x, 8).shape == (1, 1, 8, 8)
    assert to_multiple(x, 1) is x
    y = noise(1, 2, 5, 7)
    assert torch.equal(to_multiple(y, 8), F.pad(y, (0, 1, 0, 3), mode="reflect"))


@pytest.mark.parametrize("n", [1, 3])
def test_instance_norm_keeps_the_layout_and_is_pytorchs(n: int) -> None:
    x = noise(n, 5, 6, 7).contiguous(memory_format=torch.channels_last).requires_grad_()
    mine, wanted, weight = InstanceNorm(5)(x), F.instance_norm(x), noise(n, 5, 6, 7)
    assert mine.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(mine, wanted)
    [one], [other] = (torch.autograd.grad((y * weight).sum(), x, retain_graph=True) for y in (mine, wanted))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("n", [1, 3])
def test_sample_norm_is_batch_norm_of_one_sample(n: int) -> None:
    mine, theirs = SampleNorm(5), nn.BatchNorm2d(5)
    with torch.no_grad():
        mine.weight.copy_(noise(5)), mine.bias.copy_(noise(10)[5:])
    theirs.load_state_dict(mine.state_dict(), strict=False)
    x = noise(n, 5, 6, 7).requires_grad_()
    made, wanted = mine.eval()(x), torch.cat([theirs(one) for one in x.split(1)])
    torch.testing.assert_close(made, wanted)
    torch.testing.assert_close(mine.scaled(F.group_norm(x, 5)), wanted)  # what GPUs use instead
    found = torch.autograd.grad(made.sin().sum(), [x, *mine.parameters()])
    torch.testing.assert_close(found, torch.autograd.grad(wanted.sin().sum(), [x, *theirs.parameters()]))


def test_filters_are_what_they_are_called() -> None:
    x = noise(2, 3, 9, 12)
    line = torch.tensor([0.25, 0.5, 0.25])
    weight = torch.outer(line, line).expand(3, 1, 3, 3)
    halved = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight, stride=2, groups=3)
    torch.testing.assert_close(Halve()(x), halved)
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    doubled = F.conv_transpose2d(wide, torch.outer(taps, taps).expand(3, 1, 4, 4), stride=2, groups=3)[..., 3:-3, 3:-3]
    torch.testing.assert_close(Double()(x), doubled)
    torch.testing.assert_close(Mirror(3)(x), F.pad(x, (3, 3, 3, 3), mode="reflect"))


def test_what_gpus_use_instead_is_the_same() -> None:
    x = noise(2, 3, 7, 10)
    torch.testing.assert_close(translator._mirror(translator._mirror(x, 3, 2), 3, 3), Mirror(3)(x), rtol=0, atol=0)
    rows = translator._double(translator._double(x.permute(0, 2, 3, 1), 1), 2).permute(0, 3, 1, 2)
    torch.testing.assert_close(rows, Double()(x))
    torch.testing.assert_close(F.group_norm(x, 3), InstanceNorm(3)(x))


def millions(network: nn.Module) -> float:
    return round(sum(p.numel() for p in network.parameters()) / 1e6, 3)


def test_defaults_are_as_large_as_the_authors_networks() -> None:
    s = (3, 256, 256)
    with torch.device("meta"):
        assert millions(ResNet(s, s)) == millions(ResNet(s, s, antialias=True)) == 11.378
        assert millions(UNet(s, s)) == 54.414
        assert millions(Patch(3, norm=InstanceNorm)) == 2.765 and millions(Patch(6)) == 2.769
        assert millions(UNet(s, s, norm=SampleNorm)) == 54.414 and millions(Patch(6, norm=SampleNorm)) == 2.769
        assert millions(rrdb.RRDBNet(3)) == 16.698
    assert millions(rrdb.SRResNet(3)) == 1.547
    assert millions(srdiscriminator.UNet(3)) == 4.377
    assert sum(p.numel() for p in spade.Generator(4, s, width=1, latent=2).blocks[-1].conv2.parameters()) == 10


def test_spade_has_the_papers_stages_at_256_px() -> None:
    G = spade.Generator(4, (3, 256, 256), width=1, latent=3)
    assert G.grid == (4, 4)
    assert [block.conv2.out_channels for block in G.blocks] == [16, 16, 16, 8, 4, 2, 1]
    assert [isinstance(block.skip, nn.Conv2d) for block in G.blocks] == [False] * 3 + [True] * 4
    assert sum(isinstance(module, SpectralNorm) for module in G.modules()) == 2 * 7 + 4


def test_spade_follows_map_and_latent() -> None:
    torch.manual_seed(0)
    G, z = spade.Generator(3, (1, 20, 12), width=2, latent=4).eval(), noise(2, 4)
    labels = F.one_hot(torch.arange(240).view(1, 20, 12) % 3, 3).permute(0, 3, 1, 2).float().expand(2, -1, -1, -1)
    image = G(labels, z)
    assert image.shape == (2, 1, 20, 12)
    assert not torch.equal(image[0], image[1]) and not torch.equal(image, G(labels.roll(1, 1), z))
    with pytest.raises(BadOption, match="20 x 12 pixels was given a map of 12 x 20"):
        G(labels.transpose(2, 3), z)


def test_spade_by_its_equation() -> None:
    torch.manual_seed(0)
    layer, x, labels = spade.SPADE(4, 2, InstanceNorm), noise(2, 4, 5, 6), noise(2, 2, 5, 6)
    made = layer.modulate(F.relu(layer.hidden(labels)))
    torch.testing.assert_close(layer(x, labels), F.instance_norm(x) * (1 + made[:, :4]) + made[:, 4:])


@pytest.mark.parametrize("network", [ResNet, UNet])
def test_latents_are_constant_channels(network: type[ResNet] | type[UNet]) -> None:
    torch.manual_seed(0)
    depth = {"depth": 3} if network is UNet else {"blocks": 1}
    G = network((3, 16, 24), (2, 16, 24), width=4, latent=5, **depth).eval()
    x, z = noise(2, 3, 16, 24), noise(2, 5)
    plain = network((8, 16, 24), (2, 16, 24), width=4, **depth).eval()
    plain.load_state_dict(G.state_dict())
    torch.testing.assert_close(G(x, z), plain(torch.cat([x, z[:, :, None, None].expand(-1, -1, 16, 24)], 1)))
    with pytest.raises(BadOption, match="16 x 24 pixels, its target 24 x 16"):
        network((3, 16, 24), (3, 24, 16))


@pytest.mark.parametrize("norm", [InstanceNorm, nn.Identity])
@pytest.mark.parametrize("antialias", [False, True])
def test_features_are_those_of_the_layers(norm: translator.Norm, antialias: bool) -> None:
    torch.manual_seed(0)
    G, x = ResNet((3, 32, 32), (3, 32, 32), width=4, blocks=6, norm=norm, antialias=antialias), noise(1, 3, 32, 32)
    assert G.encoder_layers == ((0, 4, 8, 12, 16) if antialias else (0, 4, 7, 10, 14))
    kept = dict[int, Tensor]()
    for number, layer in enumerate(G.layers):
        layer.register_forward_hook(lambda _, __, y, number=number: kept.update({number: y.clone()}))
    G(x)
    wanted, asked = dict(kept), [*G.encoder_layers[::-1], 1, 2, 5]
    kept.clear()
    found = G.features(x, asked)
    assert max(kept) == max(asked)
    for number, feature in zip(asked, found, strict=True):
        torch.testing.assert_close(feature, wanted[number])
    torch.testing.assert_close(G.features(x, [0])[0], F.pad(x, (3, 3, 3, 3), mode="reflect"))
    torch.testing.assert_close(G.features(x, [1])[0], G.layers[1](G.layers[0](x)))
    torch.testing.assert_close(G.features(x, [len(G.layers) - 1])[0], G(x))
    with pytest.raises(BadOption, match=rf"layers 0, 99 .* it has 0 to {len(G.layers) - 1}"):
        G.features(x, [0, 99])


@pytest.mark.parametrize("depth, layers", [(2, 1), (3, 2), (5, 3), (8, 3)])
def test_the_three_innermost_layers_of_the_decoder_are_dropped(
    depth: int, layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = list[int]()
    monkeypatch.setattr(F, "dropout", lambda y, *_: sides.append(y.shape[2]) or y)
    side = 2**depth
    UNet((1, side, side), (1, side, side), width=1, depth=depth, dropout=True)(noise(1, 1, side, side))
    assert sides == [2, 4, 8][:layers]


def test_dropout_is_the_u_nets_only_noise_and_may_stay() -> None:
    torch.manual_seed(0)
    G, x = UNet((3, 32, 32), (3, 32, 32), width=4, depth=5, dropout=True), noise(2, 3, 32, 32)
    assert torch.equal(G.eval()(x), G(x))
    G.noisy = True
    assert not torch.equal(G(x), G(x))
    with pytest.raises(BadOption, match="at least twice, not 1 times"):
        UNet((3, 32, 32), (3, 32, 32), depth=1)


def test_a_logit_sees_70_pixels() -> None:
    D, x = Patch(3, width=2, norm=nn.Identity), torch.zeros(1, 3, 128, 128, requires_grad=True)
    logits = D(x)
    assert logits.shape == (1, 1, 14, 14)
    logits[0, 0, 7, 7].backward()
    seen = x.grad.abs().sum(1)[0]
    assert (seen.sum(0) > 0).sum() == (seen.sum(1) > 0).sum() == 70


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_patches_give_their_features_and_refuse_what_is_too_small(layers: int, antialias: bool) -> None:
    torch.manual_seed(0)
    D = Patch(2, width=2, layers=layers, norm=InstanceNorm, antialias=antialias)
    features = D.features(noise(2, 2, D.smallest, D.smallest + 9))
    assert len(features) == layers + 2 and features[-1].shape[:3] == (2, 1, 1)
    with pytest.raises(BadOption, match=f"{layers} layers needs at least {D.smallest} x"):
        D(noise(2, 2, D.smallest, D.smallest - 1))


def test_several_scales_are_judged_each_by_its_own() -> None:
    torch.manual_seed(0)
    D, x = MultiScale(3, scales=3, width=2, layers=2, norm=InstanceNorm), noise(2, 3, 64, 50)
    logits, features = D(x), D.features(x)
    assert [len(f) for f in features] == [4, 4, 4]
    half = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    torch.testing.assert_close(logits[1], D.scales[1](half))
    assert all(torch.equal(one, two[-1]) for one, two in zip(logits, features, strict=True))
    with torch.autocast("cpu", torch.bfloat16):
        assert {y.dtype for y in D(x)} == {torch.float32}


@pytest.mark.parametrize("shape", [(3, 96, 96), (1, 33, 50), (4, 16, 16)], ids=lambda s: size(*s))
@pytest.mark.parametrize("levels, kernel", [(4, 3), (3, 4)])
def test_strided_discriminators_take_any_patch(shape: tuple[int, int, int], levels: int, kernel: int) -> None:
    D = srdiscriminator.VGG(shape, width=2, levels=levels, kernel=kernel, hidden=5)
    assert D(noise(3, *shape)).shape == (3,)
    with pytest.raises(BadOption, match=r"5 levels .* on 16 x 96 pixels: .* at least 32"):
        srdiscriminator.VGG((3, 16, 96), levels=5)


def test_encoders_halve_to_about_8_pixels() -> None:
    torch.manual_seed(0)
    for side, blocks in ((256, 5), (128, 4), (64, 3)):
        with torch.device("meta"):
            assert len(Encoder((3, side, side), 8).blocks) == blocks - 1
    E = Encoder((1, 30, 17), 6, width=4)
    mean, log_variance = E(noise(2, 1, 30, 17))
    assert mean.shape == log_variance.shape == (2, 6) and mean.dtype == torch.float32
    (mean.sum() + log_variance.sum()).backward()
    assert all(p.grad is not None for p in E.parameters())
    with pytest.raises(BadOption, match="cannot halve images of 30 x 17 pixels 5 times"):
        Encoder((1, 30, 17), 6, blocks=5)


def test_scales_that_there_are_not_are_refused() -> None:
    for scale in (0, 3, 5, -2):
        with pytest.raises(BadOption, match=f"power of 2, not by {scale}"):
            rrdb.RRDBNet(3, scale=scale, blocks=1)
    for scale in (0, 1, 5, 6):
        with pytest.raises(BadOption, match=f"power of 2, not by {scale}"):
            rrdb.SRResNet(3, scale=scale, blocks=1)


def test_weights_begin_as_the_papers_say() -> None:
    torch.manual_seed(0)
    G = ResNet((3, 64, 64), (3, 64, 64), width=16, blocks=1, norm=nn.BatchNorm2d)
    assert G.layers[7].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert G.layers[8].weight.mean().item() == pytest.approx(1.0, abs=0.01)
    assert not G.layers[-2].bias.any()
    conv = rrdb.RRDBNet(3, blocks=1).blocks[0].dense[0].convs[0]
    assert conv.weight.std().item() == pytest.approx(0.1 * (2 / (64 * 9)) ** 0.5, rel=0.05) and not conv.bias.any()
