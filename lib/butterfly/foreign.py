"""Networks written elsewhere: what a module must be to stand in a stack, how it starts, which units may be permuted.

A stack runs one network many times at once, with other weights each time. So a module must be a function of its
weights and of each example alone, and must be able to start anew for every seed. What it is, is found by running it.
"""

import copy
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from butterfly.streams import generator

Maker = nn.Module | Callable[[], nn.Module]
Axes = Mapping[str, tuple[str, ...]]  # of each tensor: the hidden layer that each axis runs over, or ""

_DRAWS = 16  # of the initialisation, from which its standard deviations are taken
_NEAR = 1e-4  # of the largest answer: by so much rounding may move answers in single precision


# --- how it starts ---------------------------------------------------------------------------------------------------


def fresh(make: Maker, *key: object) -> nn.Module:
    """The module as its own initialisation makes it, from the stream ("module", *key); torch's own stays untouched.

    `make` is a function that makes the module, or a module whose layers all have `reset_parameters`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator("module", *key).get_state())
        if not isinstance(make, nn.Module):
            return make()
        again = copy.deepcopy(make)
        _reset(again)
        return again


_RESETS = ("reset_parameters", "_reset_parameters")


def _reset(layer: nn.Module) -> None:
    """Start a layer anew, those inside it before it, as constructors do."""
    for child in layer.children():
        _reset(child)
    for name in _RESETS:
        if hasattr(layer, name):
            getattr(layer, name)()
            return


def deviations(make: Maker) -> dict[str, float]:
    """Standard deviation of each tensor at initialisation, over draws and entries; 0 for constants."""
    draws = [dict(fresh(make, "deviation", k).named_parameters()) for k in range(_DRAWS)]
    found = {}
    for name in draws[0]:
        entries = torch.stack([draw[name].detach().double() for draw in draws])
        found[name] = float(entries.var(0).mean().sqrt())
    if not any(found.values()):
        raise ValueError("this module starts with the same weights each time: give a function that makes it anew")
    if isinstance(make, nn.Module):
        _check_start(make, draws)
    return found


def _check_start(module: nn.Module, draws: list[dict[str, nn.Parameter]]) -> None:
    """Refuse a module that does not start as `reset_parameters` of its layers says."""
    advice = "give a function that makes the module, as in models.of(lambda: Net(), example)"
    for path, layer in module.named_modules():
        own = [name for name, _ in layer.named_parameters(recurse=False)]
        known = any(hasattr(layer, name) for name in _RESETS)
        if own and not known:
            raise ValueError(
                f"'{_join(path, own[0])}' is a parameter of {type(layer).__name__}, which has no reset_parameters, so "
                f"nobody can tell how it starts: {advice}"
            )
    for name, value in module.named_parameters():
        size = torch.stack([draw[name].detach().double().square().mean() for draw in draws]).mean().sqrt()
        own = value.detach().double().square().mean().sqrt()
        if (own - size).abs() > 5 * size / value.numel() ** 0.5:
            raise ValueError(
                f"the entries of '{name}' have size {own:.3g}, and {size:.3g} where its layer starts anew; the module "
                f"was trained, or starts in a way of its own: {advice}"
            )


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# --- what it must be -------------------------------------------------------------------------------------------------


def check_parameters(module: nn.Module) -> None:
    """Refuse parameters that cannot be rows of a stack: shared, frozen, not single precision, or none."""
    names: dict[int, list[str]] = {}
    for name, value in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(value), []).append(name)
        if isinstance(value, nn.parameter.UninitializedParameter):
            raise ValueError(f"'{name}' has no shape yet: use layers that are given their sizes, not lazy ones")
        if value.dtype != torch.float32:
            raise ValueError(f"'{name}' is {value.dtype}: make the module float32; data in float64 train it in float64")
        if not value.requires_grad:
            raise ValueError(f"'{name}' is frozen, and a stack trains all weights: make it a buffer")
    if not names:
        raise ValueError(f"{type(module).__name__} has no parameters to train")
    shared = next((same for same in names.values() if len(same) > 1), None)
    if shared:
        raise ValueError(
            f"{' and '.join(shared)} are one shared parameter: keep one of them, and use it in forward "
            "where the other stands, as in torch.nn.functional.linear(h, self.embedding.weight)"
        )


def check_answers(module: nn.Module, x: Tensor) -> Tensor:
    """The module's answer `[B, C]` to the example `x [B, ...]`; refused where it is no function of each input alone."""
    half = len(x) // 2
    if not x.is_floating_point():
        raise ValueError(f"inputs are {x.dtype}, and a stack takes floats: give them so, and begin with x = x.long()")
    if half < 1 or torch.equal(x[half:], x[:1].expand_as(x[half:])):
        raise ValueError("the example must be a batch of two or more different inputs")
    buffers = {name: b.clone() for name, b in module.named_buffers()}
    given = x.clone()
    try:
        answer = _answer(module, given)
    except (RuntimeError, TypeError, ValueError) as error:
        said = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{type(module).__name__} does not take floats of shape {tuple(x.shape)} ({said}); where it reads tokens, "
            "begin forward with x = x.long()"
        ) from error
    if not torch.equal(given, x):
        raise ValueError("the module changes its input in place: begin forward with x = x.clone()")
    for name, value in module.named_buffers():
        if not torch.equal(value, buffers[name]):
            raise ValueError(_on_buffer(module, name))
    _check_shape(module, answer, len(x))
    if not torch.equal(answer, _answer(module, x)):
        raise ValueError("two calls with one input give two answers: the module keeps a state; let forward keep none")
    if not torch.equal(answer, _answer(module, x, draw=1)):
        raise ValueError(_on_noise(module))
    _check_examples(module, x, answer)
    return answer


