"""Tables of reproduced experiments: what they come to together, and each point by point."""

from __future__ import annotations

from collections.abc import Sequence

from pmsim import formatting
from pmsim.report.table import Cell, Table, count, part, word
from pmsim.reproduction.experiment import Experiment
from pmsim.reproduction.reproduction import Reproduction
from pmsim.reproduction.scores import Score, beats_guesses

NOTHING = Cell("-")
_DIGITS = 4


def truth_words(found: Reproduction) -> list[str]:
    """Return what the predictions come to together, a sentence each."""
    said = []
    raw, fitted = found.raw, found.calibrated
    if raw is not None:
        said.append(
            f"Nothing fitted, {formatting.counted(raw.points, 'point')}: mean error"
            f" {formatting.share(raw.mean_error)}, median {formatting.share(raw.median_error)};"
            f" {formatting.share(raw.near)} within 25 %, {formatting.share(raw.within_factor)}"
            f" within a factor of two; {formatting.share(raw.too_fast)} too fast."
        )
    sides = found.sides
    if len(sides) > 1:
        fast = sum(one.median < 1 for one in sides)
        middle = _median(sorted(one.median for one in sides))
        said.append(
            f"Points of a publication miss together: of {len(sides)} series, each by the median of"
            f" its times and rates, {fast} are too fast, and the one in the middle takes"
            f" {formatting.share(middle)} of the measured time."
        )
    held = found.coverage
    if held is not None:
        said.append(
            f"Intervals at {formatting.share(held.level)} that hold what the constants leave open:"
            f" {held.held:,} of {formatting.counted(held.points, 'measured figure')} lie in"
            f" theirs ({formatting.share(held.held / held.points)})."
        )
    if fitted is not None:
        said.append(
            f"One point fitted in each experiment, {formatting.counted(fitted.points, 'other')}:"
            f" median error {formatting.share(fitted.median_error)}, mean"
            f" {formatting.share(fitted.mean_error)}; better than a constant and than"
            f" proportion in {len(fitted.better)} of {fitted.experiments} experiments"
            + (f" (not in {', '.join(fitted.worse)})." if fitted.worse else ".")
        )
    if found.signs:
        right = sum(one.right for one in found.signs)
        said.append(f"Questions of yes or no: {right} of {len(found.signs)} answered as measured.")
    seen = [one for one in found.experiments if one.seen]
    if seen:
        points = formatting.counted(sum(len(one.points) for one in seen), "point")
        said.append(
            f"Set up after their figures had been seen, and in none of these numbers: {points} of"
            f" {', '.join(one.name for one in seen)}."
        )
    return said


def truth_tables(found: Reproduction) -> list[Table]:
    """Return the tables about all experiments together."""
    tables = [_goals(found), _summary(found)]
    if found.sides:
        tables.append(_sides(found))
    if found.signs:
        tables.append(_signs(found))
    if found.raw is not None:
        tables.append(_worst(found))
    return tables


def experiment_table(experiment: Experiment, found: Sequence[Score]) -> Table:
    """Return one experiment point by point.

    Parameters
    ----------
    experiment
        The experiment.
    found
        The scores of its points.
    """
    fitted = any(one.scaled is not None for one in found)
    columns = ["point", *([experiment.axis] if experiment.axis else []), "measured", "predicted",
               "error"]  # fmt: skip
    if fitted:
        columns += ["with one point fitted", "error", "constant", "proportional"]
    return Table(
        title="points",
        columns=tuple(columns),
        rows=tuple(_row(experiment, one, fitted) for one in found),
        note=_unit_note(experiment),
    )


def _unit_note(experiment: Experiment) -> str:
    unit = {"1": "", "1/s": "Per second.", "us": "In µs.", "%": "In %."}.get(
        experiment.unit, f"In {experiment.unit}."
    )
    shape = "" if experiment.absolute else (
        "No platform stands for the machine: raw predictions do not count."
    )  # fmt: skip
    seen = "Set up after these figures had been seen: none counts." if experiment.seen else ""
    return " ".join(filter(None, (unit, shape, seen)))


def _row(experiment: Experiment, one: Score, fitted: bool) -> tuple[Cell, ...]:
    cells = [word(one.point)]
    if experiment.axis:
        cells.append(count(one.at) if isinstance(one.at, int | float) else word(one.at or ""))
    cells += [number(one.measured), number(one.raw), signed(one.raw_error)]
    if fitted:
        guesses = [one.scaled_error, one.constant_error, one.linear_error]
        if one.calibration:
            said = [Cell("fitted") for _ in guesses]
        else:
            said = [NOTHING if guess is None else signed(guess) for guess in guesses]
        cells += [NOTHING if one.scaled is None else number(one.scaled), *said]
    return tuple(cells)


def number(value: float) -> Cell:
    """Return a cell with a figure of four digits."""
    return Cell(f"{float(f'{value:.{_DIGITS}g}'):,.10g}", value)


def signed(error: float) -> Cell:
    """Return a cell with an error, its sign in front."""
    if error == float("inf"):
        return Cell("more than nothing", error)
    return Cell(
        f"{100 * error:+,.0f} %" if abs(error) >= 0.0995 else f"{100 * error:+.1f} %", error
    )


