"""A study: the parameters, shards, tables, figures and claims behind one notebook.

    class Chaos(OneModel):                              # parameters, with the smallest honest defaults
        setting: str = "mnist1d"
        seeds: int = 3

    study = Study("23_chaos_paths", Chaos, PAPER)

    @study.plan                                         # what is to be computed: one shard a few seeds
    def plan(params): return study.every_few(params, params.chosen(params.setting, params.steps))

    @study.shard                                        # the computation; it, and all it reaches, decides the key
    def measure(bench): ...

    @study.tables                                       # from arrays to tidy tables
    def tables(params, shards): ...

    @study.claim("X14", by="ratio of the distances of paths", region=between(0.8, 1.25), figure="a")
    def as_far_as_seeds(t):
        "Twins kicked at the start take paths as far apart as networks of different seeds."
        return intervals.geometric_mean(...)

In the notebook: `study.open(globals())`, `study.show("a", figures.by_time)`, `study.verdicts()`.
"""

import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import pandas as pd
from IPython import get_ipython
from IPython.display import Markdown, clear_output, display

from butterfly import data
from butterfly.strict import ParameterError, UserError
from butterfly.study import captions, executors, folders, ledger, runs
from butterfly.study.claims import Claim, Kind, Origin, Region, planted, power
from butterfly.study.intervals import Interval
from butterfly.study.papers import Paper
from butterfly.study.parameters import Params, Trained, check_device
from butterfly.study.runs import Compute, Shard
from butterfly.study.settings import Setting, setting
from butterfly.study.store import Config, Store


class Tables(dict[str, pd.DataFrame]):
    """Tidy tables by name, with the parameters they come from and, for claims, the place that they are about.

    `place` is the setting or network that the tables are restricted to, `label` what its claims' ids end in.
    """

    def __init__(
        self, tables: Mapping[str, pd.DataFrame], params: Params, place: str = "", label: str = "", **kept: Any
    ):
        super().__init__(tables)
        self.params, self.place, self.label = params, place, label
        self.kept = kept  # what is not a table: matrices that a figure draws

    def at(self, column: str, place: str, label: str = "") -> Self:
        """The rows about one place, of the tables that have the column; the others whole."""
        some = {name: t[t[column] == place] if column in t else t for name, t in self.items()}
        return type(self)(some, self.params, place, label, **self.kept)


REDRAWN = "redrawn"  # the label of the place where every unit has data of its own
Drawn = tuple[Any, pd.DataFrame]  # a figure, and the numbers behind it
Reason = Callable[[Tables], str]  # why claims on these tables are not judged; empty: they are
Reach = tuple[float, float]  # the least and the greatest value that a statistic can take


@dataclass(frozen=True)
class Question:
    """A claim before it is judged. `statement` and `by` may name parameters, as in `{size:g}`."""

    id: str
    statement: str
    by: str
    region: Region
    origin: Origin
    place: str
    source: str
    kind: Kind
    figure: str
    scope: str
    unless: Reason
    everywhere: bool
    reach: Reach | Callable[[Tables], Reach] | None
    margin: float | None
    measure: Callable[[Tables], Interval]

    def shown(self, label: str) -> str:
        """The letters of the figures that show it on a place: `a@f` is a on the main place, f on others."""
        main, _, others = self.figure.partition("@")
        return (others or main) if label else main


def sound(tables: Tables) -> str:
    """Never a reason not to judge."""
    return ""


