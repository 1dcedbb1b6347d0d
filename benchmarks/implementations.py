"""One training step, in minigan and in other libraries: the implementations that `benchmarks.peers` compares.

All compute the same step: fakes = G(z), z ~ N(0, I); the discriminator's Adam step on a minibatch of real rows and the fakes; the
generator's, through the discriminator just updated, on the same fakes; the average of the generator's weights. With
gamma, R1 and R2 penalties in every step. In the simultaneous step both gradients are taken at the same weights. Weights
are exchanged between implementations as minigan's flat vectors: W1 (I, O) row by row, b1, W2, ...

Each draws noise with its own generator, and gathers its own minibatches from rows that are in memory on the CPU
or on a GPU (`Case.device`), where all multiply in float32 unless their name contains another precision.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from benchmarks import versions
from minigan import GAN
from minigan.backends import Array, get_ops
from minigan.backends.activations import LEAK
from minigan.config import Config
from minigan.data.batches import Batches
from minigan.data.scaling import Scaler
from minigan.runs.cost import count
from minigan.runs.steps import Launch
from minigan.runs.threads import limited_threads

Arrays = dict[str, np.ndarray]
BACKENDS = {"cpu": "numpy", "gpu": "cupy"}
NAMES = ("generator", "discriminator", "average")


@dataclass(frozen=True)
class Case:
    """A step to time: networks latent -> hidden -> size and size -> hidden -> 1, `batch` real and `batch` generated rows."""

    name: str
    size: int
    hidden: tuple[int, ...]
    batch: int
    latent: int = 64
    objective: str = "non-saturating"
    update: str = "alternating"
    gamma: float = 0.0
    lr: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999
    eps: float = 1e-8
    ema: float = 0.999
    seed: int = 0
    device: str = "cpu"
    """Where: "cpu" or "gpu"."""

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Case:
        return cls(**{**values, "hidden": tuple(values["hidden"])})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def layers(self) -> dict[str, tuple[int, ...]]:
        g, d = (self.latent, *self.hidden, self.size), (self.size, *self.hidden, 1)
        return {"generator": g, "discriminator": d, "average": g}

    def config(self, backend: str = "numpy", kernels: str = "reference") -> Config:
        return Config(
            latent=self.latent, hidden=self.hidden, batch_size=self.batch, objective=self.objective,
            update=self.update, r1=self.gamma, r2=self.gamma, lr_generator=self.lr, lr_discriminator=self.lr,
            beta1=self.beta1, beta2=self.beta2, ema=self.ema, seed=self.seed, backend=backend,
            kernels=kernels,
        )  # fmt: skip

    def average_weight(self, t: int) -> float:
        """1 - d_t, d_t = min(ema, (1 + t) / (10 + t)): how far the average moves after step t = 1, 2, ..."""
        return 1 - min(self.ema, (1 + t) / (10 + t))


def unflatten(flat: np.ndarray, layers: tuple[int, ...]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(W (I, O), b (O,)) of each layer."""
    start = 0
    for i, o in pairwise(layers):
        W, b = flat[start : start + i * o].reshape(i, o), flat[start + i * o : start + (i + 1) * o]
        yield W, b
        start += (i + 1) * o


