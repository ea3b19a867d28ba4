"""Architectures against torch.nn, and the layout of a stack."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from butterfly import models
from butterfly.models import Model
from butterfly.perturb import Kick, displacement
from butterfly.stack import blocks, conv
from butterfly.streams import generator


def single(model, theta):
    return {name: tensor[0] for name, tensor in model.layout.tensors(theta[None]).items()}


def plain_cnn(p, x, seen=None):
    """Of any depth, for signals and images; `seen` gets the hidden layers."""
    convolution = F.conv1d if x.dim() == 3 else F.conv2d
    for i in range(sum(name.startswith("conv") for name in p) // 2):
        x = F.relu(convolution(x, p[f"conv{i}.weight"], p[f"conv{i}.bias"], stride=2, padding=1))
        if seen is not None:
            seen[f"hidden{i}"] = x
    return x.flatten(1) @ p["head.weight"] + p["head.bias"]


def plain_vgg(p, x, seen=None):
    """Of any depth; `seen` gets the hidden layers."""
    for stage in range(5):
        for layer in range(sum(name.startswith(f"stage{stage}.") for name in p) // 3):
            name = f"stage{stage}.conv{layer}"
            h = F.conv2d(x, p[f"{name}.weight"], padding=1).permute(0, 2, 3, 1)
            h = F.layer_norm(h, h.shape[3:], p[f"{name}.norm.gain"], p[f"{name}.norm.bias"], eps=1e-14)
            x = F.relu(h.permute(0, 3, 1, 2))
            if seen is not None:
                seen[name] = x
        x = F.avg_pool2d(x, 2)
    return x.mean((2, 3)) @ p["head.weight"] + p["head.bias"]


def plain_gru(p, x):
    """`torch.nn.GRU`, whose weights are transposed; it has two biases, of which one is 0."""
    if x.dim() == 3:  # a signal: 4 places of every channel at a time
        x = torch.stack(x.split(4, dim=2), dim=2)
    rows = x.transpose(1, 2).flatten(2)
    cell = torch.nn.GRU(rows.shape[2], len(p["state.weight"]), batch_first=True, dtype=x.dtype)
    given = {"weight_ih": p["input.weight"].T, "weight_hh": p["state.weight"].T, "bias_ih": p["input.bias"]}
    given["bias_hh"] = torch.zeros_like(p["input.bias"])
    states, last = torch.func.functional_call(cell, {f"{name}_l0": tensor for name, tensor in given.items()}, rows)
    assert torch.equal(states[:, -1], last[0])
    return last[0] @ p["head.weight"] + p["head.bias"]


def plain_resnet(p, x, blocks_a_stage, active=F.relu):
    def norm(h, name):
        h = h.permute(0, 2, 3, 1)
        h = (h - h.mean(-1, keepdim=True)) / (h.std(-1, correction=0, keepdim=True) + 1e-7)
        return (h * p[f"{name}.gain"] + p[f"{name}.bias"]).permute(0, 3, 1, 2)

    h = active(norm(F.conv2d(x, p["stem.weight"], padding=1), "stem.norm"))
    for stage in range(3):
        for block in range(blocks_a_stage):
            name, stride = f"stage{stage}.block{block}", 2 if stage and not block else 1
            skip = h
            if f"{name}.shortcut.weight" in p:
                skip = norm(F.conv2d(h, p[f"{name}.shortcut.weight"], stride=stride), f"{name}.shortcut.norm")
            h = active(norm(F.conv2d(h, p[f"{name}.conv0.weight"], stride=stride, padding=1), f"{name}.norm0"))
            h = active(norm(F.conv2d(h, p[f"{name}.conv1.weight"], padding=1), f"{name}.norm1") + skip)
    return h.mean((2, 3)) @ p["head.weight"] + p["head.bias"]


def plain_normed_mlp(p, x, activation):
    h = x.flatten(1)
    for i in range(2):
        h = h @ p[f"linear{i}.weight"] + p[f"linear{i}.bias"]
        h = activation(F.layer_norm(h, h.shape[1:], p[f"norm{i}.gain"], p[f"norm{i}.bias"], eps=1e-14))
    return h @ p["linear2.weight"] + p["linear2.bias"]


def plain_transformer(p, x, seen=None):
    """Two blocks on token numbers, with torch's own embedding, norm and attention; `seen` gets the hidden layers."""
    seen = {} if seen is None else seen

    def norm(h, name):
        return F.layer_norm(h, h.shape[-1:], p[f"{name}.gain"], p[f"{name}.bias"], eps=1e-14)

    def affine(h, name):
        return F.linear(h, p[f"{name}.weight"].T, p[f"{name}.bias"])

    h = F.embedding(x.argmax(1), p["embedding"]) + p["place"]
    for i in range(2):
        parts = affine(norm(h, f"block{i}.norm0"), f"block{i}.attend").tensor_split(3, -1)
        heads = [torch.stack(part.tensor_split(4, -1), 1) for part in parts]
        told = F.scaled_dot_product_attention(*heads, is_causal=True)
        h = h + affine(torch.cat(told.unbind(1), -1), f"block{i}.mix")
        seen[f"block{i}.inner"] = F.gelu(affine(norm(h, f"block{i}.norm1"), f"block{i}.widen")).mT
        h = h + affine(seen[f"block{i}.inner"].mT, f"block{i}.narrow")
        seen[f"block{i}"] = h.mT
    return affine(norm(h, "norm")[:, -1], "head")


