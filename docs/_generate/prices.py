"""The price list, and its short form in the README."""

from __future__ import annotations

from collections.abc import Sequence

from pmsim.prices.formats import as_markdown, overview
from pmsim.prices.listing import PriceList, price_list
from pmsim.prices.offers import Offer, offers

VARIANTS = {
    "linux-6.18-x86_64": ("linux-6.18-x86_64", "epyc-turin"),
    "linux-4.16-x86_32": ("linux-4.16-x86_32,pae=false", "xeon-2006"),
    "linux-6.1-arm64": ("linux-6.1-arm64,rodata=on", "altra-max"),
    "linux-6.18-arm64": ("linux-6.18-arm64,rodata=on", "altra-max"),
}
"""What is priced after a kernel, beside it: another way to start it, or another machine."""

SHORT = ("protect", "destroy", "purge", "load", "unload", "bpf_load", "static_key")
"""Operations in the README's list."""

MARKS = ("<!-- make docs writes the table below -->", "<!-- make docs wrote the table above -->")
"""What the README's list stands between."""

PRICES = """\
# The price list

What each operation of each kernel costs by itself: the kernel model boots, does it alone while
every other CPU computes, and what it did is read off. Nothing here is a table that somebody filled
in. `make docs` writes this page; `pmsim costs` prints the same for your own machine and sizes:

```bash
pmsim costs --kernel linux-6.1-x86_64 --platform epyc-milan --areas 1 --pages 40
```

Counts of shootdowns depend on the kernel alone; they are what the tests hold against real kernels
and against their code. Times rest on the constants of a platform, most of which are estimates
([validity](validity.md)).

**How to read it.** The first two tables count all shootdowns; their last column says how many CPUs
protecting the pool interrupts. In the others *full* empties every TLB, *range* drops single pages,
*sync* drops nothing (CPUs take notice of new code). *IPIs* are interrupts taken, *TLBIs*
operations of TLB broadcasts, which need none, *CPUs* those that were interrupted. *lazy*
are pages of freed addresses that a later purge has to flush: what looks free of charge here is paid
there, by whoever changes a permission next. *takes* is the time from the call to its return,
*waits* the part of it in shootdowns; what a worker does later costs the caller nothing, but is
counted. *stolen* and *refill* are what all other CPUs lose together: to handlers or to waiting for
the hardware, and to filling {working_set} TLB entries each again. A dash: this kernel does not do
it.

**What is done.** A pool of {areas} areas of {pages} pages is protected, protected again and
destroyed. The module has 16 pages that stay and 4 for its init, and another one is there already;
the BPF program is the second one. *no room* is a `vmalloc` that finds no address left, as happens
on 32 bits; *thread* is the end of a thread whose CPU keeps two stacks already. Rare writes are
those of prmem, the only series that has them in this form.

"""


def price_page(lists: Sequence[PriceList]) -> str:
    """Return the whole price list."""
    sizes, working_set = lists[0].sizes, lists[0].working_set
    head = PRICES.format(areas=sizes.areas, pages=sizes.pages, working_set=working_set)
    return head + as_markdown(lists)


def shortened(readme: str, lists: Sequence[PriceList]) -> str:
    """Return the README with the counts of some operations between the two marks."""
    before, rest = readme.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    return f"{before}{MARKS[0]}\n\n{overview(lists, SHORT)}\n{MARKS[1]}{after}"


def all_prices() -> list[PriceList]:
    """Return the prices of every kernel, each on the usual platform of its architecture."""
    priced: list[Offer] = []
    for one in offers([], [], None):
        priced.append(one)
        if one.label in VARIANTS:
            kernel, platform = VARIANTS[one.label]
            priced += offers([kernel], [platform], None)
    return [price_list(one.machine, one.profile, label=one.label) for one in priced]
