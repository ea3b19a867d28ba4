"""Architectures against torch.nn, and the layout of a stack."""

import pytest
import torch
import torch.nn.functional as F

from butterfly import models
from butterfly.models import Model
from butterfly.stack import blocks
from butterfly.streams import generator


def single(model, theta):
    return {name: tensor[0] for name, tensor in model.layout.tensors(theta[None]).items()}


def plain_cnn1d(p, x):
    for i in range(3):
        x = F.relu(F.conv1d(x, p[f"conv{i}.weight"], p[f"conv{i}.bias"], stride=2, padding=1))
    return x.flatten(1) @ p["head.weight"] + p["head.bias"]


def plain_resnet(p, x, blocks_a_stage):
    def norm(h, name):
        h = h.permute(0, 2, 3, 1)
        h = (h - h.mean(-1, keepdim=True)) / (h.std(-1, correction=0, keepdim=True) + 1e-7)
        return (h * p[f"{name}.gain"] + p[f"{name}.bias"]).permute(0, 3, 1, 2)

    h = F.relu(norm(F.conv2d(x, p["stem.weight"], padding=1), "stem.norm"))
    for stage in range(3):
        for block in range(blocks_a_stage):
            name, stride = f"stage{stage}.block{block}", 2 if stage and not block else 1
            skip = h
            if f"{name}.shortcut.weight" in p:
                skip = norm(F.conv2d(h, p[f"{name}.shortcut.weight"], stride=stride), f"{name}.shortcut.norm")
            h = F.relu(norm(F.conv2d(h, p[f"{name}.conv0.weight"], stride=stride, padding=1), f"{name}.norm0"))
            h = F.relu(norm(F.conv2d(h, p[f"{name}.conv1.weight"], padding=1), f"{name}.norm1") + skip)
    return h.mean((2, 3)) @ p["head.weight"] + p["head.bias"]


def test_cnn1d_and_resnet_agree_with_torch():
    cnn = models.build("cnn1d-7", (1, 40), 10)
    resnet = models.build("resnet14-4", (3, 8, 8), 10)
    for model, plain in ((cnn, plain_cnn1d), (resnet, lambda p, x: plain_resnet(p, x, 2))):
        theta = model.init([1, 2, 3]) + 0.05 * torch.randn(3, model.layout.size, generator=generator("t"))
        x = torch.randn(5, *model.input_shape, generator=generator("x"))
        ours = model.logits(theta, x)
        theirs = torch.stack([plain(single(model, row), x) for row in theta])
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_pixels_without_contrast_have_finite_gradients():
    """Rotation leaves corners of exactly 0, where a plain square root has an infinite slope."""
    model = models.build("resnet8-4", (3, 8, 8), 10)
    x = torch.randn(2, 5, 3, 8, 8, generator=generator("x"))
    x[:, :, :, :4] = 0
    gradient = model.gradient(model.init([1, 2]), x, lambda logits: logits.square().sum())
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


def test_grouped_convolution_equals_one_after_another(monkeypatch):
    """The path a GPU takes, on the CPU."""
    from butterfly import stack

    x, w = torch.randn(3, 2, 4, 6, 6), torch.randn(3, 5, 4, 3, 3)
    one_by_one = stack.conv(x, w, stride=2, padding=1)

    class Elsewhere:
        type = "cuda"

    monkeypatch.setattr(torch.Tensor, "device", property(lambda self: Elsewhere()), raising=False)
    grouped = stack.conv(x, w, stride=2, padding=1)
    monkeypatch.undo()
    torch.testing.assert_close(grouped, one_by_one)


@pytest.mark.parametrize(("depth", "width", "classes"), [(1, 8, 3), (3, 16, 10), (2, 24, 20)])
def test_the_written_out_gradient_equals_autograd(depth, width, classes):
    model = models.build(f"mlp-{depth}x{width}", (1, 12), classes)
    theta, x = model.init([1, 2, 3]), torch.randn(3, 6, 1, 12, generator=generator("g"))
    y = torch.arange(6) % classes

    def loss(logits):
        return F.cross_entropy(logits.flatten(0, 1), y.repeat(3), reduction="sum") / 6

    written, automatic = model.gradient(theta, x, loss), Model.gradient(model, theta, x, loss)
    torch.testing.assert_close(written, automatic, rtol=1e-5, atol=1e-6)
    assert automatic.abs().max() > 1e-3


