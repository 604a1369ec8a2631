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
# # Is loading modules too rare to matter?
#
# ## The question
#
# The documentation of pmalloc answers the objection that protecting memory costs a shootdown to every
# CPU: allocations happen in an initial transient, after which no more cross-processor synchronization
# is needed; loading modules is the exception, but too rare to be a problem. Nobody measured it. How
# rare is rare enough, on how many CPUs, and on which kernel?
#
# ## Method
#
# The scenarios `claim`, `claim-arm64`, `claim-32bit` and, under protocols that x86 could have, `claim-protocols` and `claim-deferred` have one CPU load modules of the mean size of a boot (42
# pages, no static calls) as a Poisson process, and keep them. Another CPU loads a policy of one 64 KiB
# area 105 times, often enough for a 99th percentile of its protection. All other CPUs compute, with 512
# TLB entries each (256 on the machine of 2006 that also runs 32 bits). No CPU sleeps deeply: waking one would take up to 133 µs, and hide the rest on small
# machines. Two numbers come out: the share of all CPU time that synchronization took (handlers,
# spinning, sending, and refilling TLBs that were flushed), and the p99 of a policy's protection.
#
# `make study` runs every kernel, number of CPUs and rate five times; random draws are shared between
# cells, so that they differ by what was changed and not by luck. Intervals are at 95 %. Without its
# results this notebook runs a small grid for a fraction of a second of simulated time, which is enough
# to try the code and not to be quoted.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown

import pmsim
from pmsim import formatting
from pmsim.confidence import mean_interval

KERNEL, CPUS, RATE = "kernel", "machine.cpus", "workloads.modules.arrival.poisson"
PROTOCOL, TRIED = "kernel.shootdown", "linux-6.18-x86_64"
P99 = "operation_p99_ps[pmalloc_protect_pool]"
LIMIT = 0.01
BRIEF = {
    "duration": "140ms",
    "measure.warmup": "30ms",
    "workloads.policies.arrival.every": "1200us",
}
FOLDER = next(
    (path for path in (Path("results/study"), Path("../results/study")) if path.is_dir()), None
)


def study(name, kernels, cpus, axis=KERNEL):
    """Return what `make study` left of a scenario; a small sweep of it if there is nothing whole."""
    path = FOLDER / name if FOLDER else None
    if path and (path / "sweep.json").exists() and (found := pmsim.open(path)).complete:
        return found
    values = {axis: kernels, CPUS: cpus, RATE: ["20/s", "400/s"]}
    return pmsim.sweep(pmsim.load(name).with_(**BRIEF), values, workers=1, progress=None)


x86 = study("claim", ["linux-6.1-x86_64", "linux-6.18-x86_64"], [8, 56])
arm = study("claim-arm64", ["linux-6.1-arm64"], [8, 32])
old = study("claim-32bit", [{"profile": "linux-4.16-x86_32", "pae": False}], [2, 8])
other = study("claim-protocols", ["tlbi", "rar"], [8, 56], PROTOCOL)
late = study("claim-deferred", ["deferred"], [8, 56], PROTOCOL)
every = (x86, arm, old, other, late)
full = all(FOLDER and sweep.path.parent == FOLDER for sweep in every)
size = (
    "the full study"
    if full
    else "**a small grid, not to be quoted** (`make study` runs the full one)"
)
Markdown(f"What follows is {size}: {sum(len(one.frame) for one in every):,} runs.")


# %% [markdown]
# ## How valid is it?
#
# *Counts* of shootdowns follow from the kernel's code. Those of 6.1 and 6.12 on x86-64 are compared with real
# kernels', row for row, and none is unexplained, and so are 6.1.192 and 6.12 on arm64; the others (4.16, 6.18, and
# 6.1 on arm64 as it was released) follow from reading their source.
# *Times* do not have that standing. They are published constants where there are any and estimates
# elsewhere, to be taken as a factor of two each way. Two of them carry this study: 15 ns to refill a TLB
# entry (with cold caches it is five to fifteen times as long, and the loss grows with it), and, on more
# than two sockets, 0.1 µs for each CPU that a shootdown waits for. `docs/validity.md` has the
# rest. Comparisons between kernels stand on firmer ground than any single time.
#
# ## Results
#
# ### The share of CPU time lost
#
# Above the line more than 1 % of all CPU time is lost. The rates are those at which modules *ask* to be
# loaded.