def _answer(module: nn.Module, x: Tensor, draw: int = 0) -> Tensor:
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator("answer", draw).get_state())
        return module(x)


def _on_buffer(module: nn.Module, name: str) -> str:
    path = name.rpartition(".")[0]
    layer = module.get_submodule(path)
    where = f"{type(layer).__name__} '{path}'" if path else type(layer).__name__
    if isinstance(layer, nn.modules.batchnorm._NormBase):
        return (
            f"{where} changes its buffer '{name}' in training, and mixes the examples of a batch: use "
            "torch.nn.LayerNorm or torch.nn.GroupNorm, or freeze it with .eval()"
        )
    return f"{where} changes its buffer '{name}' when it is called: only weights may change; freeze it with .eval()"


def _on_noise(module: nn.Module) -> str:
    named = [
        f"{type(layer).__name__} '{path}'"
        for path, layer in module.named_modules()
        if isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p and layer.training
    ]
    if named:
        return (
            f"{', '.join(named)} would draw masks that twins do not share: set p=0 and train with Recipe(dropout=...), "
            "whose masks fall where the torch.nn.Dropout layers stand"
        )
    return "the module draws random numbers, which twins would not share: draw them when the data are made"


def _check_shape(module: nn.Module, answer: object, batch: int) -> None:
    name = type(module).__name__
    if not isinstance(answer, Tensor):
        raise ValueError(f"{name} returns a {type(answer).__name__}: wrap it in a module that returns its logits alone")
    if answer.dim() != 2 or len(answer) != batch or not answer.is_floating_point():
        raise ValueError(
            f"{name} returns {answer.dtype} of shape {tuple(answer.shape)} for {batch} examples: wrap it in a module "
            f"that returns logits of shape ({batch}, classes)"
        )
    if not answer.isfinite().all():
        raise ValueError(f"the answers of {name} to the example are not finite")


def _check_examples(module: nn.Module, x: Tensor, answer: Tensor) -> None:
    """Refuse answers that depend on the other examples of a batch, or on how many there are."""
    half, other = len(x) // 2, x.clone()
    other[half:] = x[0]
    if not near(_answer(module, other)[:half], answer[:half]):
        raise ValueError(
            f"{type(module).__name__} mixes the examples of a batch: an answer changes with the others; "
            "normalise each example by itself, with torch.nn.LayerNorm or torch.nn.GroupNorm"
        )
    single = _answer(module, x[:1])
    if single.shape != answer[:1].shape or not near(single, answer[:1]):
        raise ValueError(f"{type(module).__name__} answers a batch of one in another way: is there a squeeze() in it?")


def near(a: Tensor, b: Tensor) -> bool:
    """Whether answers are the same but for rounding."""
    return bool((a - b).abs().max() <= _NEAR * (1e-3 + b.abs().max()))


# --- what it is made of ----------------------------------------------------------------------------------------------


