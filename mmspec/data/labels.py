"""Labels of a manifest to classes: whole numbers stand for themselves, words are numbered in their sorted order."""

from __future__ import annotations

import re
from collections import Counter

from mmspec.data.demand import Target
from mmspec.data.table import Problems, Row, listed

WHOLE = re.compile(r"-?[0-9]{1,18}")


def classes_of(target: Target, rows: list[Row], problems: Problems) -> tuple[str, ...]:
    """The names of a column's classes, by index.

    If every label is a whole number, they are the classes 0 to C - 1 of the head, and one outside is a problem of its
    row. Otherwise each distinct label is a class, at most C of them (a mixture such as "7" and "yes" is a set of
    words).
    """
    labels = [(row.line, row.cells[target.column].strip()) for row in rows if target.column in row.cells]
    for row in rows:
        if target.column not in row.cells:
            problems.add(row.line, f"{target.column}: the label is missing")
    if all(WHOLE.fullmatch(label) for _, label in labels):
        for line, label in labels:
            if not 0 <= int(label) < target.classes:
                known = f"the head '{target.head}' has classes 0 to {target.classes - 1}"
                problems.add(line, f"{target.column}: {label} is out of range, {known}")
        return tuple(str(index) for index in range(target.classes))
    counts = Counter(label for _, label in labels)
    if len(counts) > target.classes:
        rarest = sorted(counts, key=lambda label: (counts[label], label))[: len(counts) - target.classes]
        first = {label: line for line, label in reversed(labels)}
        for label in rarest:
            problems.add(first[label], f"{target.column}: '{label}' is one label too many (in {counts[label]} rows)")
        commonest = listed(label for label, _ in counts.most_common(target.classes))
        problems.hints.append(
            f"{target.column} has {len(counts)} different labels, '{target.head}' only {target.classes} classes; "
            f"the commonest: {commonest}"
        )
    names = sorted(counts)
    return (*names, *(f"(class {index} of no label)" for index in range(len(names), target.classes)))


def names_of(column: str, rows: list[Row], problems: Problems) -> tuple[str, ...]:
    """The different labels of a column that nothing is trained with, in order."""
    for row in rows:
        if column not in row.cells:
            problems.add(row.line, f"{column}: the label is missing")
    return tuple(sorted({row.cells[column].strip() for row in rows if column in row.cells}))


def index_of(label: str, names: tuple[str, ...]) -> int:
    """The class of a label; `007` is the class 7 where classes are numbers."""
    label = label.strip()
    if label in names:
        return names.index(label)
    return names.index(str(int(label)))