# %%
def by(protocol):
    """Return the name of the kernel that protocols were tried on, with one or each of them."""
    return TRIED + " by " + protocol


def phases(sweep, metric="lost_share", threshold=LIMIT, axis=KERNEL):
    """Draw a phase diagram for each kernel of a sweep, or for each protocol."""
    kernels = sweep.axes[axis]
    rows = -(-len(kernels) // 2)
    figure = plt.figure(figsize=(13, 4.6 * rows), layout="constrained")
    for place, kernel in enumerate(kernels):
        ax = figure.add_subplot(rows, 2, place + 1)
        pmsim.plot.phase_diagram(sweep, metric, RATE, CPUS, threshold, ax, where={axis: kernel})
        ax.set_xlabel("module loads asked for")
        ax.set_title(by(kernel) if axis == PROTOCOL else kernel, loc="left", fontweight="bold")
    return figure


figure = phases(x86)

# %% [markdown]
# On Arm TLB broadcasts interrupt nobody; but since 4.19 a load interrupts all CPUs once for each area of its code.

# %%
arm_figure = phases(arm)

# %% [markdown]
# Would another protocol save the claim on x86? Linux 6.18 by AMD's INVLPGB (`tlbi`), by Intel's remote
# actions (`rar`, a proposal), and by interrupts that leave isolated CPUs out of purges (`deferred`, a proposal),
# at a few points. By interrupts it is the same kernel above.

# %%
other_figure = phases(other, axis=PROTOCOL)

# %%
late_figure = phases(late, axis=PROTOCOL)

# %% [markdown]
# ### Where the loss passes 1 %
#
# One loader can do only so many loads a second, as each of them waits for its own shootdowns. So the
# line is drawn in loads that *happened*, interpolated between the rates of each replication.


# %%
def tidy(sweep, where="", axis=KERNEL):
    """Return a row for each run: kernel, CPUs, loads per second that happened, share lost, p99."""
    frame = sweep.frame
    seconds = frame["duration_ps"] / 1e12
    columns = {
        "kernel": by(frame[axis]) if axis == PROTOCOL else frame[axis] + where,
        "cpus": frame[CPUS],
        "asked": frame[RATE].str.removesuffix("/s").astype(float),
        "replication": frame["replication"],
        "loads": frame["operation_count[load_module]"].fillna(0) / seconds,
        "broadcasts": frame["broadcasts"] / seconds,
        "lost": frame["lost_share"],
        "p99_us": frame[P99] / 1e6,
    }
    return pd.DataFrame(columns).sort_values([*columns][:4])


def passing(runs):
    """Return the loads per second at which one replication passes the limit; NaN if it does not."""
    rising = runs.sort_values("lost")
    if rising["lost"].iloc[-1] <= LIMIT:
        return np.nan
    return np.interp(LIMIT, rising["lost"], rising["loads"])


def slope(runs, column):
    """Return what a load adds to a column, by least squares."""
    return np.polyfit(runs["loads"], runs[column], 1)[0]


def known(values, digits=0):
    """Write a mean and half its interval."""
    if values.isna().any():
        return "not reached"
    # Values that differ by rounding alone are one value.
    one = mean_interval(values.round(9).to_numpy())
    return f"{one.mean:,.{digits}f} ± {one.half_width:,.{digits}f}"


parts = [
    tidy(x86),
    tidy(arm),
    tidy(old, " (2006)"),
    *(tidy(one, axis=PROTOCOL) for one in (other, late)),
]
runs = pd.concat(parts, ignore_index=True)
cells = runs.groupby(["kernel", "cpus", "replication"])
line = cells.apply(passing, include_groups=False)
most = runs.groupby(["kernel", "cpus", "asked"])["loads"].mean().groupby(level=[0, 1]).max()
each_ms = cells.apply(slope, "lost", include_groups=False)
each_ms = each_ms * each_ms.index.get_level_values("cpus") * 1e3
calls = cells.apply(slope, "broadcasts", include_groups=False)

# The kernels of a 32-bit machine bear its year: one of them also runs on a large machine of today.
table = pd.DataFrame(
    {
        "broadcasts a load": calls.groupby(level=[0, 1]).apply(known, 1),
        "CPU time a load (ms)": each_ms.groupby(level=[0, 1]).apply(known, 2),
        "loads/s at 1 %": line.groupby(level=[0, 1]).apply(known, 1),
        "most loads/s": most.round(),
    }
)
table

# %%
lines, ax = plt.subplots(figsize=(12, 5.5), layout="constrained")
for number, (kernel, rows) in enumerate(line.groupby(level="kernel", sort=True)):
    mean = rows.groupby(level="cpus").mean().dropna()
    style = (0, (1, 1)) if " by " in kernel else "--" if "arm64" in kernel else "-"
    style = "-." if "2006" in kernel else style
    if len(mean):
        ax.plot(mean.index, mean, linestyle=style, marker="o", color=f"C{number}", label=kernel)
top = most[most.index.get_level_values("kernel").str.endswith("x86_64")].groupby(level="cpus").max()
ax.plot(top.index, top, ":", color="grey", label="most that one loader can do, any x86 kernel")
ax.set(xscale="log", yscale="log", xlabel="CPUs", ylabel="module loads per second")
ax.set_xticks([2, 4, *top.index[top.index > 4]], [2, 4, *top.index[top.index > 4]])
ax.set_yticks([50, 100, 200, 400], [50, 100, 200, 400])
ax.minorticks_off()
ax.set_title(
    "Above its line a kernel loses more than 1 % of all CPU time", loc="left", fontweight="bold"
)
_ = ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))

