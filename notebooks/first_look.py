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
# # A first look
#
# A security policy is loaded into a pool of protectable memory and made read-only, while all other
# CPUs work. What does it cost to tell them, and what if the machine were built differently?
#
# Load a scenario that comes with pmsim. It takes a few lines to make it small enough for a notebook:
# any key can be changed by its dotted path, workloads go by their names.

# %%
import pmsim

scenario = pmsim.load("policy-load").with_(
    **{"workloads.selinux.allocations": 5000, "workloads.modules.modules": 1}
)
scenario.description

# %% [markdown]
# Run it. Without a directory the result lives as long as the object; `pmsim.run(scenario, "results/x")`
# keeps it.

# %%
result = pmsim.run(scenario)
result

# %% [markdown]
# ## Tables
#
# Every table is a pandas data frame, with times in picoseconds. One row of `crosscalls` is one
# shootdown; its parts add up to the time from its start to its end.

# %%
calls = result.crosscalls
calls["latency_us"] = (calls["end_ps"] - calls["start_ps"]) / 1e6
calls.groupby(["cause", "kind"], observed=True)["latency_us"].describe()

# %% [markdown]
# Who was the last to answer, and why? On an otherwise busy machine it is a matter of distance; CPUs
# that are idle have to wake up first.

# %%
calls["slowest_reason"].value_counts()

# %% [markdown]
# What the CPUs lost: handlers steal time from whatever runs, and a full flush empties the TLB, which
# then has to be refilled.

# %%
lost = result.cpus.set_index("cpu")[["stolen_ps", "refill_ps", "spin_ps"]] / 1e6
lost.rename(columns=lambda name: name.replace("_ps", "_us")).describe().loc[["mean", "min", "max"]]

# %% [markdown]
# ## Figures
#
# Each figure is a function from a result to Matplotlib axes. Where did the time of the kernel's
# operations go?

# %%
_ = pmsim.plot.operation_cost(result)

# %% [markdown]
# And of what is the latency of a shootdown made?

# %%
_ = pmsim.plot.flush_cost(result)

# %% [markdown]
# ## What if?
#
# Much of it is the initiator's look at every CPU's answer. Let a cache line from the other socket take
# twice as long. Nothing else changes, random draws included: the two runs differ by that cost alone.

# %%
slower = pmsim.run(scenario.with_(**{"machine.costs.ipi.line.package": "220ns"}))

# %%
import matplotlib.pyplot as plt
import pandas as pd

mean_us = pd.Series(
    {
        "as it is, 110 ns": result.summary.latency_ps.mean / 1e6,
        "twice as far, 220 ns": slower.summary.latency_ps.mean / 1e6,
    },
    name="mean latency of a shootdown (µs)",
)
mean_us

# %% [markdown]
# There are 28 CPUs on the other socket, and the initiator visits them one by one, so each shootdown
# should take 28 · 110 ns = 3.08 µs longer, wherever the visits end the call. They do:

# %%
longer = slower.crosscalls["end_ps"] - slower.crosscalls["start_ps"]
difference = longer - (result.crosscalls["end_ps"] - result.crosscalls["start_ps"])
assert difference.median() == 28 * 110_000
difference.value_counts()

# %%
figure, axes = plt.subplots(2, 1, figsize=(9, 7), layout="constrained", sharex=True)
for ax, one, name in zip(axes, (result, slower), mean_us.index, strict=True):
    pmsim.plot.flush_cost(one, ax=ax)
    ax.set_xlabel(f"{name}: {ax.get_xlabel()}")
