"""The certificate passes, covers every operation, and detects every planted bug in the right rows."""

from __future__ import annotations

import json

import pytest

from minigan import check, plain
from minigan.backends import Ops
from minigan.backends.activations import ACTIVATIONS
from minigan.nn import batch, coefficients, optim
from minigan.nn.gan import GAN
from minigan.nn.layers import Convolution, Patches
from minigan.nn.network import Network, Tape
from minigan.nn.objectives import OBJECTIVES
from minigan.nn.optim import adam_coefficients

SECTIONS = tuple(check.SECTIONS)


@pytest.fixture(scope="module")
def rows(backend: Ops) -> list[check.Row]:
    return list(check.certificate(backend))


def test_every_row_passes(rows):
    assert [r for r in rows if not r.passed] == []
    assert len({r.what + r.shapes for r in rows}) == len(rows) >= 180


def test_covers_every_objective_penalty_activation_update_and_player(rows):
    what = "\n".join(r.what for r in rows)
    for objective in OBJECTIVES:
        for penalty in check.PENALTIES:
            for activation in ACTIVATIONS:
                for update in ("alternating", "simultaneous"):
                    for player in "DG":
                        assert f"{player} step, {objective}, {penalty}, {activation}, {update}" in what
    for activation in ACTIVATIONS:
        for part in ("dense_forward", "weight_gradient dW", "weight_gradient db", "input_gradient dX", "dense_tangent"):
            assert f"{part}, {activation}" in what
        for penalty in ("r1", "r2", "gradient-penalty"):
            assert f"penalty {penalty}, {activation}" in what


