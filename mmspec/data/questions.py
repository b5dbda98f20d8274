"""Questions about a handwritten digit: what is asked, how often, what is true, and how far one modality alone can get.

Each question is drawn with the weight beside it. The answer is one of twelve: the ten digits, yes and no.

    weight  question                      answer to digit d
    3/12    which digit is this?          d
    3/12    what comes after it?          d + 1; after nine is zero
    2/12    is it even?                   yes for 0, 2, 4, 6, 8
    2/12    is it greater than four?      yes for 5 to 9
    2/12    does it have a closed loop?   yes for 0, 6, 8, 9 (a four is written open as often as closed: no)

A text alone does not see the digit, an image alone does not know what is asked. The best that either can reach is
computed here from the weights and the digits of a split, exactly, in fractions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

ANSWERS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "yes", "no")
YES, NO = ANSWERS.index("yes"), ANSWERS.index("no")
LOOPS = (0, 6, 8, 9)


@dataclass(frozen=True)
class Template:
    """A question, its share among the questions, and its rule from digit to index of the answer."""

    name: str
    text: str
    weight: Fraction
    answer: Callable[[int], int]


def _yes(truth: bool) -> int:
    return YES if truth else NO


TEMPLATES = (
    Template("which", "which digit is this?", Fraction(3, 12), lambda digit: digit),
    Template("after", "what comes after it?", Fraction(3, 12), lambda digit: (digit + 1) % 10),
    Template("even", "is it even?", Fraction(2, 12), lambda digit: _yes(digit % 2 == 0)),
    Template("greater", "is it greater than four?", Fraction(2, 12), lambda digit: _yes(digit > 4)),
    Template("loop", "does it have a closed loop?", Fraction(2, 12), lambda digit: _yes(digit in LOOPS)),
)


def best_from_text_alone(digits: Sequence[int], templates: Sequence[Template] = TEMPLATES) -> Fraction:
    """Accuracy of the best rule that reads only the question, over these scans with every question.

        sum over templates of  weight * (scans that have the template's commonest answer) / scans

    The rule may know how often each digit occurs among these very scans, so nothing that ignores the image does
    better on them.
    """
    total = Fraction(0)
    for template in templates:
        counts = Counter(template.answer(digit) for digit in digits)
        total += template.weight * Fraction(max(counts.values()), len(digits))
    return total


def best_from_image_alone(digits: Sequence[int], templates: Sequence[Template] = TEMPLATES) -> Fraction:
    """Accuracy of the best rule that sees only the scan, over these scans with every question.

        mean over scans of  the largest, over answers, sum of the weights of the questions that have this answer

    The rule may know the digit of every scan, so nothing that ignores the question does better on them.
    """
    total = Fraction(0)
    for digit, scans in Counter(digits).items():
        shares: Counter[int] = Counter()
        for template in templates:
            shares[template.answer(digit)] += template.weight  # type: ignore[assignment]  # a Counter of fractions
        total += scans * max(shares.values())
    return total / len(digits)
