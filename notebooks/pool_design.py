# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How to cut a pool
#
# A pool grows by areas and is protected area by area, so its owner chooses three numbers: the refill (how
# large an area is), the alignment of what is in it, and when it is protected; and whether a pool protects its
# areas by itself. Each trades memory against shootdowns to all CPUs, and both against how long what is in the
# pool can be overwritten. Which choices are any good?
#
# 5,000 rules of 24 bytes on an 8-CPU machine on which nothing else calls the kernel: counts depend on the
# cut alone, so a small machine is enough.
#
# Exposure has two parts. A rule is *writable* from its allocation until the entry of its page is changed: that
# is up to who cuts the pool. From then on it is *stale* until the last CPU has dropped the old translation:
# that is up to the shootdown.

# %%
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

import pmsim

RULES, SIZE = 5000, 24
peace = pmsim.load("policy-load-in-peace").with_(
    **{"machine.cpus": 8, "duration": "20ms", "workloads.selinux.allocations": RULES}
)


def cut(refill="4KiB", align_order=3, protect="end"):
    """Return what a pool costs if it is cut like this."""
    keys = {"pool.refill": refill, "pool.align_order": align_order, "protect": protect}
    result = pmsim.run(
        peace.with_(**{f"workloads.selinux.{key}": value for key, value in keys.items()})
    )
    (pool,) = result.pools.itertuples()
    return {
        "broadcasts": result.summary.broadcasts.total,
        "areas": pool.areas,
        "wasted (KiB)": (pool.pages * 4096 - RULES * SIZE) / 1024,
        "writable (B s)": pool.writable_byte_s,
        "stale (B s)": pool.stale_byte_s,
        "CPU time lost (ms)": result.summary.cost.lost_ps / 1e9,
    }


# %% [markdown]
# ## Refill
#
# A larger area is a shootdown less for each one that it replaces. What it wastes is its unused end.

# %%
refills = ["4KiB", "8KiB", "16KiB", "32KiB", "64KiB", "128KiB", "256KiB"]
by_refill = pd.DataFrame({refill: cut(refill) for refill in refills}).T
by_refill.round(3)

# %% [markdown]
# ## Alignment
#
# 24 bytes are a multiple of 8 (order 3), so nothing is lost. Cache lines of 64 bytes (order 6) take two
# and a half times the memory, and as many more areas.

# %%
by_alignment = pd.DataFrame({f"{2**order} B": cut("16KiB", order) for order in (3, 5, 6)}).T
by_alignment.round(3)

# %% [markdown]
# ## Cadence
#
# Protecting on the way shortens the time for which rules can be overwritten, but gives up what is left of
# the area under way each time. What is stale stays what it is: every rule is protected once, however it is cut.

# %%
cadences = [170, 680, 2720, 5000]
by_cadence = pd.DataFrame({f"{n:,} rules": cut("16KiB", 3, {"every": n}) for n in cadences}).T
by_cadence.round(3)

# %%
largest, page = by_refill.iloc[-1], by_refill.iloc[0]
often, once = by_cadence.iloc[0], by_cadence.iloc[-1]
Markdown(
    f"From a page to {refills[-1]} at a time, {page['broadcasts']:.0f} shootdowns become"
    f" {largest['broadcasts']:.0f}, for {largest['wasted (KiB)'] - page['wasted (KiB)']:.0f} KiB more."
    f" Protecting every {cadences[0]} rules instead of once makes {often['broadcasts']:.0f} of"
    f" {once['broadcasts']:.0f}, wastes {often['wasted (KiB)']:.0f} KiB instead of"
    f" {once['wasted (KiB)']:.0f}, and takes what is writable from {once['writable (B s)']:.1f} to"
    f" {often['writable (B s)']:.2f} B s; {often['stale (B s)']:.2f} B s are stale either way."
    " Small areas alone do not help: more shootdowns make the loading longer, and all of it waits for the end."
)

