"""One training step: each update changes the right network by the right gradient, and no array is allocated."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from helpers import differences, flats, normal, tiny_gan

from minigan.backends import Array, Ops
from minigan.backends import noise as streams
from minigan.backends.noise import Noise
from minigan.config import ACTIVATIONS, UPDATES, Config
from minigan.nn import coefficients
from minigan.nn.coefficients import Phase
from minigan.nn.gan import GAN
from minigan.nn.gradcheck import relative_error
from minigan.nn.network import Network
from minigan.nn.objectives import OBJECTIVES
from minigan.nn.optim import Adam, adam_coefficients
from minigan.nn.sampling import CHUNK

TOLERANCE = 1e-8
STATE = ["discriminator", "discriminator.adam.m", "discriminator.adam.v"]
STATE += ["generator", "generator.adam.m", "generator.adam.v", "generator.average"]


def copy_of(network: Network) -> Network:
    """The same network over a copy of its weights."""
    hidden, output = network.activations[0], network.activations[-1]
    return Network(network.sizes, hidden, output, network.ops, network.dtype, network.theta.flat.copy())


# --------------------------------------------------------------------------------------- the gradients of whole steps


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(
    ("objective", "smoothing"), [*((name, 0.0) for name in OBJECTIVES), ("minimax", 0.1), ("non-saturating", 0.1)]
)
def test_both_whole_gradients_agree_with_differences(
    backend: Ops, monkeypatch: pytest.MonkeyPatch, objective: str, update: str, smoothing: float
) -> None:
    gan, fill = tiny_gan(backend, objective=objective, update=update, label_smoothing=smoothing)
    monkeypatch.setattr(gan.adam_d, "apply", lambda *_: None)
    monkeypatch.setattr(gan.adam_g, "apply", lambda *_: None)
    gan.train_step(fill)
    got_d, got_g = (backend.to_host(g.flat).copy() for g in (gan.grad_d, gan.grad_g))
    D, G = gan.discriminator, gan.generator
    tape_d, tape_g = D.tape(4), G.tape(4)
    real = backend.zeros((4, 4), "float64")
    fill(real, 0)

    def logits() -> tuple[Array, Array]:
        r = D.forward(real, tape_d).copy()
        return r, D.forward(G.forward(gan.z, tape_g), tape_d)

    loss_d = differences(lambda: gan.objective.discriminator(*logits()), D.theta.flat, backend)
    loss_g = differences(lambda: gan.objective.generator(*logits()), G.theta.flat, backend)
    assert relative_error(got_d, loss_d) < TOLERANCE
    assert relative_error(got_g, loss_g) < TOLERANCE


def naive_step(gan: GAN, fill: Any) -> tuple[np.ndarray, np.ndarray]:
    """The expected result of a step: separate passes for each player and each kind of sample, on separate tapes."""
    backend, c = gan.ops, gan.config
    D, G = copy_of(gan.discriminator), copy_of(gan.generator)
    adam_d, adam_g = (Adam(n.count, backend, c.dtype, c.beta1, c.beta2) for n in (D, G))
    for adam, original in ((adam_d, gan.adam_d), (adam_g, gan.adam_g)):
        adam.m[...], adam.v[...] = original.m, original.v
    real, z = backend.zeros((c.batch_size, G.sizes[-1]), c.dtype), backend.zeros((c.batch_size, c.latent), c.dtype)
    fill(real, gan.step)
    Noise(c.seed, backend).normal(z, streams.LATENT, gan.step)
    tape_g, tape_r, tape_f = G.tape(c.batch_size), D.tape(c.batch_size), D.tape(c.batch_size)
    fake = G.forward(z, tape_g)

    def logits() -> tuple[Array, Array]:
        return D.forward(real, tape_r), D.forward(fake, tape_f)

    def generator_gradient() -> Array:
        ds, grad = backend.zeros((c.batch_size, 1), c.dtype), G.parameters()
        gan.objective.generator_gradient(*logits(), ds)
        G.backward(D.backward(ds, tape_f), tape_g, into=grad)
        return grad.flat

    def discriminator_gradient() -> Array:
        dr, df = (backend.zeros((c.batch_size, 1), c.dtype) for _ in range(2))
        of_real, of_fake = D.parameters(), D.parameters()
        gan.objective.discriminator_gradient(*logits(), dr, df)
        D.backward(dr, tape_r, into=of_real)
        D.backward(df, tape_f, into=of_fake)
        return of_real.flat + of_fake.flat

    before = generator_gradient()
    adam_d.update(D.theta.flat, discriminator_gradient(), gan.step + 1, c.lr_discriminator)
    gradient = before if c.update == "simultaneous" else generator_gradient()
    adam_g.update(G.theta.flat, gradient, gan.step + 1, c.lr_generator)
    return backend.to_host(D.theta.flat), backend.to_host(G.theta.flat)


@pytest.mark.parametrize("activation", ["leaky-relu", "tanh"])
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_steps_equal_the_naive_computation(backend: Ops, objective: str, update: str, activation: str) -> None:
    """Also for the simultaneous step with its single backward pass; the hinge loss has logit gradients of 0."""
    gan, fill = tiny_gan(
        backend, scale=1.5, objective=objective, update=update, activation=activation, lr_discriminator=0.02
    )
    for _ in range(4):
        d, g = naive_step(gan, fill)
        gan.train_step(fill)
        # the gradient of D's last bias is 0 in a relativistic loss; what rounding leaves of it, Adam divides by 1e-8
        np.testing.assert_allclose(backend.to_host(gan.discriminator.theta.flat), d, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(backend.to_host(gan.generator.theta.flat), g, rtol=1e-9, atol=1e-11)


def test_alternating_and_simultaneous_differ_only_in_the_generator_at_first(backend: Ops) -> None:
    (a, fill), (b, _) = (tiny_gan(backend, update=update) for update in UPDATES)
    a.train_step(fill)
    b.train_step(fill)
    one, other = flats(a), flats(b)
    np.testing.assert_allclose(one["discriminator"], other["discriminator"], rtol=1e-12)
    assert relative_error(one["generator.adam.m"], other["generator.adam.m"]) > 1e-6


# --------------------------------------------------------------------------------------- which network moves, and when

PENALISED: dict[str, Any] = {"r1": 0.3, "r2": 0.3, "gradient_penalty": 0.5}


@pytest.mark.parametrize("penalties", [{}, PENALISED], ids=["plain", "penalised"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_update_moves_its_own_network_and_leaves_the_other_bit_identical(
    backend: Ops, objective: str, penalties: dict[str, Any]
) -> None:
    gan, fill = tiny_gan(backend, objective=objective, **penalties)
    fill(gan.batch.real.x, 0)
    gan.noise.normal(gan.z, streams.LATENT, 0)
    gan.generator.forward(gan.z, gan.tape_g)
    gan.coefficients.write(0)
    start = flats(gan)
    gan.discriminator_update(Phase.of(gan.config, 0).penalise)
    middle = flats(gan)
    gan.generator_update()
    end = flats(gan)
    for name in STATE:
        moves_d, moves_g = (not np.array_equal(a[name], b[name]) for a, b in ((start, middle), (middle, end)))
        assert moves_d == name.startswith("discriminator")
        assert moves_g == name.startswith("generator")


@pytest.mark.parametrize("adam", ["adam_d", "adam_g"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_simultaneous_step_without_one_players_adam_leaves_that_player_bit_identical(
    backend: Ops, monkeypatch: pytest.MonkeyPatch, objective: str, adam: str
) -> None:
    gan, fill = tiny_gan(backend, objective=objective, update="simultaneous", **PENALISED)
    monkeypatch.setattr(getattr(gan, adam), "apply", lambda *_: None)
    start = flats(gan)
    gan.train_step(fill)
    end = flats(gan)
    for name in ("generator", "discriminator"):
        assert np.array_equal(start[name], end[name]) == (name[0] == adam[-1])


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_layer_of_both_networks_moves(backend: Ops, objective: str, update: str) -> None:
    """If the generator's gradient is not propagated through the discriminator, the generator does not change."""
    gan, fill = tiny_gan(backend, objective=objective, update=update, activation="tanh")
    before = [
        [(backend.to_host(W).copy(), backend.to_host(b).copy()) for W, b in n.theta.layers]
        for n in (gan.generator, gan.discriminator)
    ]
    gan.train_step(fill)
    for layers, network in zip(before, (gan.generator, gan.discriminator), strict=True):
        for k, ((W0, b0), (W, b)) in enumerate(zip(layers, network.theta.layers, strict=True)):
            assert (backend.to_host(W) != W0).all()
            last_bias_cancels = (
                network is gan.discriminator and k == 2 and objective in ("wasserstein", "relativistic", "hinge")
            )
            if not last_bias_cancels:
                assert (backend.to_host(b) != b0).all()


