"""Other starts: as `torch.nn` makes its layers."""

import pytest
import torch

from butterfly import initial, models


@pytest.mark.parametrize(
    ("name", "shape", "layers"),
    [
        ("mlp-2x64", (1, 12), {"linear0": torch.nn.Linear(12, 64), "linear1": torch.nn.Linear(64, 64)}),
        ("cnn-2x16", (2, 40), {}),
        ("resnet8-8", (3, 8, 8), {"stem": torch.nn.Conv2d(3, 8, 3)}),
    ],
)
def test_weights_and_biases_have_the_ranges_of_torch(name, shape, layers):
    model = models.build(name, shape, 10)
    theta = initial.uniform(model, range(20))
    tensors, usual = model.layout.tensors(theta), model.layout.tensors(model.init(list(range(20))))
    for p in model.layout.parameters:
        values = tensors[p.name]
        if p.kind not in ("weight", "bias"):
            torch.testing.assert_close(values, usual[p.name])
            continue
        bound = p.scale / 2**0.5
        assert values.abs().max() <= bound
        assert values.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)
        assert abs(values.mean().item()) < 0.15 * bound
    for layer, torchs in layers.items():
        for part, own in torchs.named_parameters():
            if f"{layer}.{part}" in tensors:
                found = tensors[f"{layer}.{part}"]
                assert found.abs().max().item() == pytest.approx(own.abs().max().item(), rel=0.1)
                assert found.std().item() == pytest.approx(own.std().item(), rel=0.15)


def test_each_seed_has_its_own_and_no_other_decides_it():
    model = models.build("mlp-2x8", (4,), 3)
    both, one = initial.uniform(model, [3, 5]), initial.uniform(model, [5])
    assert torch.equal(both[1], one[0])
    assert not torch.equal(both[0], both[1])
    assert (both[:, model.layout.count :] == 0).all()
