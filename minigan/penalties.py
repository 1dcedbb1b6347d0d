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

from minigan.backend import Array
from minigan.network import Network, Parameters, Tape
from minigan.ops import Ops

TINY = 1e-18
"""Floor of |g| in WGAN-GP's division: below it the squares leave float32, and g / |g| must not exceed a unit vector."""


def zero_centred(g: Array, gamma: float) -> float:
    """P = gamma/2 mean_i |g_i|^2: R1 on real samples, R2 on generated ones (Mescheder et al. 2018, equation 9)."""
    return gamma / 2 * (g**2).sum(axis=1).mean()


def zero_centred_direction(ops: Ops, g: Array, coefficient: Array | float, v: Array) -> None:
    """v_i = dP/dg_i = gamma / B g_i; coefficient: gamma / B."""
    ops.xp.multiply(g, coefficient, out=v)


def one_centred(ops: Ops, g: Array, weight: float) -> float:
    """P = lambda mean_i (|g_i| - 1)^2: WGAN-GP, on interpolates (Gulrajani et al. 2017, equation 3)."""
    return weight * ((ops.xp.sqrt((g**2).sum(axis=1)) - 1) ** 2).mean()


def one_centred_direction(ops: Ops, g: Array, coefficient: Array | float, v: Array, norm: Array) -> None:
    """v_i = dP/dg_i = 2 lambda / B (1 - 1/|g_i|) g_i, and 0 where g_i = 0 (a subgradient: no NaN).

    coefficient: 2 lambda / B.  norm: scratch (B, 1).
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
    """out_i = fake_i + e_i (real_i - fake_i), e_i uniform on [0, 1) given in mix (B, 1)."""
    xp = ops.xp
    xp.subtract(real, fake, out=out)
    xp.multiply(out, mix, out=out)
    xp.add(out, fake, out=out)


def penalised_gradient(
    network: Network, tape: Tape, part: Tape, lo: int, ds: Array, into: Parameters, scratch: Parameters
) -> None:
    """Weight gradients of the loss (through ds = dLoss/ds) plus the penalties (through v) in one sweep.

    `part` is the view of `tape` from row `lo` on that holds the penalised samples. Before: `network.backward(tape.ones,
    tape)` has left unit-seeded deltas, and the directions v stand in `part.v` (0 where a sample is not penalised).
    `scratch` is as large as `into`.
    """
    network.tangent(part.v, part)
    if network.curved:
        curved_gradient(network, tape, part, lo, ds, into, scratch)
    else:
        piecewise_linear_gradient(network, tape, part, lo, ds, into)


def piecewise_linear_gradient(network: Network, tape: Tape, part: Tape, lo: int, ds: Array, into: Parameters) -> None:
    """dW_l = (ds * Y_{l-1} + T_{l-1})^T delta_l and db_l = ds^T delta_l: phi'' = 0, so slopes do not move."""
    xp, rows = network.ops.xp, slice(lo, lo + part.batch)
    for k, (dW, db) in enumerate(into.layers):
        x, t = (tape.y[k - 1], part.t[k - 1]) if k else (tape.x, part.v)
        mix = tape.mix[k]
        penalised = mix[rows]
        xp.multiply(x, ds, out=mix)
        xp.add(penalised, t, out=penalised)
        xp.dot(mix.T, tape.dz[k], out=dW)
        xp.dot(ds.T, tape.dz[k], out=db.reshape(1, -1))


def curved_gradient(
    network: Network, tape: Tape, part: Tape, lo: int, ds: Array, into: Parameters, scratch: Parameters
) -> None:
    """One more reverse pass, for activations whose slope phi'(z) moves with z.

    T_l = U_l * phi'(z_l) depends on z_l with derivative U_l * phi''(z_l). Its weight in sum_i T_L,i is delta_l / phi'(z_l),
    so z_l receives bend_l = delta_l * U_l * phi''/phi'. Carried back together with the loss (e is dLoss/dz + that):

        e_L = ds                      e_{l-1} = (e_l W_l^T) * phi'(z_{l-1}) + bend_{l-1}
        dW_l = Y_{l-1}^T e_l + T_{l-1}^T delta_l                  db_l = sum_B e_l
    """
    ops, xp = network.ops, network.ops.xp
    rows = slice(lo, lo + part.batch)
    last = len(into.layers) - 1
    for k in reversed(range(len(into.layers))):
        dW, db = into.layers[k]
        if k == last:  # the logit is linear in z_L
            xp.copyto(tape.e[k], ds)
        else:  # hidden layers share one activation, here a curved one
            ops.input_gradient(tape.e[k + 1], network.theta.layers[k + 1][0], tape.e[k])
            xp.multiply(tape.e[k], tape.slope[k], out=tape.e[k])
            ops.curvature(network.activations[k], part.y[k], part.bend[k])
            xp.multiply(part.bend[k], part.u[k], out=part.bend[k])
            xp.multiply(part.bend[k], part.dz[k], out=part.bend[k])
            penalised = tape.e[k][rows]
            xp.add(penalised, part.bend[k], out=penalised)
        x, t = (tape.y[k - 1], part.t[k - 1]) if k else (tape.x, part.v)
        ops.weight_gradient(x, tape.e[k], dW, db)
        product = scratch.layers[k][0]
        xp.dot(t.T, part.dz[k], out=product)
        xp.add(dW, product, out=dW)