# %%
figure, ax = plt.subplots(figsize=(9, 5.5), layout="constrained")
choices = {
    "refill": by_refill,
    "alignment, 16 KiB areas": by_alignment,
    "cadence, 16 KiB areas": by_cadence,
}
for (name, table), marker in zip(choices.items(), "os^", strict=True):
    ax.plot(table["broadcasts"], table["wasted (KiB)"], marker=marker, label=name, linewidth=1)
labels = pd.concat(choices.values()).groupby(["broadcasts", "wasted (KiB)"])
for place, rows in labels:
    text = ", ".join(rows.index)
    ax.annotate(text, place, xytext=(5, 6), textcoords="offset points", fontsize=8)
ax.margins(x=0.15)
ax.set(xscale="log", yscale="log", xlabel="shootdowns to protect it all", ylabel="KiB wasted")
ax.set_title(
    "Large areas save shootdowns; protecting often costs both", loc="left", fontweight="bold"
)
_ = ax.legend(frameon=False)

# %% [markdown]
# ## Who protects, and when
#
# prmem has pools of other modes. `auto` protects an area when the next one comes, and gives up nothing. `start`
# protects an area before anything is in it, so that each rule has to be written by a rare write: a mapping of its
# own for a moment. The shipped sweep `pool-designs` puts all of it side by side, seven other CPUs at work: what a
# design costs everybody (its owner's calls, and what others lose) against exposure.

# %%
designs = pmsim.sweep("pool-designs")
_ = pmsim.plot.pareto(designs)

# %%
columns = {
    "workloads.rules.pool.refill": "refill",
    "workloads.rules.pool.mode": "mode",
    "workloads.rules.protect": "protect",
}
table = designs.frame.rename(columns=columns)
table["cost (ms)"] = table["pool_paid_ps"] / 1e9
table["writable (B s)"] = table["pool_writable_byte_s"]
table["stale (B s)"] = table["pool_stale_byte_s"]
(
    table[[*columns.values(), "cost (ms)", "writable (B s)", "stale (B s)"]]
    .sort_values("cost (ms)")
    .set_index([*columns.values()])
    .round(3)
)

# %%
at_end = table[table["protect"] == "end"].set_index(["refill", "mode"])
cheapest, auto, never = (
    at_end.loc[place] for place in [("256KiB", "ro"), ("16KiB", "auto"), ("256KiB", "start")]
)
Markdown(
    f"One area of 256 KiB, protected at the end, costs {cheapest['cost (ms)']:.2f} ms and leaves"
    f" {cheapest['pool_open_byte_s']:.1f} B s open. `auto` with areas of 16 KiB costs"
    f" {auto['cost (ms)'] / cheapest['cost (ms)']:.1f} times as much and leaves"
    f" {cheapest['pool_open_byte_s'] / auto['pool_open_byte_s']:.0f} times less open;"
    f" {auto['stale (B s)'] / auto['pool_open_byte_s']:.0%} of that is stale, which no cut changes. `start`"
    f" leaves nothing open, and costs {never['cost (ms)'] / cheapest['cost (ms)']:.0f} times as much. So:"
    " `auto` by default, `start` for the little that must never be open."
)

# %% [markdown]
# ## An attack
#
# Is exposure what counts? Seven CPUs write to random bytes of pools as these are filled and protected, a table of
# 256 KiB every 200 µs. What lands is in proportion to what is open.

# %%
attacked = pmsim.run("overwrite").summary
hit, left = attacked.overwritten, attacked.exposure
Markdown(
    f"Of {hit.writes:,} writes {hit.landed:,} landed before protection and {hit.stale} by an old translation,"
    f" where {left.writable_byte_s:.0f} B s were writable and {left.stale_byte_s:.1f} stale. A CPU drops"
    " its translation before the last one does, and no program runs while it is in its handler: in"
    f" {left.closed_share:.0%} of the stale time nobody could write at all."
)