def kinds(module: nn.Module, deviation: Mapping[str, float]) -> dict[str, tuple[str, float]]:
    """Of each tensor: "weight", "bias", "norm" or "embedding", and how large a unit kick of it is.

    Weights have two axes or more and a random start; their unit is its standard deviation. What has no random start has
    the unit of the weight of its layer, or of that before it.
    """
    found: dict[str, tuple[str, float]] = {}
    last = next((deviation[n] for n, p in module.named_parameters() if p.dim() > 1 and deviation[n]), 0.0)
    for name, value in module.named_parameters():
        layer = module.get_submodule(name.rpartition(".")[0])
        if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
            kind = "embedding"
        elif value.dim() > 1 and deviation[name]:
            kind, last = "weight", deviation[name]
        else:
            kind = "norm" if "Norm" in type(layer).__name__ else "bias"
        found[name] = kind, deviation[name] if kind == "embedding" else last
    return found


def watched(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers that can be looked at, by name: the module's children, those of containers one by one."""
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            yield from watched(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def numbers(module: nn.Module, x: Tensor) -> int:
    """Numbers that are kept for one example on its way through the module, for its gradient."""
    sizes = [x.numel()]
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        module(x.clone())
    return -(-sum(sizes) // len(x))


# --- which units may be permuted -------------------------------------------------------------------------------------

_ONE_BY_ONE = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid),
    *(nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish, nn.LogSigmoid, nn.Identity, nn.Dropout),
)
_BY_PLACE = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
)


def axes_of(module: nn.Module, x: Tensor) -> dict[str, tuple[str, ...]] | None:
    """Which hidden layer each axis of each tensor runs over, for a sequential network of known layers; else None.

    A hidden layer has the name of the last layer that keeps its units apart: the activation function behind a
    linear or convolutional layer, or the norm behind that.
    """
    if not isinstance(module, nn.Sequential):
        return None
    found: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}  # of each hidden layer: what writes it, and its final name
    reads, flat, units = "", x.dim() == 2, x.shape[1]
    for name, layer in watched(module):
        match layer:
            case nn.Linear() if flat and layer.in_features % units == 0:
                writes, units = name, layer.out_features
                found |= {f"{name}.weight": (writes, reads), f"{name}.bias": (writes,)}
                reads = names[name] = name
            case nn.Conv1d() | nn.Conv2d() if not flat and layer.groups == 1:
                writes, units = name, layer.out_channels
                found |= {
                    f"{name}.weight": (writes, reads, *[""] * (layer.weight.dim() - 2)),
                    f"{name}.bias": (writes,),
                }
                reads = names[name] = name
            case nn.LayerNorm() if (len(layer.normalized_shape) == 1) == flat and layer.normalized_shape[0] == units:
                found |= {f"{name}.{part}": (reads, *[""] * (layer.weight.dim() - 1)) for part in ("weight", "bias")}
            case nn.GroupNorm() if layer.num_groups == 1:
                found |= {f"{name}.weight": (reads,), f"{name}.bias": (reads,)}
            case nn.Flatten() if layer.start_dim == 1:
                flat = True
                continue
            case _ if isinstance(layer, _BY_PLACE) and not flat:
                continue
            case _ if not isinstance(layer, _ONE_BY_ONE):
                return None
        if reads:
            names[reads] = name
    logits = reads
    shown = {writes: "" if writes == logits else last for writes, last in names.items()} | {"": ""}
    own = {name for name, _ in module.named_parameters()}
    return {name: tuple(shown[layer] for layer in axes) for name, axes in found.items() if name in own}


def sizes_of(module: nn.Module, axes: Axes) -> dict[str, int]:
    """How many units each hidden layer has, by the shortest axis that runs over it; refused where axes do not fit."""
    tensors = dict(module.named_parameters())
    sizes: dict[str, list[int]] = {}
    for name, layers in axes.items():
        if name not in tensors or len(layers) != tensors[name].dim():
            shape = tuple(tensors[name].shape) if name in tensors else "no such tensor"
            raise ValueError(f"axes of '{name}' are {layers}, its shape is {shape}: give one name an axis, or ''")
        for layer, size in zip(layers, tensors[name].shape, strict=True):
            if layer:
                sizes.setdefault(layer, []).append(size)
    for layer, found in sizes.items():
        if any(size % min(found) for size in found):
            raise ValueError(f"axes of the hidden layer '{layer}' have the sizes {found}: they do not fit")
    return {layer: min(found) for layer, found in sizes.items()}