def _goals(found: Reproduction) -> Table:
    """Return what is aimed at beside what was reached; what cannot be said is left out."""
    rows: list[tuple[str, str, str, bool]] = []
    raw, fitted, signs = found.raw, found.calibrated, found.signs
    if raw is not None:
        for name, value, most in (
            ("nothing fitted: mean error", raw.mean_error, 0.3),
            ("nothing fitted: median error", raw.median_error, 0.2),
        ):
            rows.append((name, part(value).text, f"at most {part(most).text}", value <= most))
        for name, value, least in (
            ("nothing fitted: within 25 %", raw.near, 0.6),
            ("nothing fitted: within a factor of two", raw.within_factor, 0.9),
        ):
            rows.append((name, part(value).text, f"at least {part(least).text}", value >= least))
    if fitted is not None:
        error = fitted.median_error
        rows.append(
            ("one point fitted: median error", part(error).text, "at most 10 %", error <= 0.1)
        )
        better, all_ = len(fitted.better), fitted.experiments
        rows.append(("one point fitted: better than both guesses", f"{better} of {all_}",
                     "all but 3", better >= all_ - 3))  # fmt: skip
    if signs:
        right = sum(one.right for one in signs)
        rows.append(
            ("questions of yes or no", f"{right} of {len(signs)}", "all", right == len(signs))
        )
    return Table(
        title="what is aimed at",
        columns=("", "reached", "aimed at", "met"),
        rows=tuple(
            (word(name), word(reached), word(aim), word("yes" if met else "no"))
            for name, reached, aim, met in rows
        ),
    )


def _summary(found: Reproduction) -> Table:
    rows = []
    scores = found.scores
    for one in found.experiments:
        mine = [score for score in scores if score.experiment == one.name]
        rows.append(_summed(one, mine))
    return Table(
        title="experiments",
        columns=("experiment", "points", "predicted", "raw: median",
                 "fitted: mean", "constant", "proportional", "better"),
        rows=tuple(rows),
        note="Sizes of errors of points that were never fitted: raw, and with one point of the"
        " experiment fitted. Constant: the fitted point's figure everywhere; proportional: that, in"
        " proportion to threads, CPUs or pages. Better: than both.",
    )  # fmt: skip


def _summed(one: Experiment, found: Sequence[Score]) -> tuple[Cell, ...]:
    predicted = [score for score in found if score.use == "predict"]
    raw = sorted(abs(score.raw_error) for score in predicted if score.counted)
    fitted = [score for score in predicted if score.scaled is not None]
    means = [
        part(sum(abs(error or 0.0) for error in errors) / len(errors)) if errors else NOTHING
        for errors in (
            [score.scaled_error for score in fitted],
            [score.constant_error for score in fitted],
            [score.linear_error for score in fitted],
        )
    ]
    better = word("yes" if beats_guesses(fitted) else "no") if fitted else NOTHING
    return (
        word(one.name), count(len(found)), count(len(predicted)),
        part(_median(raw)) if raw else NOTHING, *means, better,
    )  # fmt: skip


def _sides(found: Reproduction) -> Table:
    return Table(
        title="to which side",
        columns=("series", "points", "too fast", "least", "median", "most"),
        rows=tuple(
            (word(one.series), count(one.points), count(one.too_fast),
             *(part(pace) for pace in (one.least, one.median, one.most)))
            for one in found.sides
        ),
        note="The time that is predicted, by the one that was measured, nothing fitted: below 100 %"
        " where too fast. Times and rates alone. The experiments of a publication are one series:"
        " they share a machine, and what the model lacks there moves all of its points.",
    )  # fmt: skip


def _median(values: Sequence[float]) -> float:
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def _signs(found: Reproduction) -> Table:
    return Table(
        title="questions of yes or no",
        columns=("measured to be so", "the model says", "first", "second"),
        rows=tuple(
            (word(one.says), word("so, too" if one.right else "the opposite"),
             Cell(f"{number(one.larger).text} {one.unit}", one.larger),
             Cell(f"{number(one.than).text} {one.unit}", one.than))
            for one in found.signs
        ),
        note="Answered by raw predictions of two points: whether the first is larger.",
    )  # fmt: skip


def lacking(found: Reproduction) -> dict[str, str]:
    """Return what the model lacks where it is farthest off, by experiment or point."""
    own = {one.name: one.missing for one in found.experiments}
    return {
        one.experiment if one.missing == own[one.experiment] else f"{one.experiment}, {one.point}":
        one.missing
        for one in found.worst()
    }  # fmt: skip


def _worst(found: Reproduction) -> Table:
    return Table(
        title="the ten points that are farthest off",
        columns=("experiment", "point", "measured", "predicted", "error"),
        rows=tuple(
            (word(one.experiment), word(f"{one.point}"),
             Cell(f"{number(one.measured).text} {one.unit}", one.measured),
             Cell(f"{number(one.raw).text} {one.unit}", one.raw),
             signed(one.raw_error))
            for one in found.worst()
        ),
        note="By the ratio of prediction and measurement, nothing fitted.",
    )  # fmt: skip