def flatten(layers: Iterator[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    return np.concatenate([a.reshape(-1) for pair in layers for a in pair])


class Implementation:
    """A step of `case` from the weights `start`, on `rows` (n, size)."""

    checked = True
    """Whether it is a whole step, whose losses and weights can be compared."""

    def __init__(self, case: Case, start: Arrays, rows: np.ndarray) -> None:
        raise NotImplementedError

    def step(self, x: np.ndarray, z: np.ndarray) -> tuple[float, float]:
        """One step on these real rows and latents; (loss_d, loss_g), each before the update that used it."""
        raise NotImplementedError

    def run(self, n: int) -> None:
        """n whole steps; returns when they are done."""
        raise NotImplementedError

    def weights(self) -> Arrays:
        raise NotImplementedError

    def about(self) -> dict[str, Any]:
        """Versions, and other properties of the implementation."""
        return {"versions": versions("numpy")}

    def nodes(self) -> int:
        """The number of nodes of the CUDA graph that has just run; 0 where there is none, or where the number is unknown."""
        return 0


# ---------------------------------------------------------------------------------------------------- minigan


class Minigan(Implementation):
    """minigan with one thread where products are small, as in a training run, even if more are available."""

    kernels: ClassVar[dict[str, str]] = {"cpu": "reference", "gpu": "reference"}
    steps_per_launch: ClassVar[int] = 1
    limits: Any = None  # of the process, in which one case follows another

    def __init__(self, case: Case, start: Arrays, rows: np.ndarray) -> None:
        self.case, kernels = case, self.kernels[case.device]
        self.ops = get_ops(BACKENDS[case.device], kernels)
        self.gan = GAN(case.config(self.ops.name, kernels), case.size, self.ops)
        if Minigan.limits is not None:
            Minigan.limits.restore_original_limits()
        Minigan.limits = limited_threads(self.gan)
        self.gan.generator.theta.flat[...] = self.ops.asarray(start["generator"])
        self.gan.average.mean[...] = self.ops.asarray(start["average"])
        self.gan.discriminator.theta.flat[...] = self.ops.asarray(start["discriminator"])
        as_they_are = Scaler(np.zeros(1), np.ones(1))
        self.batches = Batches(rows, 1.0, as_they_are, case.batch, case.seed, self.ops, "float32")
        self.launch = Launch(self.gan, self.batches, self.steps_per_launch) if self.ops.launches else None

    def fill(self, out: Array, step: int) -> None:
        """Gather rows without scaling them, as in the other implementations."""
        self.ops.take(self.batches.rows, self.batches.resident(step), out)

    def step(self, x: np.ndarray, z: np.ndarray) -> tuple[float, float]:
        rows = self.ops.asarray(x)
        seen = self.gan.train_step(lambda out, i: self.ops.xp.copyto(out, rows), measure=True)
        close = 0 if self.ops.kernels == "reference" else 4e-6  # other noise equals the reference's up to rounding
        drawn = self.ops.to_host(self.gan.z)
        assert np.allclose(drawn, z, rtol=0, atol=close), "minigan drew another z than the others are given"
        assert seen is not None
        return seen.loss_d, seen.loss_g

    def run(self, n: int) -> None:
        if self.launch is not None:
            self.launch.run(n)
        else:
            for _ in range(n):
                self.gan.train_step(self.fill)
        self.ops.synchronize()

    def weights(self) -> Arrays:
        state = {name: self.ops.to_host(array) for name, array in self.gan.state().items()}
        return {"average": state["generator.average"], **{name: state[name] for name in NAMES[:2]}}

    def about(self) -> dict[str, Any]:
        used = {"numba": ["numba"], "cuda": ["nvmath-python"], "cuda-tf32": ["nvmath-python"]}
        return {"versions": versions("numpy", *used.get(self.ops.kernels, [])), "device": self.ops.device}

    def nodes(self) -> int:
        return 0 if self.launch is None else max(graph.nodes() for graph in self.launch.programs.values())  # type: ignore[attr-defined]


class MiniganFast(Minigan):
    kernels: ClassVar[dict[str, str]] = {"cpu": "numba", "gpu": "cuda"}


class MiniganEight(Minigan):
    """On a GPU, eight steps in one CUDA graph."""

    kernels: ClassVar[dict[str, str]] = {"gpu": "cuda"}
    steps_per_launch: ClassVar[int] = 8


class MiniganTF32(Minigan):
    """On a GPU, with products in TF32: another precision than the others', so not compared with them."""

    checked = False
    kernels: ClassVar[dict[str, str]] = {"gpu": "cuda-tf32"}


class Products(Implementation):
    """Only the matrix products of minigan's step, on the same arrays; on a GPU as one CUDA graph."""

    checked = False

    def __init__(self, case: Case, start: Arrays, rows: np.ndarray) -> None:
        self.products = count(
            case.config(), case.size, lambda out, i: np.copyto(out, rows[: case.batch]), get_ops()
        ).plain
        backend = self.ops = get_ops(BACKENDS[case.device], "cuda" if case.device == "gpu" else "reference")
        copies: dict[tuple[Any, ...], Array] = {}  # arrays shared by products are shared in the copy too

        def there(array: np.ndarray) -> Array:
            key = array.ctypes.data, array.shape, array.strides
            if key not in copies:
                copies[key] = backend.asarray(array)
            return copies[key]

        arrays = [tuple(map(there, product)) for product in self.products]
        dot = backend.xp.dot

        def passes() -> None:
            for a, b, out in arrays:
                dot(a, b, out=out)

        self.passes = backend.program(passes)

    def run(self, n: int) -> None:
        for _ in range(n):
            self.passes()
        self.ops.synchronize()


# ---------------------------------------------------------------------------------------------------- PyTorch


class Torch(Implementation):
    """PyTorch eager in its usual form."""

    adam_options: ClassVar[dict[str, bool]] = {}

    def __init__(self, case: Case, start: Arrays, rows: np.ndarray) -> None:
        import torch

        self.torch, self.F, self.case, self.t, self.order = torch, torch.nn.functional, case, 0, None
        self.device = torch.device("cuda" if case.device == "gpu" else "cpu")
        self.rows = torch.from_numpy(rows).to(self.device)
        self.G = self.network(case.layers["generator"], start["generator"], torch.nn.Tanh())
        self.D = self.network(case.layers["discriminator"], start["discriminator"])
        self.average = copy.deepcopy(self.G)
        self.g, self.d = list(self.G.parameters()), list(self.D.parameters())
        self.a = [p.requires_grad_(False) for p in self.average.parameters()]
        self.opt_g, self.opt_d = self.adam(self.g), self.adam(self.d)
        self.bce = torch.nn.BCEWithLogitsLoss()
        self.per_epoch = len(rows) // case.batch

    def network(self, layers: tuple[int, ...], flat: np.ndarray, *output: Any) -> Any:
        nn, modules = self.torch.nn, []
        for W, b in unflatten(flat, layers):
            linear = nn.Linear(*W.shape)
            with self.torch.no_grad():
                linear.weight.copy_(self.torch.from_numpy(W.T.copy()))
                linear.bias.copy_(self.torch.from_numpy(b.copy()))
            modules += [linear, nn.LeakyReLU(LEAK)]
        return nn.Sequential(*modules[:-1], *output).to(self.device)

    def adam(self, parameters: list[Any]) -> Any:
        c = self.case
        return self.torch.optim.Adam(parameters, lr=c.lr, betas=(c.beta1, c.beta2), eps=c.eps, **self.adam_options)

    def weights(self) -> Arrays:
        def flat(parameters: list[Any]) -> np.ndarray:
            arrays = [p.detach().cpu().numpy() for p in parameters]
            return flatten((W.T, b) for W, b in zip(arrays[::2], arrays[1::2], strict=True))

        return {"generator": flat(self.g), "discriminator": flat(self.d), "average": flat(self.a)}

    def about(self) -> dict[str, Any]:
        return {"versions": versions("torch"), "threads": self.torch.get_num_threads()}

    def step(self, x: np.ndarray, z: np.ndarray) -> tuple[float, float]:
        loss_d, loss_g = self.update(*(self.torch.from_numpy(a).to(self.device) for a in (x, z)))
        return float(loss_d), float(loss_g)

    def run(self, n: int) -> None:
        for _ in range(n):
            self.update(*self.draw())
        if self.device.type == "cuda":
            self.torch.cuda.synchronize()

    def draw(self) -> tuple[Any, Any]:
        return self.rows[self.chosen()], self.torch.randn(self.case.batch, self.case.latent, device=self.device)

    def chosen(self) -> Any:
        """The indices of this step's minibatch."""
        i = self.t % self.per_epoch
        if i == 0 or self.order is None:
            self.order = self.torch.randperm(len(self.rows), device=self.device)
        return self.order[i * self.case.batch : (i + 1) * self.case.batch]

    def update(self, x: Any, z: Any) -> tuple[Any, Any]:
        losses = self.simultaneous(x, z) if self.case.update == "simultaneous" else self.alternating(x, z)
        self.t += 1
        self.update_average(self.case.average_weight(self.t))
        return losses

    def update_average(self, weight: float) -> None:
        with self.torch.no_grad():
            for mean, p in zip(self.a, self.g, strict=True):
                mean.lerp_(p, weight)

    def loss_d(self, r: Any, f: Any) -> Any:
        if self.case.objective == "relativistic":
            return self.F.softplus(f - r).mean()
        return self.bce(r, self.torch.ones_like(r)) + self.bce(f, self.torch.zeros_like(f))

    def loss_g(self, r: Any, f: Any) -> Any:
        if self.case.objective == "relativistic":
            return self.F.softplus(r - f).mean()
        return self.bce(f, self.torch.ones_like(f))

    def penalty(self, s: Any, x: Any) -> Any:
        """gamma/2 mean_i |dD/dx_i|^2."""
        (g,) = self.torch.autograd.grad(s.sum(), x, create_graph=True)
        return self.case.gamma / 2 * g.square().sum(1).mean()

    def alternating(self, x: Any, z: Any) -> tuple[Any, Any]:
        fake = self.G(z)
        held = fake.detach()
        if self.case.gamma:
            x, held = x.detach().requires_grad_(), held.requires_grad_()
        self.opt_d.zero_grad()
        r, f = self.D(x), self.D(held)
        loss_d = self.loss_d(r, f)
        (loss_d + self.penalty(r, x) + self.penalty(f, held) if self.case.gamma else loss_d).backward()
        self.opt_d.step()

        self.opt_g.zero_grad()
        loss_g = self.loss_g(self.D(x.detach()) if self.case.objective == "relativistic" else None, self.D(fake))
        loss_g.backward()
        self.opt_g.step()
        return loss_d.detach(), loss_g.detach()

    def simultaneous(self, x: Any, z: Any) -> tuple[Any, Any]:
        self.opt_d.zero_grad()
        self.opt_g.zero_grad()
        r, f = self.D(x), self.D(self.G(z))
        loss_d, loss_g = self.loss_d(r, f), self.loss_g(r, f)
        loss_d.backward(retain_graph=True, inputs=self.d)
        loss_g.backward(inputs=self.g)
        self.opt_d.step()
        self.opt_g.step()
        return loss_d.detach(), loss_g.detach()


class TorchBest(Torch):
    """PyTorch eager, optimised: fused Adam, a joined batch that rows are gathered into, no gradient of the
    discriminator's weights in the generator's step, one call for the average."""

    adam_options: ClassVar[dict[str, bool]] = {"fused": True}

    def __init__(self, case: Case, start: Arrays, rows: np.ndarray) -> None:
        super().__init__(case, start, rows)
        self.joined = self.torch.zeros(2 * case.batch, case.size, device=self.device)
        self.z = self.torch.zeros(case.batch, case.latent, device=self.device)

    def draw(self) -> tuple[Any, Any]:
        real = self.joined[: self.case.batch]
        self.torch.index_select(self.rows, 0, self.chosen(), out=real)
        return real, self.z.normal_()

    def step(self, x: np.ndarray, z: np.ndarray) -> tuple[float, float]:
        real = self.joined[: self.case.batch]
        real.copy_(self.torch.from_numpy(x))
        self.z.copy_(self.torch.from_numpy(z))
        loss_d, loss_g = self.update(real, self.z)
        return float(loss_d), float(loss_g)

    def update_average(self, weight: float) -> None:
        with self.torch.no_grad():
            self.torch._foreach_lerp_(self.a, self.g, weight)

    def loss_d(self, r: Any, f: Any) -> Any:
        if self.case.objective == "relativistic":
            return self.F.softplus(f - r).mean()
        return self.F.softplus(-r).mean() + self.F.softplus(f).mean()

    def loss_g(self, r: Any, f: Any) -> Any:
        return self.F.softplus(r - f).mean() if self.case.objective == "relativistic" else self.F.softplus(-f).mean()

    def alternating(self, x: Any, z: Any) -> tuple[Any, Any]:
        batch = self.case.batch
        fake = self.G(z)
        joined = self.joined.detach()
        joined[batch:] = fake.detach()
        if self.case.gamma:
            joined.requires_grad_()
        s = self.D(joined)
        loss_d = self.loss_d(s[:batch], s[batch:])
        # rows of both kinds carry the same weight, so that one mean over 2 B serves R1 and R2
        total = loss_d + 2 * self.penalty(s, joined) if self.case.gamma else loss_d
        self.opt_d.zero_grad()
        total.backward(inputs=self.d)
        self.opt_d.step()

        real = None
        if self.case.objective == "relativistic":
            with self.torch.no_grad():
                real = self.D(x)
        loss_g = self.loss_g(real, self.D(fake))
        self.opt_g.zero_grad()
        loss_g.backward(inputs=self.g)
        self.opt_g.step()
        return loss_d.detach(), loss_g.detach()


class TorchCompiled(TorchBest):
    """TorchBest with its passes compiled by `torch.compile`; the optimisers are the fused ones."""

    def __init__(self, case: Case, start: Arrays, rows: np.ndarray) -> None:
        super().__init__(case, start, rows)
        torch, func, batch = self.torch, self.torch.func, case.batch
        torch.compiler.reset()

        def discriminate(parameters: list[Any], x: Any) -> Any:
            pairs = list(zip(parameters[::2], parameters[1::2], strict=True))
            for W, b in pairs[:-1]:
                x = self.F.leaky_relu(self.F.linear(x, W, b), LEAK)
            return self.F.linear(x, *pairs[-1])

        def objective_d(parameters: list[Any], joined: Any) -> tuple[Any, Any]:
            if not case.gamma:
                s = discriminate(parameters, joined)
                loss = self.loss_d(s[:batch], s[batch:])
                return loss, loss

            def logits(x: Any) -> tuple[Any, Any]:
                s = discriminate(parameters, x)
                return s.sum(), s

            g, s = func.grad(logits, has_aux=True)(joined)
            loss = self.loss_d(s[:batch], s[batch:])
            return loss + case.gamma / 2 * g.square().sum() / batch, loss

        def objective_g(fake: Any, x: Any, parameters: list[Any]) -> Any:
            relativistic = case.objective == "relativistic"
            return self.loss_g(discriminate(parameters, x) if relativistic else None, discriminate(parameters, fake))

        def both(parameters: list[Any], joined: Any) -> tuple[Any, ...]:
            s, pull = func.vjp(discriminate, parameters, joined)
            (ds, loss_d) = func.grad_and_value(lambda s: self.loss_d(s[:batch], s[batch:]))(s)
            (dg, loss_g) = func.grad_and_value(lambda s: self.loss_g(s[:batch], s[batch:]))(s)
            return pull(ds)[0], pull(dg)[1][batch:], loss_d, loss_g

        compiled = {"dynamic": False, "fullgraph": True}
        self.generate = torch.compile(self.G, **compiled)
        self.gradient_d = torch.compile(func.grad_and_value(objective_d, has_aux=True), **compiled)
        self.gradient_g = torch.compile(func.grad_and_value(objective_g), **compiled)
        self.gradients = torch.compile(both, **compiled)

    def apply_d(self, gradients: list[Any]) -> None:
        for p, g in zip(self.d, gradients, strict=True):
            p.grad = g
        self.opt_d.step()

    def apply_g(self, fake: Any, gradient: Any) -> None:
        self.opt_g.zero_grad()
        fake.backward(gradient)
        self.opt_g.step()

    def alternating(self, x: Any, z: Any) -> tuple[Any, Any]:
        fake = self.generate(z)
        held = fake.detach()
        self.joined[self.case.batch :] = held
        parameters = [p.detach() for p in self.d]
        gradients, (_, loss_d) = self.gradient_d(parameters, self.joined)
        self.apply_d(gradients)
        gradient, loss_g = self.gradient_g(held, x, parameters)
        self.apply_g(fake, gradient)
        return loss_d, loss_g

    def simultaneous(self, x: Any, z: Any) -> tuple[Any, Any]:
        fake = self.generate(z)
        self.joined[self.case.batch :] = fake.detach()
        gradients, gradient, loss_d, loss_g = self.gradients([p.detach() for p in self.d], self.joined)
        self.apply_d(gradients)
        self.apply_g(fake, gradient)
        return loss_d, loss_g


class TorchGraph(TorchBest):
    """TorchBest's whole step recorded as one CUDA graph; the rows are gathered and the noise drawn before it is launched."""

    adam_options: ClassVar[dict[str, bool]] = {"fused": True, "capturable": True}

    def __init__(self, case: Case, start: Arrays, rows: np.ndarray) -> None:
        super().__init__(case, start, rows)
        torch = self.torch
        self.weight = torch.zeros((), device=self.device)
        first = [p.detach().clone() for p in (*self.g, *self.d, *self.a)]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # libraries allocate their memory
                super().update(self.joined[: case.batch], self.z)
        torch.cuda.current_stream().wait_stream(side)
        with torch.no_grad():  # restores the state from before
            for p, value in zip((*self.g, *self.d, *self.a), first, strict=True):
                p.copy_(value)
            for optimiser in (self.opt_g, self.opt_d):
                for state in optimiser.state.values():
                    for value in state.values():
                        value.zero_()
        for optimiser in (self.opt_g, self.opt_d):
            optimiser.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.losses = super().update(self.joined[: case.batch], self.z)
        self.t = 0

    def update_average(self, weight: float) -> None:
        with self.torch.no_grad():
            for mean, p in zip(self.a, self.g, strict=True):
                mean.lerp_(p, self.weight)

    def update(self, x: Any, z: Any) -> tuple[Any, Any]:
        self.t += 1
        self.weight.fill_(self.case.average_weight(self.t))
        self.graph.replay()
        return self.losses


# -------------------------------------------------------------------------------------------------------- JAX


class Jax(Implementation):
    """JAX: gather, noise and the whole step in one jit with donated buffers."""

    def __init__(self, case: Case, start: Arrays, rows: np.ndarray) -> None:
        import jax

        self.jax, jnp = jax, jax.numpy
        if case.device == "gpu" and jax.default_backend() != "gpu":
            raise RuntimeError("JAX finds no GPU")
        jax.config.update("jax_default_matmul_precision", "float32")  # its default on a GPU is TF32
        self.case, self.t, self.order, self.per_epoch = case, 0, None, len(rows) // case.batch
        self.rows = jnp.asarray(rows)
        self.key = jax.random.key(case.seed, impl="rbg")  # the faster of JAX's generators on a CPU
        batch = case.batch

        def layers(name: str) -> list[Any]:
            return [(jnp.array(W), jnp.array(b)) for W, b in unflatten(start[name], case.layers[name])]

        zeros = jax.tree.map(jnp.zeros_like, {n: layers(n) for n in NAMES[:2]})
        self.state = {
            **{name: layers(name) for name in NAMES},
            "m": zeros,
            "v": jax.tree.map(jnp.zeros_like, zeros),
            "t": jnp.zeros((), jnp.int32),
        }

        def network(parameters: list[Any], x: Any) -> Any:
            for W, b in parameters[:-1]:
                x = jax.nn.leaky_relu(x @ W + b, LEAK)
            W, b = parameters[-1]
            return x @ W + b

        def generate(parameters: list[Any], z: Any) -> Any:
            return jnp.tanh(network(parameters, z))

        def loss_d(s: Any) -> Any:
            r, f = s[:batch], s[batch:]
            if case.objective == "relativistic":
                return jax.nn.softplus(f - r).mean()
            return jax.nn.softplus(-r).mean() + jax.nn.softplus(f).mean()

        def loss_g(r: Any, f: Any) -> Any:
            return jax.nn.softplus(r - f if case.objective == "relativistic" else -f).mean()

        def objective_d(parameters: list[Any], joined: Any) -> tuple[Any, Any]:
            if not case.gamma:
                loss = loss_d(network(parameters, joined))
                return loss, loss
            s, pull = jax.vjp(lambda x: network(parameters, x), joined)
            loss = loss_d(s)
            return loss + case.gamma / 2 * (pull(jnp.ones_like(s))[0] ** 2).sum() / batch, loss

        def objective_g(fake: Any, parameters: list[Any], x: Any) -> Any:
            r = network(parameters, x) if case.objective == "relativistic" else None
            return loss_g(r, network(parameters, fake))

        def adam(state: dict[str, Any], name: str, gradient: Any, t: Any) -> dict[str, Any]:
            m = jax.tree.map(lambda m, g: case.beta1 * m + (1 - case.beta1) * g, state["m"][name], gradient)
            v = jax.tree.map(lambda v, g: case.beta2 * v + (1 - case.beta2) * g * g, state["v"][name], gradient)
            a, b = 1 - case.beta1**t, 1 - case.beta2**t
            move = lambda p, m, v: p - case.lr * (m / a) / (jnp.sqrt(v / b) + case.eps)  # noqa: E731
            theta = jax.tree.map(move, state[name], m, v)
            return {**state, name: theta, "m": {**state["m"], name: m}, "v": {**state["v"], name: v}}

        def update(state: dict[str, Any], x: Any, z: Any) -> tuple[dict[str, Any], tuple[Any, Any]]:
            t = state["t"] + 1
            fake, pull_g = jax.vjp(lambda p: generate(p, z), state["generator"])
            joined = jnp.concatenate([x, fake])
            if case.update == "simultaneous":
                s, pull_d = jax.vjp(network, state["discriminator"], joined)
                lost_d, ds = jax.value_and_grad(loss_d)(s)
                lost_g, df = jax.value_and_grad(lambda f: loss_g(s[:batch], f))(s[batch:])
                dg = jnp.concatenate([jnp.zeros_like(df), df])
                gradient_d, gradient = pull_d(ds)[0], pull_d(dg)[1][batch:]
                state = adam(state, "discriminator", gradient_d, t)
            else:
                (_, lost_d), gradient_d = jax.value_and_grad(objective_d, has_aux=True)(state["discriminator"], joined)
                state = adam(state, "discriminator", gradient_d, t)
                lost_g, gradient = jax.value_and_grad(objective_g)(fake, state["discriminator"], x)
            state = adam(state, "generator", pull_g(gradient)[0], t)
            weight = 1 - jnp.minimum(case.ema, (1 + t) / (10 + t))
            average = jax.tree.map(lambda mean, p: mean + weight * (p - mean), state["average"], state["generator"])
            return {**state, "average": average, "t": t}, (lost_d, lost_g)

        def train(state: dict[str, Any], rows: Any, order: Any, i: Any, key: Any) -> dict[str, Any]:
            chosen = jax.lax.dynamic_slice(order, (i * batch,), (batch,))
            z = jax.random.normal(jax.random.fold_in(key, state["t"]), (batch, case.latent))
            return update(state, jnp.take(rows, chosen, axis=0, mode="clip"), z)[0]

        self.update = jax.jit(update, donate_argnums=0)
        self.train = jax.jit(train, donate_argnums=0)
        self.permute = jax.jit(lambda key, epoch: jax.random.permutation(jax.random.fold_in(key, epoch), len(rows)))

    def step(self, x: np.ndarray, z: np.ndarray) -> tuple[float, float]:
        self.state, (loss_d, loss_g) = self.update(self.state, x, z)
        return float(loss_d), float(loss_g)

    def run(self, n: int) -> None:
        for _ in range(n):
            epoch, i = divmod(self.t, self.per_epoch)
            if i == 0 or self.order is None:
                self.order = self.permute(self.key, epoch)
            self.state = self.train(self.state, self.rows, self.order, i, self.key)
            self.t += 1
        self.jax.block_until_ready(self.state)

    def weights(self) -> Arrays:
        return {name: flatten((np.asarray(W), np.asarray(b)) for W, b in self.state[name]) for name in NAMES}

    def about(self) -> dict[str, Any]:
        return {"versions": versions("jax", "jaxlib")}


IMPLEMENTATIONS: dict[str, type[Implementation]] = {
    "minigan": Minigan,
    "minigan-fast": MiniganFast,
    "minigan-eight": MiniganEight,
    "minigan-tf32": MiniganTF32,
    "products": Products,
    "torch": Torch,
    "torch-best": TorchBest,
    "torch-graph": TorchGraph,
    "jax": Jax,
    "torch-compiled": TorchCompiled,
}
GPU_ONLY = ("minigan-eight", "minigan-tf32", "torch-graph")
NEEDS = {
    "cpu": {"minigan-fast": "numba", "torch": "torch", "torch-best": "torch", "torch-compiled": "torch", "jax": "jax"},
    "gpu": {
        "minigan": "cupy", "minigan-fast": "nvmath", "minigan-eight": "nvmath", "minigan-tf32": "nvmath",
        "products": "nvmath", "torch": "torch",
        "torch-best": "torch", "torch-compiled": "torch", "torch-graph": "torch", "jax": "jax",
    },
}  # fmt: skip
"""The package that an implementation needs, by device."""


def make(name: str, case: Case, start: Arrays, rows: np.ndarray) -> Implementation:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns about read-only arrays, but only reads them
        return IMPLEMENTATIONS[name](case, start, rows)