# %% [markdown]
# ### The p99 of a policy's protection
#
# A pool's owner waits for the machine as well: for the shootdown itself, which grows with the number of
# CPUs, and for the loader, whose freed buffers it flushes, and whose purge it has to wait for.

# %%
p99 = runs.groupby(["kernel", "cpus", "asked"])["p99_us"].mean().unstack("asked")
p99.columns = [f"{asked:g}/s" for asked in p99.columns]
p99.round(1)

# %%
figure_p99 = plt.figure(figsize=(13, 4.6), layout="constrained")
for place, kernel in enumerate((x86.axes[KERNEL][0], x86.axes[KERNEL][-1])):
    ax = figure_p99.add_subplot(1, 2, place + 1)
    pmsim.plot.curves(x86, P99, CPUS, RATE, ax, where={KERNEL: kernel})
    ax.set_title(kernel, loc="left", fontweight="bold")

# %% [markdown]
# ### How much of it hangs on estimates
#
# The largest machine once more, at 100 loads a second: with targets that cost twice as much, the upper
# end of the estimate for eight sockets (see its platform's file), and with TLB refills from cold caches.

# %%
busy = pmsim.load("claim").with_(
    **{
        **({} if full else BRIEF),
        "replications": 1,
        CPUS: x86.axes[CPUS][-1],
        RATE: "100/s",
    }
)
readings = {
    "as it is": {},
    "targets twice as dear": {
        "machine.costs.ipi.queue": "80ns",
        "machine.costs.ipi.line.package": "90ns",
    },
    "refills five times as long": {"machine.costs.tlb.walk": "75ns"},
}