TEXT = (12, 6)  # tokens and places
PLAIN = {
    "mlp-2x16-norm": ((1, 12), lambda p, x: plain_normed_mlp(p, x, F.relu)),
    "mlp-2x16-gelu-norm": ((1, 12), lambda p, x: plain_normed_mlp(p, x, F.gelu)),
    "transformer-2x16": (TEXT, plain_transformer),
}
NEW = [
    ("gru-8", (1, 40), plain_gru),
    ("gru-5", (3, 12), plain_gru),
    ("gru-6", (1, 7, 9), plain_gru),
    ("gru-6", (3, 5, 4), plain_gru),
    ("cnn-5x6", (1, 40), plain_cnn),
    ("cnn-1x6", (2, 11), plain_cnn),
    ("cnn-3x5", (1, 28, 28), plain_cnn),
    ("cnn-2x4", (3, 9, 12), plain_cnn),
    ("cnn-4x4", (3, 8, 8), plain_cnn),
    ("vgg11-6", (3, 32, 32), plain_vgg),
    ("vgg16-5", (1, 33, 40), plain_vgg),
]


def normed(name, members=3):
    """Networks with every entry moved off its start, and inputs `[M, B, ...]` of their own; and the plain program."""
    shape, plain = PLAIN[name]
    model = models.build(name, shape, 10)
    theta = model.init(list(range(members))).double()
    theta[:, : model.layout.count] += 0.3 * torch.randn(members, model.layout.count, generator=generator("t"))
    x = torch.randn(members, 7, *shape, generator=generator("x"), dtype=torch.float64)
    return model, theta, texts(members, 7) if shape == TEXT else x, plain


def texts(*shape):
    """Random texts, one-hot `[*shape, tokens, places]`."""
    drawn = torch.randint(TEXT[0], (*shape, TEXT[1]), generator=generator("texts"))
    return F.one_hot(drawn, TEXT[0]).mT.double()


