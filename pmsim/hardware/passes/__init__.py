"""The compiled passes: every rule of the machine-model page, over one flat array.

The rooms, from the ground: `layout` (where everything stands), `rows`, `calendar`, `history`,
`handlers`, `occupation`, `runqueue`, `specimens`, `log`, `quiet`, `calls`, `invalidations`,
`instants`, `accounts`; then `steps` and `replay`, which Python calls. A room imports from those
before it. `jit` compiles them, `internals` makes that quick, `cache` keeps the machine code.
"""
