from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum

import pytest

from pmsim.hardware.fabric import SlowestReason
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.hardware.tlb import CallKind
from pmsim.kernel.tlbflush import Cause
from pmsim.report.glossary import GLOSSARY, Term
from pmsim.simulation.answer.metrics import METRICS
from pmsim.simulation.answer.summary import Summary
from pmsim.simulation.tables.columns import TABLES

TERMS = [term for terms in GLOSSARY.values() for term in terms]
OF_SWEEPS = {"cell"}  # a column of every file of rows
NUMBERS = {*METRICS, *OF_SWEEPS, *(path for path, _meaning in Summary.meanings())}


def there_is(where: str) -> bool:
    """Return whether a table, a column, a metric or a number of the summary is there."""
    table, _, column = where.partition(" = ")[0].partition(".")
    if table in TABLES:
        return not column or column in TABLES[table].names
    return where in NUMBERS


@pytest.mark.parametrize("term", TERMS, ids=lambda one: one.name)
def test_what_a_word_stands_for_is_in_results(term: Term) -> None:
    assert there_is(term.where)


def values_told(column: str) -> set[str]:
    return {
        term.where.partition(" = ")[2] for term in TERMS if term.where.startswith(f"{column} = ")
    }


def names(codes: Iterable[IntEnum]) -> set[str]:
    return {code.name.lower() for code in codes}


def test_every_kind_cause_reason_and_protocol_is_explained() -> None:
    assert values_told("crosscalls.kind") == names(CallKind)
    assert values_told("crosscalls.cause") == names(Cause)
    assert values_told("crosscalls.slowest_reason") == names(SlowestReason)
    assert values_told("crosscalls.protocol") == set(PROTOCOLS)


def test_each_word_has_one_sentence_and_stands_once() -> None:
    assert len({term.name for term in TERMS}) == len(TERMS)
    for term in TERMS:
        assert re.fullmatch(r"[A-Z][^.]*\.", term.meaning), term.name
