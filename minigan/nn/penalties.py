"""Gradient penalties on the discriminator, with their second derivatives by hand.

A penalty is a function of g_i = dD(x_i)/dx_i, the gradient of the logit with respect to its own sample. Its gradient with
respect to the *weights* needs d2D/dx dtheta. With v_i = dP/dg_i held fixed, dP/dtheta is the gradient of the scalar

    sum_i v_i . g_i(theta)  =  sum_i (derivative of D(x_i) along v_i)  =  sum_i T_L,i

which one tangent pass T_0 = v, T_l = (T_{l-1} W_l) * phi'(Y_l) computes. Its derivative with respect to W_l, the slopes
held fixed, needs no new backward pass: it is T_{l-1}^T delta_l with the deltas of D's own backward pass seeded with ones.
For piecewise-linear activations (phi'' = 0) that is all, and together with the loss (weights ds_i on the same deltas)

    dW_l = (ds * Y_{l-1} + T_{l-1})^T delta_l        db_l = ds^T delta_l

so the penalty adds no weight product at all. Curved activations move the slopes too: see `curved_gradient`.
docs/math.md derives both.
"""

from __future__ import annotations

from minigan.backends import Array
from minigan.backends.ops import Ops
from minigan.nn.network import Network, Parameters, Tape

TINY = 1e-18
"""Floor of |g| in WGAN-GP's division: below it the squares leave float32, and g / |g| must not exceed a unit vector."""


def zero_centred(g: Array, gamma: float) -> float:
    """P = gamma/2 mean_i |g_i|^2: R1 on real samples, R2 on generated ones (Mescheder et al. 2018, equation 9).

    docs/math.md, "Gradient penalties".
    """
    return gamma / 2 * (g**2).sum(axis=1).mean()


def zero_centred_direction(ops: Ops, g: Array, coefficient: Array | float, v: Array) -> None:
    """v_i = dP/dg_i = gamma / B g_i; coefficient: gamma / B. docs/math.md, "Gradient penalties"."""
    ops.xp.multiply(g, coefficient, out=v)


def one_centred(ops: Ops, g: Array, weight: float) -> float:
    """P = lambda mean_i (|g_i| - 1)^2: WGAN-GP, on interpolates (Gulrajani et al. 2017, equation 3).

    docs/math.md, "Gradient penalties".
    """
    return weight * ((ops.xp.sqrt((g**2).sum(axis=1)) - 1) ** 2).mean()


def one_centred_direction(ops: Ops, g: Array, coefficient: Array | float, v: Array, norm: Array) -> None:
    """v_i = dP/dg_i = 2 lambda / B (1 - 1/|g_i|) g_i, and 0 where g_i = 0 (a subgradient: no NaN).

    coefficient: 2 lambda / B.  norm: scratch (B, 1).

    docs/math.md, "Gradient penalties".
    """
    xp = ops.xp
    xp.multiply(g, g, out=v)
    xp.sum(v, axis=1, keepdims=True, out=norm)
    xp.sqrt(norm, out=norm)
    xp.maximum(norm, TINY, out=norm)
    xp.divide(g, norm, out=v)  # a unit vector, or 0
    xp.subtract(g, v, out=v)
    xp.multiply(v, coefficient, out=v)


def interpolate(ops: Ops, real: Array, fake: Array, mix: Array, out: Array) -> None:
    """out_i = fake_i + alpha_i (real_i - fake_i), alpha_i uniform on [0, 1), given in mix (B, 1).

    docs/math.md, "Gradient penalties".
    """
    xp = ops.xp
    xp.subtract(real, fake, out=out)
    xp.multiply(out, mix, out=out)
    xp.add(out, fake, out=out)


def penalised_gradient(
    network: Network, tape: Tape, part: Tape, ds: Array, into: Parameters, scratch: Parameters
) -> None:
    """Weight gradients of the loss (through ds = dLoss/ds) plus the penalties (through v) in one sweep.

    `part` is the view of `tape` that holds the penalised samples. Before: `network.backward(tape.ones, tape)` has left
    unit-seeded deltas, and part.v holds the directions v (0 where a sample is not penalised). `scratch` is as large as `into`.

    docs/math.md, "Gradient penalties".
    """
    network.tangent(part.v, part)
    if network.curved:
        curved_gradient(network, tape, part, ds, into, scratch)
    else:
        piecewise_linear_gradient(network, tape, part, ds, into)


def piecewise_linear_gradient(network: Network, tape: Tape, part: Tape, ds: Array, into: Parameters) -> None:
    """dW_l = (ds * Y_{l-1} + T_{l-1})^T delta_l and db_l = ds^T delta_l: phi'' = 0, so slopes do not move.

    docs/math.md, "Gradient penalties".
    """
    steps = zip(network.layers, tape.inputs(), part.directions(), tape.layers, part.layers, into.layers, strict=True)
    for layer, x, t, whole, penalised, d in steps:
        layer.mixed_gradient(x, t, whole, penalised, ds, d)


def curved_gradient(network: Network, tape: Tape, part: Tape, ds: Array, into: Parameters, scratch: Parameters) -> None:
    """One more reverse pass, for activations whose slope phi'(z) moves with z.

    T_l = U_l * phi'(z_l) depends on z_l with derivative U_l * phi''(z_l). Its weight in sum_i T_L,i is delta_l / phi'(z_l),
    so z_l receives bend_l = delta_l * U_l * phi''/phi'. Carried back together with the loss (e is dLoss/dz + that):

        e_L = ds                      e_{l-1} = (e_l W_l^T) * phi'(z_{l-1}) + bend_{l-1}
        dW_l = Y_{l-1}^T e_l + T_{l-1}^T delta_l                  db_l = sum_B e_l

    docs/math.md, "Gradient penalties".
    """
    layers, x, t = network.layers, tape.inputs(), part.directions()
    network.ops.xp.copyto(tape.layers[-1].e, ds)  # the logit is linear in z_L
    for k in reversed(range(len(layers))):
        if k < len(layers) - 1:
            above = layers[k + 1], network.theta.layers[k + 1], tape.layers[k + 1]
            layers[k].second_delta(*above, tape.layers[k], part.layers[k])
        layers[k].second_gradient(x[k], t[k], tape.layers[k], part.layers[k], into.layers[k], scratch.layers[k][0])
