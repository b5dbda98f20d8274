"""The bounds are what enumeration says, and the rules are the stated ones."""

from fractions import Fraction
from itertools import product

import pytest

from mmspec.data.questions import ANSWERS, TEMPLATES, best_from_image_alone, best_from_text_alone

RULES = {template.name: template.answer for template in TEMPLATES}


def test_the_weights_are_shares_of_one():
    assert sum(template.weight for template in TEMPLATES) == 1


@pytest.mark.parametrize(
    ("question", "answers"),
    [
        ("which", "0 1 2 3 4 5 6 7 8 9"),
        ("after", "1 2 3 4 5 6 7 8 9 0"),
        ("even", "yes no yes no yes no yes no yes no"),
        ("greater", "no no no no no yes yes yes yes yes"),
        ("loop", "yes no no no no no yes no yes yes"),
    ],
)
def test_each_question_has_the_stated_answer_for_every_digit(question, answers):
    assert [ANSWERS[RULES[question](digit)] for digit in range(10)] == answers.split()


def accuracy(rule, digits, templates):
    """Of a rule (digit, template) -> answer, over every scan with every question."""
    right = sum(t.weight for d in digits for t in templates if rule(d, t) == t.answer(d))
    return Fraction(right, len(digits)) if isinstance(right, int) else right / len(digits)


@pytest.mark.parametrize("digits", [[0, 1, 3], [2, 2, 2, 7], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [9, 9, 0, 4, 4, 1, 6]])
def test_no_rule_that_reads_only_the_question_beats_the_text_bound_and_one_reaches_it(digits):
    templates = TEMPLATES[1:4]  # 12^3 rules
    best = max(
        accuracy(lambda d, t, rule=rule: rule[templates.index(t)], digits, templates)
        for rule in product(range(len(ANSWERS)), repeat=len(templates))
    )
    assert best_from_text_alone(digits, templates) == best


@pytest.mark.parametrize("digits", [[0, 1, 3], [8, 8, 6], [5, 9, 9]])
def test_no_rule_that_sees_only_the_digit_beats_the_image_bound_and_one_reaches_it(digits):
    kinds = sorted(set(digits))
    best = max(
        accuracy(lambda d, t, rule=rule: rule[kinds.index(d)], digits, TEMPLATES)
        for rule in product(range(len(ANSWERS)), repeat=len(kinds))
    )
    assert best_from_image_alone(digits) == best


def test_over_uniform_digits_the_bounds_are_the_fractions_worked_out_by_hand():
    # text: 3/12 * 1/10 twice, 2/12 * 5/10 twice, 2/12 * 6/10
    assert best_from_text_alone(range(10)) == Fraction(6, 120) + Fraction(20, 120) + Fraction(12, 120)
    # image: of the three yes-no questions all agree for 1, 3, 6, 8 (6/12); two do otherwise (4/12), more than 3/12
    assert best_from_image_alone(range(10)) == (4 * Fraction(6, 12) + 6 * Fraction(4, 12)) / 10