@pytest.mark.parametrize("update", UPDATES)
def test_both_players_see_the_same_fakes(backend: Ops, monkeypatch: pytest.MonkeyPatch, update: str) -> None:
    gan, fill = tiny_gan(backend, update=update)
    seen, drawn = [], []
    forward, draw = gan.discriminator.forward, gan.noise.normal
    monkeypatch.setattr(
        gan.discriminator,
        "forward",
        lambda x, tape: (seen.append(backend.to_host(gan.batch.fake.x).copy()), forward(x, tape))[1],
    )
    monkeypatch.setattr(
        gan.noise, "normal", lambda out, stream, step: (drawn.append((stream, step)), draw(out, stream, step))
    )
    gan.train_step(fill)
    gan.train_step(fill)
    assert drawn == [(streams.LATENT, 0), (streams.LATENT, 1)]
    passes = 1 if update == "simultaneous" else 2
    assert len(seen) == 2 * passes
    assert len({x.tobytes() for x in seen[:passes]}) == 1
    assert seen[0].tobytes() != seen[-1].tobytes()


@pytest.mark.parametrize("update", UPDATES)
def test_discriminator_steps_and_lazy_penalties_follow_their_counts(
    backend: Ops, monkeypatch: pytest.MonkeyPatch, update: str
) -> None:
    gan, fill = tiny_gan(
        backend, update=update, discriminator_steps=3, r1=1.0, penalty_every=2, lr_schedule="linear", steps=4
    )
    batches, updates_d, updates_g, penalised = [], [], [], []
    prepared: list[tuple[int, float]] = []  # for D and for G, one after the other

    def counted(t: int, lr: float, *betas: float) -> tuple[float, ...]:
        prepared.append((t, lr))
        return adam_coefficients(t, lr, *betas)

    monkeypatch.setattr(coefficients, "adam_coefficients", counted)
    monkeypatch.setattr(gan.adam_d, "apply", lambda *_: updates_d.append(prepared[-2]))
    monkeypatch.setattr(gan.adam_g, "apply", lambda *_: updates_g.append(prepared[-1]))
    gradient = gan.batch.penalised_gradient
    monkeypatch.setattr(
        gan.batch, "penalised_gradient", lambda into: (penalised.append(len(updates_d)), gradient(into))
    )

    def counting(out: Array, i: int) -> None:
        batches.append(i)
        fill(out, i)

    for _ in range(4):
        gan.train_step(counting)
    assert gan.step == 4
    assert batches == list(range(12))
    assert updates_d == [(i + 1, 1e-3 * (1 - (i // 3) / 4)) for i in range(12)]
    assert updates_g == [(i + 1, 1e-3 * (1 - i / 4)) for i in range(4)]
    assert penalised == [0, 2, 4, 6, 8, 10]


def test_penalties_and_rates_fall_over_schedule_steps(backend: Ops) -> None:
    falling = {"penalty_schedule": "linear", "penalty_end": 0.2, "lr_schedule": "cosine"}
    gan, _ = tiny_gan(backend, r1=2.0, **falling, steps=10, schedule_steps=20)
    assert gan.config.horizon == 20
    assert tiny_gan(backend, steps=10)[0].config.horizon == 10
    gan.batch.real.tape.dx.fill(1)
    seen = []
    for step in (0, 10, 20, 30):
        gan.coefficients.write(step)
        gan.batch.penalty_directions()
        full = adam_coefficients(step + 1, gan.config.lr_discriminator, gan.config.beta1, gan.config.beta2)[2]
        seen.append((float(gan.batch.real.tape.v[0, 0]), float(gan.adam_d.prepared[2]) / full))
    np.testing.assert_allclose(seen, [(2 / 4, 1), (2 / 4 * 0.6, 0.5), (2 / 4 * 0.2, 0), (2 / 4 * 0.2, 0)], atol=1e-12)


def test_the_generator_moves_with_the_last_minibatch_of_a_step(backend: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    gan, fill = tiny_gan(backend, discriminator_steps=3, r1=1.0, penalty_every=2)
    order: list[Phase] = []
    monkeypatch.setattr(gan, "run", order.append)
    for _ in range(2):
        gan.train_step(fill)
    assert [phase.generator for phase in order] == [False, False, True] * 2
    assert [phase.penalise for phase in order] == [True, False] * 3


@pytest.mark.parametrize(
    ("settings", "forward", "gradients"),
    [
        ({}, ["G", "DD", "D"], ["D"]),
        ({"objective": "relativistic"}, ["G", "DD", "DD"], ["D"]),
        ({"r1": 0.3}, ["G", "DD", "D"], ["D", "D"]),
        ({"r2": 0.3, "gradient_penalty": 0.5}, ["G", "DDD", "D"], ["DD", "D"]),
        (PENALISED, ["G", "DDD", "D"], ["DDD", "D"]),
        ({"update": "simultaneous"}, ["G", "DD"], ["D"]),
        ({"update": "simultaneous", "r1": 0.3}, ["G", "DD"], ["DD"]),
        ({"update": "simultaneous", **PENALISED}, ["G", "DDD"], ["DDD"]),
    ],
    ids=lambda v: "-".join(map(str, v.values())) if isinstance(v, dict) else None,
)
def test_a_step_passes_the_rows_that_it_needs_and_no_more(
    backend: Ops, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], forward: list[str], gradients: list[str]
) -> None:
    """Forward passes, and products that lead to dL/dx: a network's letter for every B rows of a pass."""
    gan, fill = tiny_gan(backend, **{"objective": "hinge", **settings})
    seen: dict[str, list[str]] = {"forward": [], "input_gradient": []}

    def watch(name: str) -> None:
        original = getattr(Network, name)

        def watched(self: Network, *arguments: Any) -> Array:
            seen[name].append(("G" if self is gan.generator else "D") * (len(arguments[-1]) // gan.config.batch_size))
            return original(self, *arguments)

        monkeypatch.setattr(Network, name, watched)

    for name in seen:
        watch(name)
    gan.train_step(fill)
    assert seen == {"forward": forward, "input_gradient": gradients}


def test_the_backend_draws_all_random_numbers(backend: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, int, int]] = []

    def watch(kind: str) -> None:
        original = getattr(backend, kind)

        def watched(out: Array, noise: Noise, stream: int, step: int) -> None:
            drawn.append((kind, stream, step))
            original(out, noise, stream, step)

        monkeypatch.setattr(backend, kind, watched)

    watch("normal")
    watch("uniform")
    gan, fill = tiny_gan(backend, hidden=(5,), gradient_penalty=1.0)
    assert drawn == [("normal", s, k) for s in (streams.INIT_GENERATOR, streams.INIT_DISCRIMINATOR) for k in (0, 1)]
    drawn.clear()
    gan.train_step(fill)
    assert drawn == [("normal", streams.LATENT, 0), ("uniform", streams.INTERPOLATION, 0)]
    drawn.clear()
    gan.sample(CHUNK + 1)
    assert drawn == [("normal", streams.SAMPLE, 0), ("normal", streams.SAMPLE, 1)]


def test_optimisers_that_are_prepared_alone_have_the_settings_of_the_run(backend: Ops) -> None:
    gan, _ = tiny_gan(backend, beta1=0.3, beta2=0.7, ema=0.2, lr_generator=0.01, lr_discriminator=0.02)
    gan.coefficients.write(4)
    written = backend.to_host(gan.coefficients.array).copy()
    gan.coefficients.array.fill(0)
    gan.adam_d.prepare(5, 0.02)
    gan.adam_g.prepare(5, 0.01)
    gan.average.prepare(5)
    np.testing.assert_array_equal(backend.to_host(gan.coefficients.array), written)


def test_each_phase_has_one_program_that_is_told_what_it_leaves(backend: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[list[str], str]] = []

    def program(passes: Any, outcome: Any, what: str) -> Any:
        made.append(([o.name for o in outcome], what))
        return passes

    monkeypatch.setattr(backend, "program", program)
    gan, fill = tiny_gan(backend, objective="hinge", r1=1.0, penalty_every=2)
    for _ in range(4):
        gan.train_step(fill)
    assert made == [([o.name for o in gan.outcome()], "a step with --objective hinge")] * 2


@pytest.mark.parametrize("update", UPDATES)
def test_the_outcome_is_all_that_a_step_leaves(backend: Ops, update: str) -> None:
    gan, _ = tiny_gan(backend, update=update)
    of_d, of_g, state = "gradient of the discriminator", "gradient of the generator", gan.state()
    expected = [
        ("generated samples", gan.batch.fake.x, None, True),
        ("logits of the discriminator", gan.batch.all.s, None, True),
        (of_d, gan.grad_d.flat, None, True),
        ("logits that the generator saw", gan.batch.fresh.s, None, False),
        (of_g, gan.grad_g.flat, None, True),
        *((name, array, of_g if name.startswith("generator") else of_d, True) for name, array in state.items()),
    ]
    for got, (name, array, gradient, compared) in zip(gan.outcome(), expected, strict=True):
        assert (got.name, got.gradient, got.compared) == (name, gradient, compared)
        assert got.array is array


def test_a_gan_is_printed_with_its_networks_and_its_step(backend: Ops) -> None:
    gan, fill = tiny_gan(backend, objective="hinge")
    gan.train_step(fill)
    assert repr(gan) == "GAN(hinge, generator 3-5-6-4, discriminator 4-5-6-1, batch 4, float64, step 1)"


# ------------------------------------------------------------------------------------------------- what a step reports


@pytest.mark.parametrize("update", UPDATES)
def test_measuring_reports_the_losses_and_changes_nothing(backend: Ops, update: str) -> None:
    (a, fill), (b, _) = (tiny_gan(backend, update=update, objective="non-saturating", **PENALISED) for _ in range(2))
    D0 = copy_of(a.discriminator)
    for _ in range(3):
        fake = a.generator.forward(a.z, a.generator.tape(4)) * 1.0
        D0 = copy_of(a.discriminator)
        G0 = copy_of(a.generator)
        seen = a.train_step(fill, measure=True)
        assert b.train_step(fill) is None
    assert seen is not None
    real = backend.zeros((4, 4), "float64")
    fill(real, 2)
    fake = G0.forward(a.z, G0.tape(4))
    r, f = D0.forward(real, D0.tape(4)), D0.forward(fake, D0.tape(4))
    assert seen.loss_d == pytest.approx(float(a.objective.discriminator(r, f)), rel=1e-12)
    assert seen.d_real == pytest.approx((1 / (1 + np.exp(-backend.to_host(r)))).mean(), rel=1e-12)
    assert seen.d_fake == pytest.approx((1 / (1 + np.exp(-backend.to_host(f)))).mean(), rel=1e-12)
    judge = a.discriminator if update == "alternating" else D0
    f = judge.forward(fake, judge.tape(4))
    assert seen.loss_g == pytest.approx(float(a.objective.generator(r, f)), rel=1e-12)
    for one, other in zip(flats(a).values(), flats(b).values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_d_of_x_is_a_probability_even_where_logits_are_enormous(backend: Ops) -> None:
    gan, fill = tiny_gan(backend, scale=1e3, dtype="float32", activation="relu")
    with np.errstate(over="raise", invalid="raise"):
        seen = gan.train_step(fill, measure=True)
    assert seen is not None and 0 <= seen.d_real <= 1 and 0 <= seen.d_fake <= 1
    assert all(map(math.isfinite, (seen.loss_d, seen.loss_g)))


# ------------------------------------------------------------------------------------------ memory, state and samples


@pytest.mark.parametrize(
    ("batch", "hidden"), [(32768, (8,)), (32, (300, 300))], ids=["arrays of the batch", "arrays of the weights"]
)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"update": "simultaneous", "objective": "non-saturating"},
        {"r1": 1.0, "r2": 1.0, "penalty_every": 2},
        {"activation": "tanh", "objective": "hinge", "gradient_penalty": 1.0, "r1": 0.1},
        {"activation": "sigmoid", "update": "simultaneous", "gradient_penalty": 1.0, "objective": "wasserstein"},
        {"objective": "least-squares", "discriminator_steps": 2, "dtype": "float64"},
        {"objective": "minimax", "label_smoothing": 0.1, "output": "sigmoid", "activation": "relu"},
    ],
    ids=lambda s: "-".join(map(str, s.values())) or "default",
)
def test_a_training_step_allocates_no_array(
    backend: Ops, batch: int, hidden: tuple[int, ...], settings: dict[str, Any]
) -> None:
    """In float32 any array of the batch has at least 128 kB here, any of the larger weights 360 kB, NumPy's buffers up to 66 kB;
    all three are twice as large in float64."""
    if backend.name != "numpy":
        pytest.skip("tracemalloc sees only what is allocated on the host")
    gan = GAN(Config(batch_size=batch, hidden=hidden, latent=2, **settings), 3, backend)
    real = normal(backend, batch, 3, dtype=gan.config.dtype)
    for _ in range(3):
        gan.train_step(lambda out, i: np.copyto(out, real))
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        gan.train_step(lambda out, i: np.copyto(out, real))
        gan.train_step(lambda out, i: np.copyto(out, real))
        peak = tracemalloc.get_traced_memory()[1] - base
    finally:
        tracemalloc.stop()
    assert peak < 100_000 * (1 + (gan.config.dtype == "float64"))


def test_the_allocation_test_would_see_one_logit_array() -> None:
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        base = tracemalloc.get_traced_memory()[0]
        np.negative(np.zeros((32768, 1), np.float32))
        assert tracemalloc.get_traced_memory()[1] - base > 100_000
    finally:
        tracemalloc.stop()


def test_the_state_is_seven_flat_vectors_and_enough_to_continue(backend: Ops) -> None:
    """Two GANs with the same state and step number make the same next steps, whatever they computed before."""
    (a, fill), (b, _) = (tiny_gan(backend, **PENALISED, penalty_every=2, discriminator_steps=2) for _ in range(2))
    assert sorted(a.state()) == STATE
    for _ in range(3):
        a.train_step(fill)
    for _ in range(4):
        b.train_step(fill)
    for name, array in b.state().items():
        assert array.ndim == 1
        array[...] = a.state()[name]
    b.step = a.step
    for _ in range(3):
        a.train_step(fill)
        b.train_step(fill)
    for one, other in zip(flats(a).values(), flats(b).values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_average_takes_in_the_weights_after_every_step(backend: Ops) -> None:
    gan, fill = tiny_gan(backend, ema=0.9)
    mean = backend.to_host(gan.average.mean).copy()
    for t in range(1, 20):
        gan.train_step(fill)
        d = min(0.9, (1 + t) / (10 + t))
        mean = d * mean + (1 - d) * backend.to_host(gan.generator.theta.flat)
        np.testing.assert_allclose(backend.to_host(gan.average.mean), mean, rtol=1e-11, atol=1e-13)


def test_training_is_a_function_of_the_seed(backend: Ops) -> None:
    def trained(seed: int) -> dict[str, np.ndarray]:
        gan = GAN(Config(seed=seed, batch_size=4, hidden=(5,), latent=2), 3, backend)
        for step in range(3):
            gan.train_step(lambda out, i, step=step: out.fill(step))
        return flats(gan)

    one, same, other = trained(1), trained(1), trained(2)
    for name in STATE:
        np.testing.assert_array_equal(one[name], same[name])
        assert (one[name] != other[name]).any()


def test_float32_follows_float64(backend: Ops) -> None:
    """The same noise and start in both precisions: after a few steps they differ by rounding only."""
    state = {}
    for dtype in ("float32", "float64"):
        gan = GAN(Config(dtype=dtype, batch_size=16, hidden=(8, 8), latent=2, r1=0.5, r2=0.5, beta1=0.5), 3, backend)
        real = normal(backend, 16, 3, dtype=dtype)
        for _ in range(5):
            gan.train_step(lambda out, i, real=real: backend.xp.copyto(out, real))
        state[dtype] = flats(gan)
    assert relative_error(state["float32"]["generator"], state["float64"]["generator"]) < 1e-3
    assert relative_error(state["float32"]["generator.average"], state["float64"]["generator.average"]) < 1e-3


def test_the_first_samples_do_not_depend_on_how_many_are_asked_for(backend: Ops) -> None:
    gan, fill = tiny_gan(backend, dtype="float32")
    gan.train_step(fill)
    few, some = gan.sample(16), gan.sample(64)
    assert few.shape == (16, 4) and some.shape == (64, 4)
    assert few.dtype == "float32"
    np.testing.assert_array_equal(few, some[:16])
    many = gan.sample(2 * CHUNK + 3)
    assert many.shape == (2 * CHUNK + 3, 4)
    np.testing.assert_array_equal(many[:64], some)
    assert len(np.unique(many, axis=0)) == len(many), "chunks draw different latent points"


def test_samples_are_the_generators_output_for_documented_latent_points(backend: Ops) -> None:
    """Sample i is row i modulo 256 of chunk i // 256: another size of chunks would change the samples of every checkpoint."""
    gan, fill = tiny_gan(backend)
    gan.train_step(fill)
    z, tape = backend.zeros((256, 3), "float64"), gan.generator.tape(256)
    got = gan.sample(300, seed=9, raw=True)
    for chunk, expected in enumerate((got[:256], got[256:])):
        Noise(9, backend).normal(z, streams.SAMPLE, chunk)
        np.testing.assert_array_equal(backend.to_host(gan.generator.forward(z, tape))[: len(expected)], expected)


def test_sampling_uses_the_average_unless_raw_and_disturbs_no_training(backend: Ops) -> None:
    (a, fill), (b, _) = (tiny_gan(backend, lr_generator=0.1) for _ in range(2))
    for _ in range(3):
        a.train_step(fill)
        b.train_step(fill)
        average, raw = a.sample(5), a.sample(5, raw=True)
        assert (average != raw).all()
    np.testing.assert_array_equal(a.sample(5), average)
    for different in (a.sample(5, seed=8), a.sample(5, stream=streams.PREVIEW)):
        assert (different != average).all()
    average[...] = 0  # a copy
    for one, other in zip(flats(a).values(), flats(b).values(), strict=True):
        np.testing.assert_array_equal(one, other)


# ------------------------------------------------------------------------------------------------------- it does learn


@pytest.mark.parametrize(
    ("objective", "update"), [*itertools.product(["non-saturating", "relativistic"], UPDATES), ("hinge", "alternating")]
)
def test_a_toy_is_learnt(backend: Ops, objective: str, update: str) -> None:
    """A Gaussian at (2, -1): the generated mean comes close, and the spread does not collapse."""
    config = Config(
        objective=objective, update=update, r1=0.1, r2=0.1, batch_size=64, latent=2, hidden=(32,), output="identity",
        lr_generator=5e-3, lr_discriminator=5e-3, ema=0.98,
    )  # fmt: skip
    gan, noise = GAN(config, 2, backend), Noise(1, backend)
    centre = backend.asarray(np.array([2, -1], np.float32))

    def fill(out: Array, i: int) -> None:
        noise.normal(out, streams.DATA, i)
        out *= 0.5
        out += centre

    def distance() -> float:
        return float(np.linalg.norm(gan.sample(1000).mean(axis=0) - [2, -1]))

    before = distance()
    for _ in range(600):
        gan.train_step(fill)
    assert before > 1.5
    assert distance() < 0.2
    assert gan.sample(1000).std(axis=0).min() > 0.2 and gan.sample(1000).std(axis=0).max() < 0.9


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_discriminator_alone_lowers_its_loss(backend: Ops, activation: str) -> None:
    gan, fill = tiny_gan(backend, activation=activation, objective="non-saturating", lr_discriminator=0.01)
    fill(gan.batch.real.x, 0)
    gan.noise.normal(gan.z, streams.LATENT, 0)
    gan.generator.forward(gan.z, gan.tape_g)
    losses = []
    for i in range(30):
        gan.coefficients.write(i)
        gan.discriminator_update(penalise=False)
        losses.append(gan.measurement().loss_d)
    assert losses[-1] < 0.9 * losses[0]