@pytest.mark.parametrize("name", PLAIN)
def test_normed_networks_and_the_transformer_agree_with_torch(name):
    model, theta, x, plain = normed(name)
    ours = model.forward(model.layout.tensors(theta), x)
    theirs = torch.stack([plain(single(model, row), own) for row, own in zip(theta, x, strict=True)])
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert ours.std() > 0.1
    torch.testing.assert_close(model.logits(theta, x[0])[1], plain(single(model, theta[1]), x[0]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PLAIN)
def test_their_gradients_are_those_of_the_plain_program(name):
    model, theta, x, plain = normed(name)
    y = torch.arange(21).view(3, 7) % 10

    def loss(logits):
        return F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum") / 7

    expected = torch.zeros_like(theta)
    for row in range(3):
        one = theta[row].clone().requires_grad_()
        F.cross_entropy(plain(single(model, one), x[row]), y[row]).backward()
        expected[row] = one.grad
    torch.testing.assert_close(model.gradient(theta, x, loss), expected, rtol=1e-4, atol=1e-6)
    for p in model.layout.parameters:
        assert expected[:, model.layout.select((p.name,), True)].abs().max() > 1e-3, p.name


@pytest.mark.parametrize("name", PLAIN)
def test_members_of_a_stack_do_not_influence_one_another(name):
    model, theta, x, _ = normed(name)
    alone = model.logits(theta[1:2], x[0])[0]
    theta[0], theta[2] = 1e3 * theta[0], torch.nan
    crowd = model.logits(theta, x[0])
    torch.testing.assert_close(crowd[1], alone)
    assert crowd[2].isnan().all()


def test_a_norm_takes_out_the_size_and_the_mean_of_what_it_reads():
    model, theta, x, _ = normed("mlp-2x16-norm")
    p = model.layout.tensors(theta)
    before = model.logits(theta, x[0])
    for tensor in (p["linear1.weight"], p["linear1.bias"]):
        tensor.mul_(7)
    p["linear0.bias"] += 3
    torch.testing.assert_close(model.logits(theta, x[0]), before, rtol=1e-5, atol=1e-5)
    assert model.init([1]).count_nonzero() == 12 * 16 + 16 * 16 + 16 * 10 + 2 * 16  # gains start at 1, biases at 0


def test_the_hidden_layers_of_a_transformer_are_the_stream_and_what_lies_inside_its_blocks():
    model, theta, x, plain = normed("transformer-2x16")
    ours, theirs = model.features(theta, x[0]), {}
    plain(single(model, theta[1]), x[0], theirs)
    assert [name for name in ours if name != "logits"] == list(theirs)
    for name, h in theirs.items():
        torch.testing.assert_close(ours[name][1], h, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("changed", range(6))
def test_a_place_of_a_text_does_not_feel_what_comes_later(changed):
    model, theta, _, _ = normed("transformer-2x16")
    x = texts(5)
    other = x.clone()
    other[:, :, changed] = other[:, :, changed].roll(1, dims=1)
    one, two = model.features(theta, x), model.features(theta, other)
    for name, units in model.layout.groups.items():
        assert one[name].shape == (3, 5, units, 6)
        torch.testing.assert_close(one[name][..., :changed], two[name][..., :changed], rtol=0, atol=1e-12)
        difference = (one[name] - two[name]).abs().amax((0, 1, 2))
        assert (difference[changed:] > 1e-3).all()
    assert (one["logits"] - two["logits"]).abs().max() > 1e-3


def test_order_matters_to_a_transformer_through_its_places_alone():
    model = models.build("transformer-1x16", TEXT, 10)  # with one block the last place reads the others as a bag
    theta = model.init([1, 2, 3]).double()
    x, order = texts(5), [3, 0, 4, 2, 1, 5]
    assert (model.logits(theta, x[..., order]) - model.logits(theta, x)).abs().max() > 1e-3
    model.layout.tensors(theta)["place"].zero_()
    torch.testing.assert_close(model.logits(theta, x[..., order]), model.logits(theta, x))


def test_dropout_reaches_what_each_half_of_a_block_adds():
    """Where all of that is dropped, the last token alone is left, and its place."""
    model, theta, x, _ = normed("transformer-2x16")
    shapes = []

    def nothing(h):
        shapes.append(tuple(h.shape))
        return 0 * h

    ours = model.forward(model.layout.tensors(theta), x, drop=nothing)
    assert shapes == [(3, 7, 6, 16)] * 4
    for row in range(3):
        p = single(model, theta[row])
        last = p["embedding"][x[row, :, :, -1].argmax(1)] + p["place"][-1]
        last = F.layer_norm(last, (16,), p["norm.gain"], p["norm.bias"], eps=1e-14)
        torch.testing.assert_close(ours[row], last @ p["head.weight"] + p["head.bias"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "weights", "rest"),
    [
        ("mlp-2x16-norm", (1, 12), 16 * (12 + 16 + 10), (2 * 3 * 16) + 10),
        ("transformer-2x16", TEXT, 2 * 12 * 16**2 + 16 * 10, 16 * (12 + 6) + 2 * 13 * 16 + 2 * 16 + 10),
    ],
)
def test_kicks_leave_norms_embeddings_and_places_alone_unless_asked(name, shape, weights, rest):
    model = models.build(name, shape, 10)
    layout = model.layout
    assert layout.count == weights + rest
    touched = {p.name for p in layout.parameters if layout.select()[layout.select((p.name,), True)].any()}
    assert layout.select().sum() == weights
    assert all(name.endswith("weight") for name in touched)
    start = model.init([1])[0]
    moved = displacement(model, start, Kick(size=1.0), 1, lambda random: None) != 0
    assert torch.equal(moved, layout.select())
    every = displacement(model, start, Kick(size=1.0, norms_and_biases=True), 1, lambda random: None) != 0
    assert every.sum() == layout.count


def test_cnn_and_resnet_agree_with_torch():
    cnn = models.build("cnn-3x7", (1, 40), 10)
    resnet, smooth = (models.build(name, (3, 8, 8), 10) for name in ("resnet14-4", "resnet14-4-gelu"))
    residual = partial(plain_resnet, blocks_a_stage=2)
    for model, plain in ((cnn, plain_cnn), (resnet, residual), (smooth, partial(residual, active=F.gelu))):
        theta = model.init([1, 2, 3]) + 0.05 * torch.randn(3, model.layout.size, generator=generator("t"))
        x = torch.randn(5, *model.input_shape, generator=generator("x"))
        ours = model.logits(theta, x)
        theirs = torch.stack([plain(single(model, row), x) for row in theta])
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_residual_networks_answer_alike_one_after_another_and_as_one():
    """As one they go on a GPU, and where somebody looks inside."""
    model, theta, x = moved("resnet8-4", (3, 8, 8))
    seen = []
    as_one = model.forward(model.layout.tensors(theta), x, see=lambda name, h: seen.append(h))
    assert seen[0].shape[:2] == x.shape[:2]
    torch.testing.assert_close(model.forward(model.layout.tensors(theta), x), as_one)
    alone = [model.forward(model.layout.tensors(theta[k : k + 1]), x[k : k + 1]) for k in range(3)]
    assert torch.equal(model.forward(model.layout.tensors(theta), x), torch.cat(alone))


def moved(name, shape, members=3):
    """Networks with every entry, biases too, moved off its start, and inputs `[M, B, ...]` of their own."""
    model = models.build(name, shape, 10)
    theta = model.init(list(range(members))).double()
    theta[:, : model.layout.count] += 0.2 * torch.randn(members, model.layout.count, generator=generator("t"))
    return model, theta, torch.randn(members, 7, *shape, generator=generator("x"), dtype=torch.float64)


@pytest.mark.parametrize(("name", "shape", "plain"), NEW)
def test_recurrent_and_convolutional_networks_agree_with_torch(name, shape, plain):
    model, theta, x = moved(name, shape)
    ours = model.forward(model.layout.tensors(theta), x)
    theirs = torch.stack([plain(single(model, row), own) for row, own in zip(theta, x, strict=True)])
    close = {"rtol": 1e-4, "atol": 1e-4} if name.startswith("vgg") else {"rtol": 1e-10, "atol": 1e-12}  # small norms
    torch.testing.assert_close(ours, theirs, **close)
    assert ours.std() > 0.1
    torch.testing.assert_close(model.logits(theta, x[0])[1], plain(single(model, theta[1]), x[0]), **close)


@pytest.mark.parametrize(("name", "shape", "plain"), NEW[:-2])
def test_their_gradients_too(name, shape, plain):
    model, theta, x = moved(name, shape)
    y = torch.arange(21).view(3, 7) % 10

    def loss(logits):
        return F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum") / 7

    expected = torch.zeros_like(theta)
    for row in range(3):
        one = theta[row].clone().requires_grad_()
        F.cross_entropy(plain(single(model, one), x[row]), y[row]).backward()
        expected[row] = one.grad
    torch.testing.assert_close(model.gradient(theta, x, loss), expected, rtol=1e-9, atol=1e-12)
    for p in model.layout.parameters:
        assert expected[:, model.layout.select((p.name,), True)].abs().max() > 1e-4, p.name


@pytest.mark.parametrize(
    ("name", "shape", "plain"),
    [("cnn-3x5", (2, 20), plain_cnn), ("cnn-3x5", (2, 12, 9), plain_cnn), ("vgg13-6", (3, 32, 32), plain_vgg)],
)
def test_the_hidden_layers_of_a_cnn_and_a_vgg_are_their_convolutions(name, shape, plain):
    model, theta, x = moved(name, shape)
    ours, theirs = model.features(theta, x[0]), {}
    plain(single(model, theta[1]), x[0], theirs)
    assert list(ours) == [*theirs, "logits"]
    for layer, h in theirs.items():
        torch.testing.assert_close(ours[layer][1], h, rtol=1e-4, atol=1e-4)
    assert model.layout.groups == {layer: h.shape[1] for layer, h in theirs.items()}
    assert len(theirs) == (10 if name.startswith("vgg") else 3)


def test_the_hidden_layer_of_a_gru_is_its_last_state_and_nobody_may_permute_it():
    model, theta, x = moved("gru-8", (1, 40))
    found = model.features(theta, x[0])
    assert list(found) == ["state", "logits"]
    assert found["state"].shape == (3, 7, 8)
    assert found["state"].abs().max() < 1
    p = model.layout.tensors(theta)
    torch.testing.assert_close(
        found["logits"], torch.baddbmm(p["head.bias"][:, None], found["state"], p["head.weight"])
    )
    assert model.layout.groups == {}
    # A new last step and an old first one: both are felt.
    for places in (slice(0, 4), slice(36, 40)):
        other = x[0].clone()
        other[..., places] += 1
        assert (model.logits(theta, other) - found["logits"]).abs().max() > 1e-4


def test_a_gru_starts_with_inputs_and_states_of_equal_size():
    """Standard deviations of 1 / sqrt(inputs), biases of 0, and a Kaiming-normal head."""
    model = models.build("gru-128", (2, 40), 10)
    p = single(model, model.init([1])[0])
    assert {name: tuple(tensor.shape) for name, tensor in p.items()} == {
        "input.weight": (8, 384),
        "input.bias": (384,),
        "state.weight": (128, 384),
        "head.weight": (128, 10),
        "head.bias": (10,),
    }
    for name, std in (("input.weight", 8**-0.5), ("state.weight", 128**-0.5), ("head.weight", (2 / 128) ** 0.5)):
        assert p[name].std().item() == pytest.approx(std, rel=0.06)
    assert not p["input.bias"].any()
    assert not p["head.bias"].any()


@pytest.mark.parametrize(("name", "shape", "state"), [("gru-8", (1, 40), (3, 7, 8)), ("cnn-2x4", (1, 40), None)])
def test_dropout_reaches_what_the_head_reads(name, shape, state):
    model, theta, x = moved(name, shape)
    shapes = []

    def nothing(h):
        shapes.append(tuple(h.shape))
        return 0 * h

    ours = model.forward(model.layout.tensors(theta), x, drop=nothing)
    torch.testing.assert_close(ours, model.layout.tensors(theta)["head.bias"][:, None].expand_as(ours))
    assert shapes == ([state] if state else [(3, 7, 4, 19), (3, 7, 4, 10)])


@pytest.mark.parametrize("kernel", [1, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("places", [5, 12])
def test_convolutions_along_one_axis_are_those_of_torch(kernel, stride, padding, places):
    x, w = (torch.randn(3, *shape, generator=generator("conv"), dtype=torch.float64, requires_grad=True)
            for shape in ((2, 4, places), (6, 4, kernel)))  # fmt: skip
    ours = conv(x, w, stride, padding)
    theirs = torch.stack([F.conv1d(a, b, stride=stride, padding=padding) for a, b in zip(x, w, strict=True)])
    torch.testing.assert_close(ours, theirs)
    slope = torch.randn(theirs.shape, generator=generator("slope"), dtype=torch.float64)
    for mine, yours in zip(*(torch.autograd.grad(y, (x, w), slope) for y in (ours, theirs)), strict=True):
        torch.testing.assert_close(mine, yours)


def test_convolutions_are_padded_and_strided_only_when_asked():
    x, w = (torch.randn(2, 3, 4, 9, generator=generator("conv", k)) for k in range(2))
    assert conv(x, w[..., :3]).shape == (2, 3, 3, 7)
    image = torch.randn(2, 3, 4, 9, 8, generator=generator("conv"))
    assert conv(image, image[..., :3, :3]).shape == (2, 3, 3, 7, 6)


def test_pixels_without_contrast_have_finite_gradients():
    """Rotation leaves corners of exactly 0, where a plain square root has an infinite slope."""
    model = models.build("resnet8-4", (3, 8, 8), 10)
    x = torch.randn(2, 5, 3, 8, 8, generator=generator("x"))
    x[:, :, :, :4] = 0
    gradient = model.gradient(model.init([1, 2]), x, lambda logits: logits.square().sum())
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


def test_grouped_convolution_equals_one_after_another(monkeypatch):
    """As on a CPU, for members of one seed or of several, and the path that a GPU takes."""
    from butterfly import stack

    x, w, shift = torch.randn(3, 2, 4, 6, 6), torch.randn(3, 5, 4, 3, 3), torch.randn(3, 5)
    one_by_one = torch.stack([F.conv2d(*one, stride=2, padding=1) for one in zip(x, w, shift, strict=True)])
    torch.testing.assert_close(stack.conv(x, w, stride=2, padding=1, bias=shift), one_by_one)
    same = torch.stack([F.conv2d(x[0], *one, stride=2, padding=1) for one in zip(w, shift, strict=True)])
    torch.testing.assert_close(stack.conv(x[:1].expand_as(x), w, stride=2, padding=1, bias=shift), same)

    class Elsewhere:
        type = "cuda"

    monkeypatch.setattr(torch.Tensor, "device", property(lambda self: Elsewhere()), raising=False)
    grouped = stack.conv(x, w, stride=2, padding=1, bias=shift)
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
        ("mlp-2x4-normal", "unknown model"),
        ("resnet9-16", "depth 6n"),
        ("mlp-0x4", "size of 0"),
        ("transformer-0x4", "size of 0"),
        ("cnn-0x4", "size of 0"),
        ("gru-0", "size of 0"),
        ("gru-2x4", "unknown model"),
        ("vgg11-0", "size of 0"),
        ("transformer-2x16", r"'transformer-2x16' does not fit inputs of shape \(3, 8, 8\)"),
    ],
)
def test_impossible_models_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, (3, 8, 8), 10)


@pytest.mark.parametrize(
    ("name", "shape", "accepted"),
    [
        ("gru-4", (1, 40), True),
        ("gru-4", (1, 41), False),
        ("gru-4", (1, 42), False),
        ("gru-4", (3, 5, 7), True),
        ("gru-4", (12,), False),
        ("gru-4", (1, 4, 4, 4), False),
        ("vgg11-2", (3, 32, 32), True),
        ("vgg11-2", (3, 31, 32), False),
        ("vgg11-2", (3, 32), False),
        ("cnn-9x4", (1, 3), True),
        ("cnn-3x4", (1, 2), False),
        ("cnn-9x4", (1, 3, 3), True),
        ("cnn-3x4", (5, 2, 9), False),
        ("cnn-3x4", (12,), False),
        ("cnn-3x4", (1, 8, 8, 8), False),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name, shape, accepted):
    if accepted:
        model = models.build(name, shape, 10)
        assert model.logits(model.init([0]), torch.randn(2, *shape, generator=generator("x"))).shape == (1, 2, 10)
    else:
        with pytest.raises(ValueError, match=f"model '{name}' does not fit inputs of shape"):
            models.build(name, shape, 10)


def test_a_vgg_has_one_of_four_depths():
    with pytest.raises(ValueError, match="a VGG has depth 11, 13, 16, 19, not 12"):
        models.build("vgg12-4", (3, 32, 32), 10)
    # One linear layer instead of the three that the name counts.
    for depth in (11, 13, 16, 19):
        layout = models.build(f"vgg{depth}-1", (3, 32, 32), 10).layout
        assert sum(p.kind == "weight" for p in layout.parameters) == depth - 2


def test_heads_must_divide_the_width_of_a_transformer():
    with pytest.raises(ValueError, match="4 heads needs a width that they divide, not 18"):
        models.build("transformer-2x18", TEXT, 10)


def test_activations_count_what_a_forward_pass_keeps():
    """Within a factor of two of what autograd saves, except for what all members share."""
    shapes = {"mlp-3x64": (1, 40), "mlp-3x64-norm": (1, 40), "cnn-3x25": (1, 40), "resnet14-8": (3, 16, 16)}
    shapes |= {"transformer-2x32": TEXT, "gru-32": (1, 40)}
    for name, shape in shapes.items():
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
