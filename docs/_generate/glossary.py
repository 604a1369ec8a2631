"""The words of results."""

from __future__ import annotations

from docs._generate.markdown import code, table
from pmsim.report.glossary import GLOSSARY

HEAD = """\
# Glossary

The words of answers, reports and tables, each with the column, the metric or the number of the
summary that it stands for.
"""


def glossary_page() -> str:
    """Return all words."""
    parts = [HEAD]
    for title, terms in GLOSSARY.items():
        rows = [(f"**{one.name}**", one.meaning, code(one.where)) for one in terms]
        parts.append(f"\n## {title}\n\n{table(('word', 'meaning', 'stands in'), rows)}")
    return "".join(parts)
