"""What measures of generated samples say beside those of real ones: one row per finding, with its test, words and advice.

Findings stand in groups, of which only the first that holds is given. Advice that a run follows already is not given;
every finding ends with some that any run can follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from minigan.config import Config
from minigan.metrics.mixtures import PROTOCOL

Values = dict[str, float]

MOST = 3
"""Pieces of advice with a finding."""

UNEVEN = 0.02
"""Nats of unevenness that are left unsaid; shares wrong by a third, up or down, are .056."""

REPEATED, COPIES = 0.05, 0.02
"""Shares of samples nearly like another one, or like a training row, that are left unsaid beside those of real samples."""

SPECKS = 0.03
"""Lone bright pixels an image that are left unsaid: one image in thirty has one."""

GHOSTS = 0.003
"""Share of pixels that may be faint and far from bright ones: two of an image of 28 x 28."""

MISSING = 0.03
"""Share of real samples that must lie where no samples are, for a collapse; one mode of 25 is .04."""


@dataclass(frozen=True)
class Trained:
    """How a model was trained: its settings, the step of its checkpoint, and the steps that its default recipe makes.

    going_on: it has not made all its steps yet.
    """

    config: Config = field(default_factory=lambda: Config(objective="non-saturating"))
    step: int | None = None
    usual: int = 0
    going_on: bool = False

    @property
    def short(self) -> bool:
        return self.step is not None and self.step < self.usual


SURE = 4.0
"""Standard errors by which a share must exceed its real value, beside what is small enough to leave unsaid."""


@dataclass(frozen=True)
class Evidence:
    """Measures by name, of generated and of real samples, how the model was trained, and how many samples were compared."""

    made: Values
    real: Values
    trained: Trained
    m: float = math.inf

    def share(self, name: str) -> float:
        """The measure as a share of its real value; 1 where it was not measured, so that nothing is found."""
        real = self.real.get(name, math.nan)
        return self.made[name] / real if name in self.made and 0 < real < math.inf else 1.0

    def excess(self, name: str) -> float:
        """By how much the measure exceeds its real value; nan where it was not measured."""
        return self.made.get(name, math.nan) - self.real.get(name, math.nan)

    def more(self, name: str, least: float) -> bool:
        """Whether the measure, a share of m samples, exceeds its real value by more than `least` and what chance may add."""
        return self.excess(name) > least + self._chance(self.real.get(name, 0.0))

    def fewer(self, name: str, least: float) -> bool:
        """Whether such a measure is less than its real value by more than that."""
        return -self.excess(name) > least + self._chance(1 - self.real.get(name, 1.0))

    def _chance(self, share: float) -> float:
        p = min(max(share, 1 / self.m), 0.5)
        return SURE * math.sqrt(2 * p * (1 - p) / self.m)

    def beyond(self, name: str, least: float, chance: float = 0.0) -> bool:
        """Whether the measure exceeds by `least` half as much again as its real value, or as `chance` where that is more."""
        return self.made.get(name, 0.0) > least + 1.5 * max(self.real.get(name, math.inf), chance)

    @property
    def apart(self) -> float:
        """About how far two equal columns of m rows are apart by chance, in shapes or in correlations."""
        return 1.2 / math.sqrt(self.m)

    @property
    def speckled(self) -> bool:
        """Whether there are more lone bright pixels than half as many again as in real images, and than chance makes of rare
        events: the standard error of their number is its square root."""
        real = self.real.get("specks", math.inf)
        return self.beyond("specks", SPECKS + SURE * math.sqrt(2 * max(real, 1 / self.m) / self.m))

    def uneven(self, name: str, kinds: int) -> bool:
        """Whether a divergence (nats) of the shares of so many kinds exceeds its real value by more than chance makes it: of two
        sets of m samples it is chi-square with kinds - 1 degrees of freedom, over m."""
        return self.excess(name) > UNEVEN + SURE * math.sqrt(2 * (kinds - 1)) / self.m

    @property
    def missing(self) -> str:
        """Which parts of the data have no samples, in words; "" where none is seen to be missing.

        A mode that nothing meets is missing if samples of high quality are enough for 9 in each: then all of 25 are met
        but once in hundreds of times.
        """
        modes, digits = -self.excess("modes"), -self.excess("kinds")
        if modes >= 0.5 and self.made.get("high_quality", 1.0) * PROTOCOL > 9 * self.real["modes"]:
            return f"{modes:.0f} of {self.real['modes']:.0f} modes have no samples"
        if digits >= 0.5:
            return f"{digits:.0f} of {self.real['kinds']:.0f} digits are missing"
        if self.excess("missing") > MISSING:
            return f"{self.made['missing']:.0%} of the real samples lie where hardly any generated one is"
        return ""

    @property
    def unlike(self) -> bool:
        """Whether most samples are like no real one: where they are not says little then."""
        return self.share("precision") < 0.5 or self.share("high_quality") < 0.5

    @property
    def alike(self) -> bool:
        """Whether all samples are nearly the same one, like the data or not."""
        return self.share("spread") < 0.2

    @property
    def collapsed(self) -> bool:
        return self.alike or (bool(self.missing) and not self.unlike)

    @property
    def brighter(self) -> float:
        """Parzen's log-likelihood above that of real images, in nats."""
        return self.excess("parzen")

    @property
    def flat(self) -> bool:
        """Whether values of pixels are spread otherwise than real ones."""
        return not 0.9 <= self.share("contrast") <= 1.1

    @property
    def fidelity(self) -> str:
        name = "high_quality" if "high_quality" in self.made else "precision"
        return f"{name} {self.share(name):.0%} of real"

    @property
    def variety(self) -> str:
        """How many of the real samples have generated ones near, by the measures that are known."""
        known = [name for name in ("coverage", "recall") if name in self.made and name in self.real]
        shares = " and ".join(f"{name} {self.share(name):.0%}" for name in known)
        return f"{shares} of real" if known else "coverage and recall unknown"


