"""The pages of the documentation that the code writes: ``python -m docs._generate``.

They are kept in the repository, so that they can be read and linked to without building anything,
and so that a change of what users touch shows in a change of a page. A test compares.
"""
