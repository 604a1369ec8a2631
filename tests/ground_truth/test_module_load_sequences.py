"""The order of calls and broadcasts of every load and unload, predicted by the simulated kernel."""

from __future__ import annotations

from functools import cache, partial

import pytest

from tests.ground_truth.noise import MOST_PURGES, SEVERAL_STACKS, STACK, Tally, UnexplainedError
from tests.ground_truth.observed import LINUX_6_1, LINUX_6_12, X86, Counted, Sequence, sequences
from tests.ground_truth.replay import Left, replays
from tests.ground_truth.test_module_load_counts import load_and_unload

LEFT = {LINUX_6_1: [Left(0, 5)], LINUX_6_12: [Left(0, 5), Left(1, 5)]}
"""What the load before can have left: how many areas matters, their pages are in no sequence."""


@cache
def predict(kernel: Counted, module: str) -> dict[str, tuple[str, ...]]:
    simulation = load_and_unload(kernel, 2, module)
    return {"insmod": tuple(simulation.tokens(0)), "rmmod": tuple(simulation.tokens(1))}


def span(token: str) -> int:
    """Return the pages of a kernel-range flush, 0 of any other token and of a huge one."""
    pages = token.removeprefix("!KR(").removesuffix(")")
    return int(pages) if token.startswith("!KR(") and pages.isdigit() else 0


def explain_sequence(seen: Sequence) -> str:
    predicted = predict(seen.kernel, seen.module)[seen.op]
    if seen.mode == "chain" and seen.op == "insmod":
        if seen.tokens == predicted:
            return ""
        for left in LEFT[seen.kernel]:
            if seen.tokens in [r.tokens for r in replays(seen.kernel, 2, seen.module, left)]:
                return "R"
        # The worker's part may come at any time, also in another step.
        predicted = predicted[: predicted.index("<do_free_init>")]
    # Several rules can make a sequence; the fewest do.
    codes = explained(predicted, seen.tokens, chained=seen.mode == "chain")
    if codes is None or codes.count("K") > MOST_PURGES:
        raise UnexplainedError(f"predicted: {' '.join(predicted)}")
    return "".join(sorted(set(codes)))


@cache
def explained(
    predicted: tuple[str, ...], seen: tuple[str, ...], *, chained: bool, after: str = ""
) -> str | None:
    """Return the rules that turn one sequence into the other, a code for each use of one."""
    if not predicted and not seen:
        return ""
    ways = []
    if predicted and seen and (code := matches(predicted[0], seen[0])) is not None:
        # A stack or an init area freed between a call and its flush does not separate the two.
        ways.append((code, predicted[1:], seen[1:], seen[0]))
    if seen and (code := inserted(seen[0], after, chained)) is not None:
        ways.append((code, predicted, seen[1:], after if code == "F" else seen[0]))
    if predicted and chained and is_taken_along(predicted[0]):
        ways.append(("A", predicted[1:], seen, after))
    found = [
        code + rest
        for code, left, unseen, last in ways
        if (rest := explained(left, unseen, chained=chained, after=last)) is not None
    ]
    return min(found, key=len, default=None)


def matches(predicted: str, seen: str) -> str | None:
    if predicted == seen:
        return ""
    # M: a stack merges into the purge of the file buffer.
    return "M" if span(predicted) and span(seen) >= span(predicted) + STACK else None


def inserted(token: str, after: str, chained: bool) -> str | None:
    """Return the rule by which a token can stand where none is predicted."""
    if token == "vfree":
        return "F"
    # Several leaves can be split in a row.
    places = ("", "vfree", "!KR(huge)", "!SPLIT")
    if token == "!SPLIT" and (is_call(after) or after in places or span(after)):
        return "S"
    if is_call(after) and (span(token) == STACK or span(token) >= SEVERAL_STACKS):
        return "K"
    if chained and token in ("!KR(huge)", "<do_free_init>"):
        return "A"
    return None


def is_call(token: str) -> bool:
    """Return whether this is a set_memory call, which purges before it does anything else."""
    return token[:2] in ("ro", "rw", "nx") or token[:1] == "x"  # "rox" is one, too


def is_taken_along(token: str) -> bool:
    """Return whether this is the purge of the file buffer, which another flush may replace."""
    return span(token) > 0


@pytest.mark.parametrize("kernel", X86, ids=str)
def test_every_order_of_calls_and_broadcasts_is_predicted_or_explained_by_a_rule(
    kernel: Counted, capsys: pytest.CaptureFixture[str]
) -> None:
    tally = Tally(f"{kernel}: module_load_sequences")
    for seen in sequences(kernel):
        label = f"line {seen.line}: {seen.mode} {seen.op} {seen.module}: {' '.join(seen.tokens)}"
        tally.add(label, partial(explain_sequence, seen))
    with capsys.disabled():
        print(f"\n{tally}")
    assert tally.unexplained == []


@pytest.mark.parametrize("op", ["insmod", "rmmod"])
@pytest.mark.parametrize("kernel", X86, ids=str)
def test_every_module_of_the_table_was_seen_in_the_predicted_order(
    kernel: Counted, op: str
) -> None:
    drained = [seen for seen in sequences(kernel) if (seen.mode, seen.op) == ("drained", op)]
    modules = {seen.module for seen in drained} - ({"jfs"} if op == "rmmod" else set())
    exact = {seen.module for seen in drained if seen.tokens == predict(kernel, seen.module)[op]}
    assert exact == modules
    assert len(modules) >= 8


@pytest.mark.parametrize(
    "tokens",
    [
        pytest.param(["ro1", "!ALL", "ro1"], id="a call without its flush"),
        pytest.param(["ro1", "ro1", "!ALL"], id="a flush out of order"),
        pytest.param(["ro1", "!ALL", "!KR(5)", "ro1", "!ALL"], id="a purge outside a call"),
        pytest.param(["ro1", "!KR(6)", "!ALL", "ro1", "!ALL"], id="a purge of no stack"),
        pytest.param(["ro1", "!ALL", "ro1", "!ALL", "!ALL"], id="a flush too many"),
        pytest.param(["ro2", "!ALL", "ro1", "!ALL"], id="another segment"),
    ],
)
def test_an_order_that_no_rule_produces_is_unexplained(tokens: list[str]) -> None:
    assert explained(("ro1", "!ALL", "ro1", "!ALL"), tuple(tokens), chained=True) is None