# ----------------------------------------------------------------------------------------------------------- the advice

Advice = Callable[[Trained], str | None]
"""What to try, in words; None where the run does so already."""


def unless(followed: Callable[[Config], bool], words: str) -> Advice:
    return lambda trained: None if followed(trained.config) else words


def always(words: str) -> Advice:
    return lambda trained: words


def more_steps(trained: Trained) -> str:
    if trained.going_on:
        return "its remaining steps (--resume)"
    return f"more --steps (the default recipe makes {trained.usual:,})" if trained.short else "more --steps"


def best(trained: Trained) -> str | None:
    return None if trained.short or trained.config.recipe == "best" else "--recipe best"


def wider(trained: Trained) -> str | None:
    return None if trained.short else "wider --hidden"


FALLING = ("linear", "cosine", "exponential")

RELATIVISTIC = unless(lambda c: c.objective == "relativistic", "--objective relativistic")
PENALTIES = unless(lambda c: c.r1 > 0 and c.r2 > 0, "--r1 1 with --r2 1")
LARGER = unless(lambda c: not (c.r1 > 0 and c.r2 > 0), "larger --r1 and --r2")
SMALLER = unless(lambda c: not (c.r1 > 0 or c.r2 > 0), "smaller --r1 and --r2")
FADING = unless(lambda c: c.penalty_schedule in FALLING or not (c.r1 > 0 or c.r2 > 0), "--penalty-schedule linear")
FADE_FURTHER = unless(lambda c: c.penalty_schedule not in FALLING or c.penalty_end == 0, "a smaller --penalty-end")
COSINE = unless(lambda c: c.lr_schedule in FALLING, "--lr-schedule cosine")
SETTLING = unless(
    lambda c: c.lr_schedule == "exponential" and c.lr_end <= 0.003, "--lr-schedule exponential with --lr-end 0.003"
)
ALTERNATING = unless(lambda c: c.update == "alternating", "--update alternating")
SIGMOID = unless(lambda c: c.output == "sigmoid", "--output sigmoid")
AVERAGE = unless(lambda c: c.ema >= 0.999, "--ema 0.999")
RATES = always("smaller --lr-generator and --lr-discriminator")
ROUND = always("rounding these columns after sampling")
FEWER_STEPS, NARROWER, DATA = always("fewer --steps"), always("smaller --hidden"), always("more data")