def test_the_command_writes_its_rows_as_json(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(check, "SECTIONS", {"operations": check.activations})
    monkeypatch.setattr(check, "certificate", lambda backend, sections: check.activations(backend))
    assert check.main(["--json", str(tmp_path / "rows.json")]) == 0
    written = json.loads((tmp_path / "rows.json").read_text())
    assert set(written[0]) == {"what", "shapes", "relative_error", "passed"}
    assert all(r["passed"] for r in written)
    assert f"{len(written)} of {len(written)} passed" in capsys.readouterr().out


def test_a_failing_row_fails_the_command(monkeypatch):
    monkeypatch.setattr(check, "certificate", lambda *_: iter([check.row("planted", (1,), 1e-3)]))
    with pytest.raises(check.CertificateError, match="planted"):
        check.main([])


def test_nan_does_not_pass():
    assert not check.row("x", (), float("nan")).passed


def failures(backend: Ops, *sections: str) -> list[str]:
    """The failed rows of the certificate for the patched package."""
    failed = []
    for section in sections:
        with pytest.MonkeyPatch.context() as patch:
            if section == "steps":  # two of six objectives are enough to find a bug that is not in an objective
                patch.setattr(check, "OBJECTIVES", {name: OBJECTIVES[name] for name in ("hinge", "relativistic")})
            failed += [row.what for row in check.SECTIONS[section](backend) if not row.passed]
    return failed


def caught(failed: list[str], *, at: tuple[str, ...], spares: tuple[str, ...] = ()) -> None:
    """Every name in `at` begins a failed row, and no failed row holds a name in `spares`."""
    for name in at:
        assert any(name in row for row in failed), (name, failed[:10])
    for name in spares:
        assert not any(name in row for row in failed), (name, [r for r in failed if name in r][:3])


# Each planted bug has been shipped by a public from-scratch GAN, or is one slip of the pen away from this code.


def test_catches_activations_clobbered_by_a_later_pass(backend, monkeypatch):
    def rows(self, lo, hi):
        return real(self, 0, hi - lo)  # every part of the batch writes to the same rows

    real = Tape.rows
    monkeypatch.setattr(Tape, "rows", rows)
    caught(failures(backend, "operations", "steps"), at=("D step", "G step"), spares=("dense", "activation"))


def test_catches_a_generator_gradient_that_skips_the_discriminator(backend, monkeypatch):
    def input_gradient(self, tape):
        tape.dx.fill(-1 / len(tape))
        return tape.dx

    monkeypatch.setattr(Network, "input_gradient", input_gradient)
    failed = failures(backend, "networks", "steps")
    caught(failed, at=("Network.backward", "G step"), spares=("tangent",))
    assert not [r for r in failed if r.startswith("D step") and "no penalty" in r]


def test_catches_stale_activations_after_the_discriminator_moved(backend, monkeypatch):
    def generator_update(self):
        real, fake = self.batch.real, self.batch.fake
        self.objective.generator_gradient(real.s, fake.s, fake.tape.delta)
        dx = self.discriminator.backward(fake.tape.delta, fake.tape)
        self.generator.backward(dx, self.tape_g, into=self.grad_g, want_dx=False)
        self.adam_g.apply(self.generator.theta.flat, self.grad_g.flat)

    monkeypatch.setattr(GAN, "generator_update", generator_update)
    failed = failures(backend, "steps")
    caught(failed, at=("G step",), spares=("D step", "simultaneous"))


def test_catches_a_convolution_that_hands_a_pixels_gradient_back_once(backend, monkeypatch):
    given = Patches.given

    def wrong(self, ops):
        columns = given(self, ops)
        return columns._replace(index=columns.index[:1], present=columns.present[:1])

    monkeypatch.setattr(Patches, "given", wrong)
    failed = failures(backend, "networks", "penalties", "steps")
    caught(failed, at=("with a convolution: backward", "penalty r1", "D step", "G step"), spares=("Network.",))
    assert not [row for row in failed if "conv" not in row]
    assert not [row for row in failed if "with a convolution: tangent" in row]  # which takes patches, and adds none up


def test_catches_a_penalty_that_forgets_how_the_patches_move(backend, monkeypatch):
    def wrong(self, x, t, tape, part, ds, into):
        part.moved.fill(0)
        mixed(self, x, t, tape, part, ds, into)

    mixed = Convolution.mixed_gradient
    monkeypatch.setattr(Convolution, "mixed_gradient", wrong)
    failed = failures(backend, "networks", "penalties", "steps")
    caught(
        failed,
        at=("penalty r1, leaky-relu conv", "D step, relativistic, r1, relu"),
        spares=("Network", "tanh"),
    )
    assert not [row for row in failed if "conv" not in row or "no penalty" in row or row.startswith("G")]


def test_catches_a_bias_that_is_counted_for_one_place_alone(backend, monkeypatch):
    def wrong(self, x, tape, into):
        weight_gradient(self, x, tape, into)
        self.ops.bias_gradient(tape.dz[:, : self.channels], into[1])

    weight_gradient = Convolution.weight_gradient
    monkeypatch.setattr(Convolution, "weight_gradient", wrong)
    failed = failures(backend, "networks", "penalties", "steps")
    caught(
        failed, at=("with a convolution: backward", "D step, relativistic, no penalty"), spares=("tangent", "Network.")
    )
    assert not [row for row in failed if "conv" not in row or row.startswith("G") or "simultaneous" in row]


def test_catches_adam_without_t(backend, monkeypatch):
    for module in (optim, coefficients):
        monkeypatch.setattr(module, "adam_coefficients", lambda t, *settings: adam_coefficients(1, *settings))
    failed = failures(backend, "optimisers", "objectives")
    caught(failed, at=("Adam, beta1 0.9", "Adam, beta1 0.5"), spares=("objective", "WeightAverage", "schedule"))


def test_catches_a_wrong_leak_in_the_slope(backend, monkeypatch):
    slope = Ops.slope

    def wrong(self, name, y, out):
        slope(self, name, y, out)
        if name == "leaky-relu":
            out[y <= 0] = 0.1

    monkeypatch.setattr(Ops, "slope", wrong)
    failed = failures(backend, "operations")
    caught(failed, at=("activation leaky-relu: slope", "input_gradient dX, leaky-relu"), spares=("tanh", ", relu"))


def test_catches_tanh_used_for_the_sigmoid(backend, monkeypatch):
    monkeypatch.setattr(Ops, "sigmoid", lambda self, s, out, scratch: self.xp.tanh(s, out=out))
    failed = failures(backend, "operations", "objectives")
    caught(failed, at=("activation sigmoid: phi", "objective non-saturating"), spares=("tanh", "objective wasserstein"))


def test_catches_a_transposed_product(backend, monkeypatch):
    def wrong(self, x, dz, dW, db):
        dW[...] = (dz.T @ x).reshape(dW.shape)
        self.xp.sum(dz, axis=0, out=db)

    monkeypatch.setattr(Ops, "weight_gradient", wrong)
    failed = failures(backend, "operations", "networks")
    caught(failed, at=("weight_gradient dW", "Network.backward"), spares=("db", "dX", "tangent", "activation"))


def test_catches_a_missing_second_derivative(backend, monkeypatch):
    monkeypatch.setattr(Ops, "curvature", lambda self, name, y, out: out.fill(0))
    failed = failures(backend, "operations", "penalties", "steps")
    at = ("activation tanh: curvature", "activation sigmoid: curvature", "penalty r1, tanh", "penalty gradient-penalty")
    caught(failed, at=(*at, "D step, hinge, r2, sigmoid"), spares=("relu", "identity", "G step", "no penalty"))


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_catches_a_sign_in_an_objective(backend, monkeypatch, name):
    kind = OBJECTIVES[name]
    gradient = kind.discriminator_gradient

    def wrong(self, r, f, dr, df):
        gradient(self, r, f, dr, df)
        df *= -1

    monkeypatch.setattr(kind, "discriminator_gradient", wrong)
    failed = failures(backend, "objectives")
    caught(failed, at=(f"objective {name}: discriminator_gradient",), spares=("generator_gradient", "values"))


def test_catches_a_dropped_batch_size_in_the_loss(backend, monkeypatch):
    gradient = Ops.binary_cross_entropy_gradient

    def wrong(self, s, target, out, scratch):
        gradient(self, s, target, out, scratch)
        out *= s.size

    monkeypatch.setattr(Ops, "binary_cross_entropy_gradient", wrong)
    caught(failures(backend, "objectives"), at=("non-saturating", "relativistic"), spares=("wasserstein", "values"))


def test_catches_a_dropped_batch_size_in_the_penalty(backend, monkeypatch):
    for module in (batch, check):
        monkeypatch.setattr(
            module, "zero_centred_direction", lambda ops, g, c, v: ops.xp.multiply(g, c * len(g), out=v)
        )
    failed = failures(backend, "penalties")
    caught(
        failed, at=("zero_centred_direction", "penalty r1", "penalty r2"), spares=("gradient-penalty", "one_centred_d")
    )


def test_catches_a_loss_that_is_not_the_antiderivative(backend, monkeypatch):
    kind = OBJECTIVES["least-squares"]
    monkeypatch.setattr(kind, "discriminator", lambda self, r, f: ((r - 1) ** 2).mean() + (f**2).mean())
    failed = failures(backend, "objectives")
    assert failed == ["objective least-squares: values"]


def test_catches_a_penalty_whose_tangent_skips_a_layer(backend, monkeypatch):
    def dense_tangent(self, t, W, name, slope, u, t_out):
        self.xp.dot(t, W, out=u)
        if t_out is not u:
            self.xp.copyto(t_out, u)

    monkeypatch.setattr(Ops, "dense_tangent", dense_tangent)
    failed = failures(backend, "operations", "penalties")
    caught(failed, at=("dense_tangent, relu", "penalty r1, relu"), spares=("identity", "weight_gradient"))


def test_catches_a_weighted_gradient_that_forgets_its_weights(backend, monkeypatch):
    def wrong(self, tape, ds, into):
        for layer, x, kept, d in zip(self.layers, tape.inputs(), tape.layers, into.layers, strict=True):
            layer.weight_gradient(x, kept, d)

    monkeypatch.setattr(Network, "weighted_gradient", wrong)
    failed = failures(backend, "networks", "steps")
    caught(
        failed,
        at=("Network.weighted_gradient", "D step, hinge, no penalty, tanh, simultaneous"),
        spares=("alternating", "G step"),
    )


def test_refuses_a_certificate_of_zeros(backend, monkeypatch):
    """A gradient that is zero on both sides is not verified, and is reported."""
    monkeypatch.setattr(plain, "generator_loss", lambda name, r, f: (0 * f, 0 * f))
    for name, kind in OBJECTIVES.items():
        monkeypatch.setattr(kind, "generator_gradient", lambda self, r, f, df: df.fill(0))
        del name
    with pytest.raises(check.CertificateError, match="zero"):
        failures(backend, "steps")
