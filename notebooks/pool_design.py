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
# large an area is), the alignment of what is in it, and when it is protected. Each trades memory
# against shootdowns to all CPUs. Which choices are any good?
#
# 5,000 rules of 24 bytes on an 8-CPU machine on which nothing else calls the kernel: counts depend on the
# cut alone, so a small machine is enough.

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
        "exposed (KiB s)": pool.exposed_byte_s / 1024,
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
# Protecting on the way shortens the time for which rules can be overwritten (the exposure: bytes that are
# allocated and writable, times how long), but gives up what is left of the area under way each time.

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
    f" {once['wasted (KiB)']:.0f}, and takes the exposure from {once['exposed (KiB s)']:.3f} to"
    f" {often['exposed (KiB s)']:.3f} KiB s. If exposure is what matters, take small areas, or the mode"
    " `auto`, which protects an area when the next one comes and gives up nothing."
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