# --------------------------------------------------------------------------------------------------------- the findings


@dataclass(frozen=True)
class Finding:
    """What may be found: whether it is, in which words, and what to do."""

    name: str
    holds: Callable[[Evidence], bool]
    words: Callable[[Evidence], str]
    advice: tuple[Advice, ...]
    note: str = ""

    def sentence(self, evidence: Evidence) -> str:
        given = [words for advice in self.advice if (words := advice(evidence.trained))][:MOST]
        listed = " or ".join(filter(None, (", ".join(given[:-1]), given[-1])))
        return f"{self.name}: {self.words(evidence)}. Try {listed}{self.note}."


def _copied(e: Evidence) -> str:
    ratio = (
        f" (ratio {e.made['memorisation']:.2f}, real {e.real['memorisation']:.2f})"
        if e.share("memorisation") < 0.9
        else ""
    )
    some = f"; {e.made['copies']:.1%} are nearly copies" if e.more("copies", COPIES) else ""
    return f"samples are nearer to training than to held-out data{ratio}{some}"


def _speckle(e: Evidence) -> str:
    if e.speckled:
        return f"{e.made['specks']:.2f} lone bright pixels an image (real {e.real['specks']:.3f})"
    return f"contrast of neighbouring pixels is {e.share('sharpness'):.0%} of real"


def _blur(e: Evidence) -> str:
    nats = f", and Parzen is {e.brighter:.0f} nats above what real images score" if e.brighter > 3 else ""
    return f"contrast of neighbouring pixels is {e.share('sharpness'):.0%} of real{nats}"


def _unlike(e: Evidence) -> str:
    return _both(f"most samples are like no real one ({e.fidelity})", e.missing)


def _both(first: str, second: str) -> str:
    return ", and ".join(filter(None, (first, second)))


