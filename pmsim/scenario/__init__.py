"""Floor 4: a YAML file becomes a frozen scenario, or a list of everything that is wrong with it.

The way of a file: `read` (nodes with places) -> `model` and `platform` (validated) -> `resolve`
(everything filled in). Nobody behind this floor reads YAML.
"""