def read(changes):
    """Return both numbers of one run of linux-6.1-x86_64 with other costs."""
    result = pmsim.run(busy.with_(**changes))
    calls = result.operations
    times = calls.loc[calls["kind"] == "pmalloc_protect_pool", ["start_ps", "end_ps"]]
    return {
        "share lost": result.summary.cost.share,
        "p99 of a protection (µs)": (times["end_ps"] - times["start_ps"]).quantile(0.99) / 1e6,
    }


estimates = pd.DataFrame({name: read(changes) for name, changes in readings.items()}).T
estimates

# %% [markdown]
# The loss hangs on what it takes to refill a TLB, and hardly on the interconnect; the p99 the other way
# round.
#
# ## Where the documentation was right, and from where on it is wrong

# %%
stands = line.groupby(level=[0, 1]).mean()
rare = max(10.0, runs["asked"].min())
ceiling = runs.loc[runs["asked"] <= rare, "lost"].max()


def verdict(kernel):
    """Say in a sentence from where on the claim is wrong on a kernel."""
    at = stands[kernel]
    rows = at.dropna()
    if rows.empty:
        lost = runs.loc[runs["kernel"] == kernel, "lost"].max()
        return f"- **{kernel}**: right everywhere; the most it loses is {formatting.share(lost)}."
    least, cpus = rows.min(), rows.idxmin()
    free = [str(cpus) for cpus in at[at.isna()].index]
    where = f" It is not passed on {', '.join(free)} CPUs." if free else ""
    ms = each_ms[kernel][cpus].mean()
    return (
        f"- **{kernel}**: wrong from {least:.0f} loads a second on, on {cpus} CPUs, where each load"
        f" takes {formatting.time(ms * 1e9)} of CPU time from the machine.{where}"
    )


ratio = p99.iloc[:, -1] / p99.iloc[:, 0]
worst = ratio.idxmax()
Markdown(
    "**Right.** "
    f"With {rare:g} loads a second at most, the share lost is {formatting.share(ceiling)} at worst, on every kernel and"
    " every number of CPUs that was tried, the policies' own shootdowns included. The transient is one, too:"
    " a pool that is protected sends nothing more.\n\n"
    "**Wrong.** Not because loads are frequent for one CPU, but because every CPU pays for each of them:\n\n"
    + "\n".join(verdict(kernel) for kernel in sorted(runs["kernel"].unique()))
    + "\n\nThe *share* hardly depends on the number of CPUs once there are a few, as each of them is"
    " interrupted as often as before; the *time* grows with it. What grows in share is the tail:"
    f" with {p99.columns[-1]} asked for instead of {p99.columns[0]}, the p99 of a policy's protection rises by up to a"
    f" factor of {ratio.max():.1f} ({worst[0]}, {worst[1]} CPUs:"
    f" {formatting.time(p99.loc[worst].iloc[0] * 1e6)} to {formatting.time(p99.loc[worst].iloc[-1] * 1e6)})."
    " And newer is not better: the cache of executable memory of 6.18 costs more shootdowns for each load"
    " than 6.12 needs without it."
)

# %% [markdown]
# ### What another protocol changes


# %%
def moved(protocol):
    """Say where the line stands by a protocol, and where by interrupts, on the most CPUs of both."""
    name = by(protocol)
    cpus = max(set(stands[name].index) & set(stands[TRIED].index))
    ends = [stands[one][cpus] for one in (name, TRIED)]
    then, now = ("nowhere" if np.isnan(one) else f"at {one:.0f} loads a second" for one in ends)
    ms_then, ms_now = (each_ms[one][cpus].mean() * 1e9 for one in (name, TRIED))
    return (
        f"- **{protocol}**, {cpus} CPUs: 1 % is passed {then}, by interrupts {now}; a load"
        f" takes {formatting.time(ms_then)} of CPU time, by interrupts {formatting.time(ms_now)}."
    )