FINDINGS: tuple[tuple[Finding, ...], ...] = (
    (
        Finding(
            "Mode collapse",
            lambda e: e.collapsed,
            lambda e: f"{_both('all samples are alike' if e.alike else '', e.missing)} ({e.variety})",
            (RELATIVISTIC, PENALTIES, more_steps, COSINE, LARGER, RATES),
        ),
        Finding(
            "Uneven",
            lambda e: not e.unlike and (e.uneven("digit_kl", 10) or e.uneven("reverse_kl", 25)),
            lambda e: f"parts of the data are met too often and others too seldom ({e.variety})",
            (RELATIVISTIC, PENALTIES, more_steps, best, LARGER),
        ),
        Finding(
            "Too narrow",
            lambda e: e.share("spread") < 0.85 and not e.unlike,
            lambda e: f"samples differ less than real ones (spread {e.share('spread'):.0%} of real, {e.variety})",
            (PENALTIES, more_steps, FADING, SMALLER, wider),
        ),
        Finding(
            "Less varied than real samples",
            lambda e: not e.unlike and (e.share("coverage") < 0.9 or e.share("recall") < 0.9),
            lambda e: e.variety,
            (more_steps, best, wider),
        ),
    ),
    (
        Finding(
            "Under-trained",
            lambda e: e.unlike and e.trained.short,
            lambda e: f"after {e.trained.step:,} steps {_unlike(e)}",
            (more_steps, RELATIVISTIC, PENALTIES),
        ),
        Finding(
            "Unlike the data",
            lambda e: e.unlike,
            _unlike,
            (RELATIVISTIC, PENALTIES, COSINE, more_steps, best, wider),
        ),
        Finding(
            "Strays",
            lambda e: e.share("precision") < 0.8 or e.share("high_quality") < 0.97,
            lambda e: f"too many samples are like no real one ({e.fidelity})",
            (COSINE, more_steps, best, wider),
        ),
        Finding(
            "Less faithful than real samples",
            lambda e: e.share("precision") < 0.95 or e.share("density") < 0.8,
            lambda e: f"precision {e.share('precision'):.0%}, density {e.share('density'):.0%} of real",
            (more_steps, best, wider),
        ),
    ),
    (
        Finding(
            "Repetition",
            lambda e: not e.collapsed and e.more("repeated", REPEATED),
            lambda e: (
                f"{e.made['repeated']:.1%} of the samples are nearly like another one (of real ones {e.real['repeated']:.1%})"
            ),
            (PENALTIES, more_steps, AVERAGE, wider),
        ),
    ),
    (
        Finding(
            "Memorisation",
            # samples in few places are near to something by chance
            lambda e: e.share("memorisation") < (0.5 if e.missing else 0.9) or e.more("copies", COPIES),
            _copied,
            (FEWER_STEPS, NARROWER, DATA),
            note="; look at neighbours.png before you pass samples on",
        ),
    ),
    (
        Finding(
            "Blur",
            lambda e: e.share("sharpness") < 0.85 or (e.brighter > 3 and not e.flat),
            _blur,
            (more_steps, FADING, SMALLER, wider),
        ),
        Finding(
            "Ghosts",
            lambda e: e.beyond("faint", GHOSTS),
            lambda e: (
                f"{e.made['faint']:.2%} of the pixels are faint and far from bright ones (of real ones {e.real['faint']:.2%}), as "
                "of half a second image"
            ),
            (ALTERNATING, more_steps, COSINE, wider),
        ),
        Finding(
            "Wrong contrast",
            lambda e: e.flat,
            lambda e: f"pixels are spread {e.share('contrast'):.0%} as widely as real ones",
            (more_steps, AVERAGE, wider),
        ),
    ),
    (
        Finding(
            "Speckle",
            lambda e: e.share("sharpness") > 1.15 or e.speckled,
            _speckle,
            (SIGMOID, ALTERNATING, more_steps, COSINE, AVERAGE),
        ),
    ),
    (
        Finding(
            "Out of place",
            lambda e: e.beyond("place", 0.3),
            lambda e: f"samples lie {e.made['place']:.1f} pixels from where real ones do",
            (more_steps, AVERAGE, wider),
        ),
    ),
    (
        Finding(
            "Motion unlike the data",
            lambda e: not e.unlike and not 0.7 <= e.share("motion") <= 1.4,
            lambda e: f"pixels change {e.share('motion'):.0%} as much from frame to frame as real ones",
            (more_steps, COSINE, best, wider),
        ),
    ),
    (
        Finding(
            "Too quiet",
            lambda e: e.share("loudness") < 0.7,
            lambda e: f"signals are {e.share('loudness'):.0%} as strong as real ones",
            (PENALTIES, more_steps, SMALLER, wider),
        ),
        Finding(
            "Too loud",
            lambda e: e.share("loudness") > 1.4,
            lambda e: f"signals are {e.share('loudness'):.0%} as strong as real ones",
            (more_steps, COSINE, LARGER, RATES),
        ),
        Finding(
            "A spectrum unlike the data",
            lambda e: e.beyond("spectrum", 2.0),
            lambda e: (
                f"the mean power of frequencies differs by {e.made['spectrum']:.1f} dB (of real ones {e.real['spectrum']:.1f})"
            ),
            (more_steps, AVERAGE, COSINE, best, wider),
        ),
        Finding(
            "Power at other moments",
            lambda e: e.beyond("envelope", 2.0),
            lambda e: (
                f"the mean power of moments differs by {e.made['envelope']:.1f} dB (of real ones {e.real['envelope']:.1f})"
            ),
            (more_steps, PENALTIES, best, wider),
        ),
    ),
    (
        Finding(
            "Letters unlike the data",
            lambda e: not e.unlike and e.beyond("bigrams", 0.1),
            lambda e: (
                f"{e.made['bigrams']:.0%} of the pairs of neighbouring letters are others than in real lines (in other real ones "
                f"{e.real['bigrams']:.0%})"
            ),
            (SIGMOID, more_steps, COSINE, best, wider),
        ),
        Finding(
            "Lines of another length",
            lambda e: e.beyond("lengths", 0.3),
            lambda e: f"lengths differ by {e.made['lengths']:.1f} characters (of real ones {e.real['lengths']:.1f})",
            (more_steps, COSINE, best, wider),
        ),
    ),
    (
        Finding(
            "Rounding lost",
            lambda e: e.fewer("familiar", 0.1),
            lambda e: (
                f"of the columns with repeated values {e.made['familiar']:.0%} of the values exist in the data (of real ones "
                f"{e.real['familiar']:.0%}), so whole numbers and categories come out between their steps"
            ),
            (ROUND,),
        ),
        Finding(
            "Categories lost",
            lambda e: e.more("lost", 0.02),
            lambda e: f"in one column, values that {e.made['lost']:.0%} of the real rows have are not generated",
            (RELATIVISTIC, PENALTIES, more_steps, LARGER, RATES),
        ),
    ),
    (
        Finding(
            "A column unlike the data",
            lambda e: not e.unlike and e.beyond("shapes", 0.03, e.apart),
            lambda e: (
                f"the shares of one column differ by up to {e.made['shapes']:.0%} (of real ones {e.real['shapes']:.0%})"
            ),
            (more_steps, COSINE, best, wider),
        ),
        Finding(
            "Tails cut",
            lambda e: e.made.get("tails", 1.0) < 0.4,
            lambda e: f"extreme values are {e.made['tails']:.0%} as frequent as in the data",
            (PENALTIES, more_steps, SMALLER, wider),
        ),
        Finding(
            "Tails too heavy",
            lambda e: e.made.get("tails", 1.0) > 2,
            lambda e: f"extreme values are {e.made['tails']:.1f} times as frequent as in the data",
            (PENALTIES, more_steps, COSINE, LARGER, RATES),
        ),
    ),
    (
        Finding(
            "Correlations lost",
            lambda e: not e.unlike and e.beyond("correlations", 0.1, e.apart),
            lambda e: (
                f"that of one pair of columns is wrong by {e.made['correlations']:.2f} (of real ones "
                f"{e.real['correlations']:.2f})"
            ),
            (PENALTIES, more_steps, best, wider),
        ),
    ),
    (
        Finding(
            "Modes too narrow",
            lambda e: e.made.get("mode_width", 1) < 0.8,
            lambda e: f"{e.made['mode_width']:.2f} of their true width",
            (best, SETTLING, FADE_FURTHER, more_steps),
        ),
        Finding(
            "Modes too wide",
            lambda e: 1.15 < e.made.get("mode_width", 1) < math.inf,
            lambda e: f"{e.made['mode_width']:.2f} of their true width",
            (best, SETTLING, PENALTIES, LARGER, more_steps),
        ),
    ),
)

CLEAN = "No sign of mode collapse, memorisation or blur."


def defined(values: Values) -> Values:
    """Without what is nan: an undefined value says as much as one that was not measured."""
    return {name: value for name, value in values.items() if not math.isnan(value)}


def verdict(made: Values, real: Values, trained: Trained | None = None, m: float = math.inf) -> list[str]:
    """A sentence for each finding about generated samples, with advice that fits how they were trained.

    m: how many samples were compared; with few, chance alone makes some differences.
    """
    evidence = Evidence(defined(made), defined(real), trained or Trained(), m)
    first = (next((f for f in group if f.holds(evidence)), None) for group in FINDINGS)
    return [finding.sentence(evidence) for finding in first if finding is not None] or [CLEAN]
