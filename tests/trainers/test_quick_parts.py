"""The parts that a CPU computes our way give what MLX gives, values and gradients alike."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

mx: Any = pytest.importorskip("mlx.core")
nn: Any = pytest.importorskip("mlx.nn")
tree_flatten: Any = pytest.importorskip("mlx.utils").tree_flatten
gemma3_text: Any = pytest.importorskip("mlx_lm.models.gemma3_text")
dora: Any = pytest.importorskip("mlx_lm.tuner.dora")
lora: Any = pytest.importorskip("mlx_lm.tuner.lora")

from jessy_build.trainers import (  # noqa: E402
    _activations,
    _attention,
    _entropy,
    _linears,
    _norms,
)

CLOSE = 1e-4


def random(*shape: int, seed: int = 0, spread: float = 1.0) -> Any:
    return mx.random.normal(shape, key=mx.random.key(seed)) * spread


def agree(ours: Callable[..., Any], stock: Callable[..., Any], *values: Any) -> None:
    """Compares values, and the gradients of a sum that weighs every element differently."""
    weights = mx.cos(mx.arange(stock(*values).size).reshape(stock(*values).shape))
    everywhere = tuple(range(len(values)))
    mine = mx.value_and_grad(lambda *v: (ours(*v) * weights).sum(), argnums=everywhere)(*values)
    real = mx.value_and_grad(lambda *v: (stock(*v) * weights).sum(), argnums=everywhere)(*values)
    assert float(mine[0]) == pytest.approx(float(real[0]), rel=CLOSE, abs=CLOSE)
    for one, other in zip(mine[1], real[1], strict=True):
        assert mx.allclose(one, other, rtol=CLOSE, atol=CLOSE).item()


ACTIVATIONS = [(_activations.SILU, nn.silu), (_activations.GELU, nn.gelu_approx)]


@pytest.mark.parametrize(("activation", "stock"), ACTIVATIONS, ids=["silu", "gelu"])
def test_gated_activations_agree(activation: _activations.Activation, stock: Any) -> None:
    # More elements than one piece, and values from far out on both sides.
    gate, up = random(3, 50, 600, spread=4.0), random(3, 50, 600, seed=1)
    assert gate.size > _activations.ELEMENTS
    agree(lambda g, u: _activations.gated(activation, g, u), lambda g, u: stock(g) * u, gate, up)


@pytest.mark.parametrize("activation", [a for a, _ in ACTIVATIONS], ids=["silu", "gelu"])
def test_gated_activations_stay_finite_far_out(activation: _activations.Activation) -> None:
    gate, up = mx.array([-1e4, -120.0, 0.0, 120.0, 1e4]), mx.ones(5)
    value, slope = mx.value_and_grad(lambda g: _activations.gated(activation, g, up).sum())(gate)
    assert mx.isfinite(value).item()
    assert slope.tolist() == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-6)


def test_a_quantised_block_is_known_by_its_formula_too() -> None:
    from mlx_lm.models.llama import MLP, ModelArgs

    wide = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1}
    said = {"num_attention_heads": 4, "rms_norm_eps": 1e-6, "vocab_size": 64}
    block: Any = MLP(ModelArgs(model_type="llama", **wide, **said))
    nn.quantize(block, group_size=32, bits=4)
    stock = block(random(2, 64))
    layer = type("Layer", (), {"mlp": block})()
    assert _activations.quicken(type("Model", (), {"layers": [layer]})()) == 1
    assert mx.allclose(block(random(2, 64)), stock, rtol=CLOSE, atol=CLOSE).item()


def test_norms_agree() -> None:
    weight = random(96, seed=2)
    import numpy as np

    agree(
        lambda x: _norms.norm(x, np.array(weight), 1e-6),
        lambda x: mx.fast.rms_norm(x, weight, 1e-6),
        random(2, 7, 96, spread=3.0),
    )


def lora_layer(dropout: float = 0.0, bias: bool = False) -> Any:
    layer = lora.LoRALinear(24, 40, r=4, dropout=dropout, scale=1.5, bias=bias)
    layer.lora_a, layer.lora_b = random(24, 4, seed=3), random(4, 40, seed=4)
    return layer


def test_lora_layers_agree() -> None:
    layer = lora_layer()
    x = random(3, 5, 24)

    def stock(x: Any, a: Any, b: Any) -> Any:
        layer.lora_a, layer.lora_b = a, b
        return layer(x)

    agree(
        lambda x, a, b: _linears.low_rank(x, layer.linear, a, b, layer.scale),
        stock,
        x,
        layer.lora_a,
        layer.lora_b,
    )


@pytest.mark.parametrize("bits", [None, 4])
def test_dora_layers_agree_packed_or_not(bits: int | None) -> None:
    linear = nn.Linear(64, 40, bias=False)
    if bits:
        linear = nn.QuantizedLinear.from_linear(linear, 64, bits)
    layer = dora.DoRALinear.from_base(linear, r=4, scale=1.5)
    quick = _linears._turning(_linears._squares(linear))

    def asked(call: Callable[[Any, Any], Any]) -> Callable[..., Any]:
        def forward(x: Any, a: Any, b: Any, m: Any) -> Any:
            layer.lora_a, layer.lora_b, layer.m = a, b, m
            return call(layer, x)

        return forward

    values = random(3, 5, 64), random(64, 4, seed=3), random(4, 40, seed=4), random(40, seed=5)
    agree(asked(quick), asked(dora.DoRALinear.__call__), *values)


@pytest.mark.parametrize("bias", [True, False])
def test_packed_layers_agree(bias: bool) -> None:
    stock = nn.QuantizedLinear(64, 40, bias=bias, bits=8)
    quick = nn.QuantizedLinear(64, 40, bias=bias, bits=8)
    quick.update(stock.parameters())
    assert _linears.quicken(Holder(quick)) == 1
    agree(quick, stock, random(3, 5, 64))


class Holder(nn.Module):  # type: ignore[misc]
    def __init__(self, part: Any) -> None:
        super().__init__()
        self.part = part


@pytest.mark.parametrize(
    ("layer", "taught"),
    [(lora_layer(), 1), (lora_layer(dropout=0.1), 0), (lora_layer(bias=True), 0)],
)
def test_a_lora_layer_with_dropout_or_bias_stays_as_it_is(layer: Any, taught: int) -> None:
    assert _linears.quicken(Holder(layer)) == taught


def test_a_taught_lora_layer_still_fuses() -> None:
    layer, x = lora_layer(), random(5, 24)
    expected = layer(x)
    _linears.quicken(Holder(layer))
    assert mx.allclose(layer(x), expected, atol=CLOSE).item()
    assert mx.allclose(layer.fuse()(x), expected, atol=CLOSE).item()


def test_both_kinds_of_norm_are_recognised_by_what_they_compute() -> None:
    plain, less_one = nn.RMSNorm(32), gemma3_text.RMSNorm(32)
    plain.weight, less_one.weight = random(32, seed=5), random(32, seed=6)
    x = random(4, 32)
    expected = [plain(x), less_one(x)]
    # One that learns has a gradient of its own.
    assert [_norms.quicken(Holder(part)) for part in (plain, less_one)] == [0, 0]
    for part in (plain, less_one):
        part.freeze()
    assert [_norms.quicken(Holder(part)) for part in (plain, less_one)] == [1, 1]
    for part, value in zip((plain, less_one), expected, strict=True):
        assert mx.allclose(part(x), value, atol=CLOSE).item()


def test_a_norm_with_another_formula_stays_as_it_is() -> None:
    assert _norms.quicken(Holder(nn.LayerNorm(32))) == 0


def test_a_block_with_an_unknown_activation_stays_as_it_is() -> None:
    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.gate_proj, self.up_proj = (
                nn.Linear(8, 16, bias=False),
                nn.Linear(8, 16, bias=False),
            )
            self.down_proj = nn.Linear(16, 8, bias=False)

        def __call__(self, x: Any) -> Any:
            return self.down_proj(nn.relu(self.gate_proj(x)) * self.up_proj(x))

    class Layer(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.mlp = Block()

    model = Holder(None)
    model.layers = [Layer()]
    assert _activations.quicken(model) == 0


WIDE = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "vocab_size": 64}


def attention() -> Any:
    from mlx_lm.models.llama import Attention, ModelArgs

    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-6}
    return Attention(ModelArgs(model_type="llama", **WIDE, **heads))


def taught(stock: Any) -> Any:
    """A second one of the same weights."""
    quick = copy.deepcopy(stock)
    assert _attention.quicken(Holder(quick)) == 2
    return quick


def slopes(layer: Any, x: Any, mask: Any) -> list[Any]:
    weights = mx.cos(mx.arange(x.size).reshape(x.shape))
    ask = nn.value_and_grad(layer, lambda x: (layer(x, mask) * weights).sum())
    value, named = ask(x)
    to_x = mx.grad(lambda x: (layer(x, mask) * weights).sum())(x)
    return [value, to_x, *(slope for _, slope in tree_flatten(named))]


NEAR = mx.abs(mx.arange(9)[:, None] - mx.arange(9)) < 3


@pytest.mark.parametrize("mask", [None, "causal", NEAR], ids=["none", "causal", "array"])
def test_attention_agrees_to_the_last_bit(mask: Any) -> None:
    stock, x = attention(), random(2, 9, 64)
    for mine, real in zip(slopes(taught(stock), x, mask), slopes(stock, x, mask), strict=True):
        assert mx.array_equal(mine, real).item()


def test_attention_whose_sinks_learn_gives_them_their_gradient() -> None:
    from mlx_lm.models.gpt_oss import AttentionBlock, ModelArgs

    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    stock, x = AttentionBlock(ModelArgs(**WIDE, **heads)), random(2, 9, 64)
    stock.sinks = random(4, seed=1)
    found = slopes(taught(stock), x, "causal")
    assert len(found) == 2 + len(tree_flatten(stock.parameters()))
    for mine, real in zip(found, slopes(stock, x, "causal"), strict=True):
        assert mx.array_equal(mine, real).item()


def test_attention_goes_on_from_a_cache_as_before() -> None:
    from mlx_lm.models.cache import KVCache

    stock, x = attention(), random(1, 9, 64)
    quick, cache = taught(stock), KVCache()
    first = quick(x[:, :5], "causal", cache)
    both = mx.concatenate([first, quick(x[:, 5:], "causal", cache)], axis=1)
    assert mx.allclose(both, stock(x, "causal"), atol=CLOSE).item()


def kept(layer: Callable[[Any], Any], x: Any) -> float:
    """Bytes that one more such layer holds until the way back is gone."""

    def peak(layers: int) -> int:
        def through(x: Any) -> Any:
            for _ in range(layers):
                x = layer(x)
                # As the parts in numpy do: it keeps what MLX would have let go.
                mx.eval(x)
            return x.sum()

        mx.reset_peak_memory()
        mx.eval(mx.grad(through)(x))
        return int(mx.get_peak_memory())

    return (peak(12) - peak(2)) / 10


def test_attention_keeps_no_scores() -> None:
    stock, x = attention(), random(1, 512, 64)
    mx.eval(stock.parameters(), x)
    scores = 4 * 512 * 512 * 4
    assert kept(lambda x: taught(stock)(x, "causal"), x) < scores / 2
    assert kept(lambda x: stock(x, "causal"), x) > 2 * scores


@pytest.mark.parametrize("turning", [False, True], ids=["lora", "dora"])
def test_a_layer_that_learns_keeps_one_array_as_wide_as_its_output(turning: bool) -> None:
    linear = nn.Linear(64, 64, bias=False)
    stock = (dora.DoRALinear if turning else lora.LoRALinear).from_base(linear, r=4)
    quick, x = copy.deepcopy(stock), random(4096, 64)
    assert _linears.quicken(Holder(quick)) == 1
    mx.eval(stock.parameters(), quick.parameters(), x)
    assert kept(quick, x) < 1.5 * x.nbytes
    assert kept(stock, x) > 2 * x.nbytes


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("words", [50, 5000])
def test_cross_entropy_over_stretches_agrees(words: int, threads: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    rows, wide = 9, 16
    hidden, matrix = random(rows, wide, spread=2.0), random(words, wide, seed=7, spread=2.0)
    targets = mx.random.randint(0, words, (rows,), key=mx.random.key(8))
    weights = mx.abs(random(rows, seed=9))

    def stock(hidden: Any) -> Any:
        return (nn.losses.cross_entropy(hidden @ matrix.T, targets) * weights).sum()

    value, slope = mx.value_and_grad(stock)(hidden)
    loss, mine = _entropy.entropy(
        *(np.array(array) for array in (hidden, matrix, targets, weights)),
        gradient=True,
        threads=[ThreadPoolExecutor(1) for _ in range(threads)],
    )
    assert float(loss.sum()) == pytest.approx(float(value), rel=CLOSE)
    assert np.allclose(mine, np.array(slope), rtol=CLOSE, atol=CLOSE)
