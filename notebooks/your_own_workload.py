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
# # Your own workload
#
# A workload is a class: its keys are annotated attributes, and `run` is a generator in which every call of
# the kernel bears the kernel's name and is waited for with `yield from`. This one is a firewall: it
# rebuilds its table now and then, in a new pool, and destroys the old one.

# %%
import matplotlib.pyplot as plt
import pandas as pd

import pmsim
from pmsim.errors import ScenarioError


@pmsim.workload("firewall")
class Firewall:
    """A table of rules is rebuilt in a new pool, protected, and put in the place of the old one."""

    rules: int = 500
    rebuilds: int = 5

    def run(self, kernel, cpu):
        old = None
        for _ in range(self.rebuilds):
            new = yield from kernel.pmalloc_create_pool(refill="16KiB", align_order=3)
            for _ in range(self.rules):
                yield from kernel.pmalloc(new, "64B")
            yield from kernel.pmalloc_protect_pool(new)
            if old is not None:
                yield from kernel.pmalloc_destroy_pool(old)
            old = new
            yield from cpu.compute("200us")


# %% [markdown]
# From here on it is a workload like any other, with its keys checked.

# %%
data = {
    "pmsim": 1,
    "machine": {"platform": "skylake-sp-2s", "cpus": 8},
    "until": "done",
    "workloads": [
        {"kind": "firewall", "cpu": 3, "rules": 500},
        {"kind": "user_work", "cpus": "others"},
    ],
}
scenario = pmsim.Scenario.from_dict(data)
try:
    pmsim.Scenario.from_dict(
        {**data, "workloads": [{"kind": "firewall", "cpu": 3, "rulez": 500}]}
    ).resolve()
except ScenarioError as error:
    print(error)

# %%
result = pmsim.run(scenario)
result.operations.groupby("kind", observed=True)[["crosscalls", "pages"]].sum()

# %% [markdown]
# Who pays? The CPUs that never called the kernel.

# %%
result.cpus.set_index("cpu")[["handlers", "stolen_ps", "refill_ps", "spin_ps"]]

# %% [markdown]
# Its keys can be varied like those of any workload: does a rebuild of a larger table cost more?

# %%
sizes = [100, 500, 2000]
runs = {rules: pmsim.run(scenario.with_(**{"workloads.firewall.rules": rules})) for rules in sizes}
broadcasts = pd.Series({rules: run.summary.broadcasts.total for rules, run in runs.items()})
broadcasts

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
left.bar([f"{rules:,}" for rules in sizes], broadcasts)
left.set(xlabel="rules", ylabel="shootdowns of 5 rebuilds", title="A shootdown for each area")
_ = pmsim.plot.operation_cost(result, ax=right)