Markdown(
    "Protocols move the line:\n\n"
    + "\n".join(moved(one) for sweep in (other, late) for one in sweep.axes[PROTOCOL])
    + "\n\nMost of what is lost is not the interrupt but the TLB that is filled again, and each of them"
    " empties it. INVLPGB spares the handlers and the waiting, and the flushes of one load follow each other"
    " so fast that a TLB is filled once for several; remote actions spare the entry and the exit of the"
    " handler; deferral spares purges alone, which are few beside changed permissions, and makes each"
    " interrupt that remains dearer by a flush on entry."
)

# %% [markdown]
# ## What a pool's owner should do
#
# The owner of a pool cannot change the loads, but everything about its own part. The policy of Fedora
# 38's SELinux, 96,730 rules of 24 bytes, on 56 CPUs on which nothing else calls the kernel, with different
# refills, and protected at the end or on the way:

# %%
RULES = 96_730 if full else 9_673
peace = pmsim.load("policy-load-in-peace").with_(**{"workloads.selinux.allocations": RULES})
choices = {
    "4 KiB, at the end": ("4KiB", "end"),
    "64 KiB, at the end": ("64KiB", "end"),
    "one area, at the end": (f"{RULES * 24}B", "end"),
    "64 KiB, every 680 rules": ("64KiB", {"every": 680}),
    "64 KiB, every 170 rules": ("64KiB", {"every": 170}),
}


def owner(refill, protect):
    """Return what a policy costs, cut and protected like this."""
    keys = {"workloads.selinux.pool.refill": refill, "workloads.selinux.protect": protect}
    result = pmsim.run(peace.with_(**keys))
    (pool,) = result.pools.itertuples()
    return {
        "broadcasts": result.summary.broadcasts.total,
        "CPU time lost (ms)": result.summary.cost.lost_ps / 1e9,
        "p99 of a shootdown (µs)": (result.summary.latency_ps.p99 or np.nan) / 1e6,
        "pages": pool.pages,
    }


advice = pd.DataFrame({name: owner(*how) for name, how in choices.items()}).T
advice

# %%
small, _, one, _, often = (advice.loc[name] for name in choices)
Markdown(
    f"1. **Refill size.** Shootdowns go by areas: {small['broadcasts']:.0f} with a page at a time,"
    f" {one['broadcasts']:.0f} if an area is as large as the policy. That is {small['pages']:.0f} against"
    f" {one['pages']:.0f} pages of memory, and {small['CPU time lost (ms)']:.1f} against"
    f" {one['CPU time lost (ms)']:.2f} ms of CPU time. Know the size, and ask for it at once.\n"
    f"2. **Cadence of protection.** Each protection on the way gives up what is left of an area: every 170"
    f" rules it is {often['pages']:.0f} pages and {often['broadcasts']:.0f} shootdowns. Protect once, at the"
    " end, unless the exposure in between is what you are afraid of.\n"
    "3. **Batching.** Put what is protected together into one pool. And expect company: on x86 each"
    " `set_memory_ro` also flushes what others have freed since, and waits for whoever does so, so a pool"
    " that is protected while modules are loaded waits for the loader too. Load the policy before or"
    " after the storm, not in it.\n"
    "4. **Loading itself.** A machine on which modules come at"
    f" {stands.min():.0f} a second or more has left the claim behind: there the loader"
    " should batch its changes of permissions, as text patching does since 5.3."
)

# %% [markdown]
# ## Left out
#
# Unloading (1 to 8 more shootdowns), static calls (3 more for each site), failing and duplicate loads (the
# notebook `module_storms`), several loaders at once, idle CPUs, and everything else that sends shootdowns.
# On two CPUs, the loader's and the policies', there is nobody to lose a TLB. The loss is that of CPUs that are busy; caches are not in it.

# %%
if full:
    for name, drawn in {
        "phases_x86": figure,
        "phases_arm64": arm_figure,
        "phases_protocols": other_figure,
        "phases_deferred": late_figure,
        "lines": lines,
        "p99": figure_p99,
    }.items():
        drawn.savefig(FOLDER / f"{name}.png", dpi=110)