def test_the_smooth_network_has_gelu_where_the_other_has_relu():
    smooth = models.build("mlp-2x16-gelu", (1, 12), 3)
    theta, x = smooth.init([1]), torch.randn(6, 1, 12, generator=generator("g"))
    p = single(smooth, theta[0])
    h = x.flatten(1)
    for i in range(2):
        h = F.gelu(h @ p[f"linear{i}.weight"] + p[f"linear{i}.bias"])
    torch.testing.assert_close(smooth.logits(theta, x)[0], h @ p["linear2.weight"] + p["linear2.bias"])
    assert torch.equal(theta, models.build("mlp-2x16", (1, 12), 3).init([1]))


def test_parameter_counts_of_the_paper():
    """Counts and expected norms of the Butterfly paper's networks (its code: E^2 = 2 * sum of output channels)."""
    for name, count, norm in (("resnet20-32", 1_084_586, 56.18), ("resnet8-64", 1_227_594, 52.04)):
        model = models.build(name, (3, 32, 32), 10)
        assert model.layout.count == count
        kicked = model.layout.scale[model.layout.select()]
        assert kicked.norm().item() == pytest.approx(norm, abs=0.005)


def test_initialisation_is_kaiming_normal_and_belongs_to_the_seed():
    model = models.build("mlp-2x256", (1, 64), 10)
    p = model.layout.tensors(model.init([1, 2]))
    assert p["linear1.weight"].std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.02)
    assert not p["linear1.bias"].any()
    assert torch.equal(model.init([2])[0], model.init([1, 2])[1])
    assert not torch.equal(*model.init([1, 2]))


def test_layout_round_trip_and_padding():
    model = models.build("mlp-1x5", (1, 3), 2)
    layout = model.layout
    assert layout.count == 3 * 5 + 5 + 5 * 2 + 2
    assert layout.size % 16 == 0
    theta = model.init([1, 2])
    assert torch.equal(layout.stack(layout.tensors(theta)), theta)
    assert not theta[:, layout.count :].any()
    layout.tensors(theta)["linear0.bias"][1] = 7.0
    assert (theta[1] == 7.0).sum() == 5


def test_selection_by_layer_and_kind():
    layout = models.build("resnet8-4", (3, 8, 8), 10).layout
    weights = sum(p.numel for p in layout.parameters if p.kind == "weight")
    assert layout.select().sum() == weights
    assert layout.select(norms_and_biases=True).sum() == layout.count
    assert layout.select(("head.*",), norms_and_biases=True).sum() == 16 * 10 + 10
    with pytest.raises(ValueError, match="no parameter matches"):
        layout.select(("haed.*",))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mlp", "unknown model"),
        ("resnet9-16", "depth 6n"),
        ("mlp-0x4", "size of 0"),
        ("cnn1d-4", "does not fit"),
    ],
)
def test_impossible_models_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, (3, 8, 8), 10)


def test_activations_count_what_a_forward_pass_keeps():
    """Within a factor of two of what autograd saves, except for what all members share."""
    for name, shape in (("mlp-3x64", (1, 40)), ("cnn1d-25", (1, 40)), ("resnet14-8", (3, 16, 16))):
        model, saved = models.build(name, shape, 10), {}

        def keep(tensor, saved=saved):
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // 4
            return tensor

        leaves = {k: v.requires_grad_() for k, v in model.layout.tensors(model.init([0])).items()}
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model.forward(leaves, torch.randn(1, 50, *shape))
        ratio = (sum(saved.values()) - model.layout.size) / (50 * model.activations)
        assert 0.4 < ratio < 2.0, (name, ratio)


def test_blocks_cover_everything_evenly():
    for members in (1, 5, 64, 65, 130):
        cut = blocks(members, 64)
        assert [i for rows in cut for i in range(members)[rows]] == list(range(members))
        sizes = [rows.stop - rows.start for rows in cut]
        assert max(sizes) <= 64
        assert max(sizes) - min(sizes) <= 1