class Study:
    """One notebook's study. `on` is the column of its tables that tells places apart, if claims are judged on several.

    The places of parameters are `params.places`, a dict from what the ids end in (empty for the main one) to the value
    in that column.
    """

    def __init__(
        self,
        notebook: str,
        parameters: type[Params],
        paper: Paper,
        on: str = "",
        origin: Origin = Origin.PAPER,
        kind: Kind = Kind.FINDING,
    ):
        self.notebook, self.parameters, self.paper, self.on = notebook, parameters, paper, on
        self.origin, self.kind = origin, kind  # of its claims, where they do not say
        self.questions: list[Question] = []
        self.computations: list[Compute] = []
        self._plan: Callable[[Any], Sequence[Shard]] | None = None
        self._follow: Callable[[Any, Sequence[Shard]], Sequence[Shard]] | None = None
        self._tabulate: Callable[[Any, Sequence[Shard]], Tables | Mapping[str, pd.DataFrame]] | None = None
        self._unless: Reason = sound
        self.params: Params = parameters()
        self.results: Tables | None = None

    # --- what a study declares ---

    def shard(self, function: Compute) -> Compute:
        """Declare a computation: from a `Bench` to arrays, and nothing else."""
        self.computations.append(function)
        return function

    def plan(self, function: Callable[[Any], Sequence[Shard]]) -> Callable:
        """Declare which shards parameters ask for."""
        self._plan = function
        return function

    def follow(self, function: Callable[[Any, Sequence[Shard]], Sequence[Shard]]) -> Callable:
        """Declare which shards follow from what those of the plan found."""
        self._follow = function
        return function

    def tables(self, function: Callable) -> Callable:
        """Declare how computed shards, those of the plan before those that follow, become tables."""
        self._tabulate = function
        return function

    def unless(self, function: Reason) -> Reason:
        """Declare why claims of this study may be void; a claim can name a reason of its own."""
        self._unless = function
        return function

    def claim(
        self,
        id: str,
        statement: str = "",
        *,
        by: str,
        region: Region,
        origin: Origin | None = None,
        place: str = "",
        source: str = "",
        kind: Kind | None = None,
        figure: str = "",
        scope: str = "",
        unless: Reason | None = None,
        everywhere: bool = True,
        reach: Reach | Callable[[Tables], Reach] | None = None,
        margin: float | None = None,
    ) -> Callable:
        """Declare a claim; the function measures it, from tables to an interval, and its docstring is the statement.

        Statement and `by`, the words for the statistic, may name parameters, as in `{size:g}` or `{params.last:g}`.
        `place` is the section, figure or file that says it, `source` the work if it is not the study's paper, `figure`
        the letters of the figures that show it (`a@f`: other places in f), `scope` the data and model if they are not
        those of the place. `everywhere` False: judged on the main place only. `reach` is the range that the statistic
        can reach, if its interval does not say or the data decide; `margin` how far beyond the bound an effect is
        planted for the power (on a log scale a factor; see `claims.planted`).
        """

        def declare(measure: Callable[[Tables], Interval]) -> Callable[[Tables], Interval]:
            says, own = origin or self.origin, statement or " ".join(inspect.getdoc(measure).split()).rstrip(".")
            if any(question.id == id for question in self.questions):
                raise ValueError(f"{self.notebook} has two claims {id}")
            cited = source or ("this companion" if says is Origin.OURS else self.paper.cite)
            about = (id, own, by, region, says, place, cited, kind or self.kind, figure, scope)
            self.questions.append(Question(*about, unless or self._why, everywhere, reach, margin, measure))
            return measure

        return declare

    def _why(self, tables: Tables) -> str:
        return self._unless(tables)

    def rule(self, question: Question) -> str:
        """What makes a claim void, in words: the docstring of its reason, or of the study's."""
        reason = self._unless if question.unless == self._why else question.unless
        return " ".join((inspect.getdoc(reason) or "").split())

    # --- what it does ---

    def shards(self, params: Params) -> list[Shard]:
        """What parameters ask for; `ParameterError` where they do not fit together, or the machine lacks the device."""
        check_device(params.device)
        try:
            return list(self._plan(params)) if self._plan else []
        except UserError:
            raise
        except ValueError as error:  # an architecture that does not exist, or does not fit the data
            raise ParameterError(f"parameters of {self.notebook}: {error}") from None

    def config(self, setting: Setting, params: Params, **grid: Any) -> Config:
        """The configuration of a shard: the setting, what its data are made from, the device, and what else decides."""
        common = {"setting": setting.identity, "source": data.provenance(setting.data), "device": params.device}
        return {**common, **grid}

    def every_few(
        self,
        params: Params,
        setting: Setting,
        units: str = "seeds",
        leave: Sequence[str] = (),
        of: str = "",
        **grid: Any,
    ) -> list[Shard]:
        """One shard for every few seeds (or other units), with all parameters that may decide its numbers.

        Left out are those that say which setting and how many units, and those named in `leave`; `grid` adds others.
        """
        choice = {
            "profile",
            "device",
            "first_seed",
            "setting",
            "steps",
            "recipe",
            "data_set",
            "model",
            units,
            f"{units}_per_shard",
            *leave,
        }
        common = self.config(setting, params, **params.model_dump(mode="json", exclude=choice), **grid)
        return [Shard(self.computations[0], common | {units: few}, of) for few in params.few(units)]

    def compute(self, shards: Sequence[Shard]) -> list[Shard]:
        """The shards with what they found, from the store or computed where `BUTTERFLY_EXECUTOR` says."""
        runs.prepare()
        device = next((name for shard in shards if (name := shard.config["device"]) != "cpu"), "cpu")
        with _progress() as report, executors.opened(device, len(shards), report) as executor:
            return runs.collect(shards, Store(folders.runs()), executor, report)

    def computed(self, params: Params) -> list[Shard]:
        """All shards that parameters ask for, and those that follow from them, with what they found."""
        first = self.compute(self.shards(params))
        return first + (self.compute(self._follow(params, first)) if self._follow else [])

    def run(self, params: Params) -> Tables:
        """Compute what is missing, and tabulate."""
        found = self._tabulate(params, self.computed(params))
        return found if isinstance(found, Tables) else Tables(found, params)

    def places(self, params: Params) -> dict[str, str]:
        """Where claims are judged: what their ids end in, and the value in the column `on`."""
        return params.places if self.on else {"": ""}

    def judge(self, params: Params, tables: Mapping[str, pd.DataFrame]) -> list[Claim]:
        """Every claim, on every place."""
        whole = tables if isinstance(tables, Tables) else Tables(tables, params)
        found = []
        for label, place in self.places(params).items():
            here = whole.at(self.on, place, label) if self.on else whole
            found += [self._judged(q, here) for q in self.questions if q.everywhere or not label]
        return found

    def asked(self, params: Params) -> list[dict[str, Any]]:
        """What is claimed on every place, in words, before anything is known."""
        values = params.model_dump() | {"params": params}
        return [
            {
                "id": q.id + (f"@{label}" if label else ""),
                "statement": q.statement.format(**values),
                "statistic": q.by.format(**values),
                "region": str(q.region),
                "kind": str(q.kind),
                "void if": self.rule(q),
            }
            for q in self.questions
            for label in self.places(params)
            if q.everywhere or not label
        ]

    def _judged(self, question: Question, here: Tables) -> Claim:
        interval, void = question.measure(here), question.unless(here)
        if question.reach is not None:
            reach = question.reach(here) if callable(question.reach) else question.reach
            interval = replace(interval, reach=tuple(map(float, reach)))
        at = math.nan if question.kind is Kind.CHECK else planted(question.region, interval, question.margin)
        values = here.params.model_dump() | {"params": here.params}  # so that properties can be named too
        return Claim(
            id=question.id + (f"@{here.label}" if here.label else ""),
            notebook=self.notebook,
            paper=self.paper.key,
            statement=question.statement.format(**values),
            origin=str(question.origin),
            place=question.place,
            kind=str(question.kind),
            scope=question.scope.format(**values) or self.scope(here),
            source=question.source,
            statistic=question.by.format(**values),
            region=question.region,
            **vars(interval),
            verdict="inconclusive" if void else question.region.judge(interval),
            void=void,
            figure=question.shown(here.label),
            planted=at,
            power=math.nan if math.isnan(at) else power(question.region, interval, at),
        )

    def scope(self, here: Tables) -> str:
        """The data and the model that claims on these tables are about."""
        params, name = here.params, here.place or getattr(here.params, "setting", "")
        if not name:
            return ""
        if here.label == REDRAWN:
            main = self.scope(Tables({}, params, self.places(params)[""]))
            return f"{main}; data drawn anew for every unit"
        if hasattr(params, "trained"):  # networks named `setting/architecture`
            found = params.trained(name)
        else:
            found = setting(name) if here.label or not isinstance(params, Trained) else params.chosen(name)
        return f"{found.data}, {getattr(params, 'architectures', found.model)}"

    # --- what a notebook asks of it ---

    def open(self, namespace: dict[str, Any]) -> None:
        """Read the parameters of a notebook, compute what is missing, and tabulate."""
        self.params = self.parameters.of(namespace)
        self.results = self.run(self.params)

    def show(
        self, letter: str, draw: Callable[[Tables], Drawn], name: str = "", on: str = "", when: bool = True
    ) -> None:
        """Caption the reference figure, draw one's own, and keep it as `<notebook>_<letter>_<name of the function>`.

        The caption is the docstring of `draw`, with n and the claims from the reference. `on` restricts the tables to
        one place. `when` False: the parameters leave nothing to draw.
        """
        from butterfly.study import figures  # slow to import, and workers do without

        display(Markdown(captions.caption(self, letter, draw)))
        if not when:
            return
        display(Markdown("The same at the parameters of this notebook:"))

        tables = self.results.at(self.on, on) if on else self.results
        file = f"{self.number}_{letter}_{name or draw.__name__}"
        display(figures.save(*draw(tables), file, folders.results(self.params.profile)))

    def keep(self, *names: str) -> None:
        """Keep tables as CSV files beside the figures."""
        from butterfly.study import figures

        for name in names:
            figures.save_table(self.results[name], f"{self.number}_{name}", folders.results(self.params.profile))

    def verdicts(self) -> None:
        """Show the claims as the reference run has them; then judge them anew, keep them and show them."""
        found = self.judge(self.params, self.results)
        ledger.write(folders.results(self.params.profile) / f"{self.notebook}.claims.json", found)
        at_hand = f"Of {self.paper.cite} there was at hand: {self.paper.at_hand}. *Says* tells who makes each claim."
        display(Markdown(f"{at_hand} The reference run:"), ledger.markdown(self.reference_claims()))
        display(Markdown(f"This run (profile `{self.params.profile}`):"), ledger.markdown(found))

    def reference_claims(self) -> list[Claim]:
        """The claims of this study in the reference run; none where there is none yet."""
        file = folders.reference("laptop") / "claims.json"
        return [c for c in ledger.read(file) if c.notebook == self.notebook] if file.exists() else []

    @property
    def number(self) -> str:
        """The two digits of the notebook."""
        return self.notebook[:2]


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Lines on the terminal; in a notebook, one line that is replaced and is gone at the end."""
    if get_ipython() is None:
        yield lambda line: print(f"  {line}", file=sys.stderr, flush=True)
        return

    def replace(line: str) -> None:
        clear_output(wait=True)
        print(line)

    yield replace
    clear_output()
