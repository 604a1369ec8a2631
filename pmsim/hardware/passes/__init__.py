"""The compiled passes: every rule of the machine-model page, over one flat array.

The rooms, from the ground: `layout` (where everything stands), `rows`, `calendar`, `handlers`,
`occupation`, `runqueue`, `specimens`, `log`, `calls`, `invalidations`, `instants`, `accounts`; and
`steps`, which Python calls. A room imports from those before it. `jit` compiles them, `cache` keeps
the machine code.
"""
