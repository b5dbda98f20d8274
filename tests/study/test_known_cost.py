"""The sampler that knows costs: what it gains is the integral that it should be, and what it proposes is new, allowed and repeatable."""

import json
import math
import time

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from tiny import STUDY, formula, study

from mmspec.study import KnownCostSampler, search
from mmspec.study.front import hypervolume
from mmspec.study.known_cost import Structure
from mmspec.study.known_cost.improvement import by_sampling, expected_improvement
from mmspec.study.known_cost.structure import inferred
from mmspec.study.known_cost.surrogate import GaussianProcess

SPACE = {
    "width": IntDistribution(16, 256, step=16),
    "depth": IntDistribution(1, 8),
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "fusion": CategoricalDistribution(["concat", "gated"]),
    "gates": (IntDistribution(1, 4), {"fusion": "gated"}),
}


def cost(params):
    return params["width"] ** 2 * params["depth"] * (1 + params.get("gates", 0))


def accuracy(params):
    size = 1 - math.exp(-params["width"] * params["depth"] / 400)
    return 0.3 + 0.5 * size + 0.05 * params.get("gates", 0) ** 0.5 - 0.02 * abs(math.log10(params["rate"]) + 2.5)


def suggest(trial):
    trial.suggest_int("width", 16, 256, step=16)
    trial.suggest_int("depth", 1, 8)
    trial.suggest_float("rate", 1e-4, 1e-1, log=True)
    if trial.suggest_categorical("fusion", ["concat", "gated"]) == "gated":
        trial.suggest_int("gates", 1, 4)
    return trial.params


def objective(trial):
    params = suggest(trial)
    return accuracy(params), cost(params)


def created(**options):
    given = {"space": SPACE, "pool": 400, "start": 5, "known": lambda params: {1: cost(params)}, **options}
    return optuna.create_study(directions=["maximize", "minimize"], sampler=KnownCostSampler(**given))


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


# the gain


def improvement_by_simulation(mean, deviation, front, reference, draws=4000):
    generator = np.random.default_rng(0)
    before = hypervolume(front.tolist(), reference.tolist())
    sample = mean + deviation * generator.standard_normal((draws, len(mean)))
    return np.mean([hypervolume([*front.tolist(), point], reference.tolist()) - before for point in sample.tolist()])


@pytest.mark.parametrize("exact", [(True, False), (False, True), (False, False)])
def test_the_closed_form_is_the_mean_of_simulated_improvements(exact):
    front = np.array(
        [[0.2, 0.8], [0.4, 0.5], [0.45, 0.9], [0.7, 0.3], [2.0, 0.1]]
    )  # one dominated, one beyond the reference
    reference = np.array([1.0, 1.0])
    for mean in ([0.3, 0.6], [0.5, 0.4], [0.1, 0.9], [0.9, 0.95], [0.8, 0.25]):
        deviation = np.where(exact, 0.0, [0.1, 0.15])
        found = expected_improvement(np.array([mean]), deviation[None], front, reference)[0]
        assert found == pytest.approx(improvement_by_simulation(np.array(mean), deviation, front, reference), abs=4e-3)


def test_of_exact_values_it_is_the_hypervolume_that_is_gained():
    front, reference = np.array([[0.2, 0.8], [0.6, 0.3]]), np.array([1.0, 1.0])
    for point in ([0.4, 0.4], [0.1, 0.1], [0.7, 0.9], [0.2, 0.8]):
        gained = hypervolume([*front.tolist(), point], [1, 1]) - hypervolume(front.tolist(), [1, 1])
        found = expected_improvement(np.array([point]), np.zeros((1, 2)), front, reference)[0]
        assert found == pytest.approx(gained, abs=1e-12)


def test_one_objective_is_the_known_formula_of_expected_improvement():
    found = expected_improvement(np.array([[0.5]]), np.array([[0.2]]), np.array([[0.6], [0.9]]), np.array([1.0]))[0]
    assert found == pytest.approx(0.2 * (0.5 * 0.6914624613 + 0.3520653268), rel=1e-8)  # u = 0.5: Phi, phi from a table


def test_sampling_agrees_with_the_closed_form_and_serves_three_objectives():
    generator = np.random.default_rng(1)
    mean, deviation = generator.random((20, 2)), np.array([[0.0, 0.1]] * 20)
    front, reference = np.array([[0.2, 0.8], [0.4, 0.5], [0.7, 0.3]]), np.array([1.0, 1.0])
    closed = expected_improvement(mean, deviation, front, reference)
    assert by_sampling(mean, deviation, front, reference, samples=2**14) == pytest.approx(closed, abs=5e-3)

    front, reference = generator.random((6, 3)), np.ones(3)
    mean, deviation = np.array([0.3, 0.4, 0.5]), np.array([0.0, 0.1, 0.2])
    found = by_sampling(mean[None], deviation[None], front, reference, samples=2**14)[0]
    assert found == pytest.approx(improvement_by_simulation(mean, deviation, front, reference), abs=4e-3)


def test_the_process_goes_through_what_it_was_told_and_is_unsure_elsewhere():
    generator = np.random.default_rng(0)
    x = generator.random((40, 3))
    y = np.sin(4 * x[:, 0]) + x[:, 1]
    process = GaussianProcess(x, y, [True] * 3)
    mean, deviation = process.predict(x)
    assert np.abs(mean - y).max() < 0.1
    assert process.predict(np.full((1, 3), 3.0))[1][0] > 3 * deviation.max()


def test_what_a_point_tells_of_a_choice_counts_for_all_that_share_it():
    generator = np.random.default_rng(0)
    effects = generator.standard_normal((10, 3))
    x = generator.integers(3, size=(240, 10)).astype(float)
    y = effects[np.arange(10), x.astype(int)].sum(axis=1)
    mean, _ = GaussianProcess(x[:40], y[:40], [False] * 10).predict(x[40:])
    assert np.sqrt(np.mean((mean - y[40:]) ** 2)) < 0.35 * y.std()
    assert np.median((x[40:, None] != x[:40]).sum(axis=2).min(axis=1)) >= 3  # of 10: few are near to one that was told


def test_what_is_told_with_doubt_is_gone_through_less():
    x = np.linspace(0, 1, 8)[:, None]
    plain, doubtful = (
        GaussianProcess(x, x[:, 0], [True], doubt=doubt) for doubt in (None, np.where(x[:, 0] > 0.5, 2.0, 0.0))
    )
    (at, sure), (other, unsure) = plain.predict(x[7:]), doubtful.predict(x[7:])
    assert abs(at[0] - 1) < 0.05 < 0.1 < abs(other[0] - 1)
    assert unsure[0] > 3 * sure[0]


def test_the_gradient_of_its_hyperparameters_is_the_slope_of_its_loss():
    generator = np.random.default_rng(0)
    x = np.column_stack([generator.random(12), generator.integers(3, size=12), generator.random(12)])
    process = GaussianProcess(x, generator.standard_normal(12), [True, False, True], costs=1)
    alike, z = np.stack([process._alike(x, d) for d in range(3)]), generator.standard_normal(12)
    at = np.array([0.1, -0.3, 0.2, 0.5, -0.4])
    _, gradient = process._loss(at, alike, z)
    for i in range(5):
        step = 1e-5 * np.eye(5)[i]
        slope = (process._loss(at + step, alike, z)[0] - process._loss(at - step, alike, z)[0]) / 2e-5
        assert gradient[i] == pytest.approx(slope, rel=1e-4, abs=1e-6)


# the space


def test_conditions_are_inferred_from_trials():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def conditional(trial):
        suggest(trial)
        layers = trial.suggest_int("layers", 1, 4)
        for i in range(layers):
            trial.suggest_int(f"units{i}", 8, 64)

    for _ in range(40):
        trial = study.ask()
        conditional(trial)
        study.tell(trial, 0.0)
    found = inferred([(t.params, t.distributions) for t in study.trials])
    conditions = {p.name: dict(p.condition) for p in found.parameters}
    assert conditions["gates"] == {"fusion": ("gated",)}
    assert conditions["units0"] == conditions["width"] == {}
    assert conditions["units2"] == {"layers": (3, 4)}
    assert conditions["units3"] == {"layers": (4,)}


def test_every_point_of_a_structure_has_what_is_there_and_no_more():
    space, generator = Structure.of(SPACE), np.random.default_rng(0)
    point = space.draw(generator)
    for _ in range(200):
        point = space.mutate(point, generator)
        assert ("gates" in point) == (point["fusion"] == "gated")
        for p in space.parameters:
            if p.name in point:
                assert p.distribution._contains(p.distribution.to_internal_repr(point[p.name]))
    for other in space.neighbours(point, generator):
        assert sum(point.get(n) != other.get(n) for n in SPACE if n != "gates") <= 1


def test_a_value_and_its_share_of_the_range_are_inverses():
    for p in Structure.of({**SPACE, "log": IntDistribution(1, 5000, log=True)}).parameters:
        for share in np.linspace(0, 1, 23):
            value = p.at(float(share))
            if p.ordered:
                assert abs(p.share(value) - share) <= 0.5 / max(1, len(p.values or range(10)) - 1) + 0.3
                assert p.at(min(1.0, p.share(value) * (1 - 1e-9) + 1e-12)) == pytest.approx(value, rel=0.5)


@pytest.mark.parametrize("condition", [{"nothing": 1}, {"b": 1}])
def test_a_condition_that_cannot_be_is_refused(condition):
    with pytest.raises(ValueError, match="speaks of no parameter"):
        Structure.of({"b": (IntDistribution(0, 1), condition)})


# the proposals


def test_the_first_points_are_the_middle_and_the_quarters_of_the_logarithm_of_the_cost():
    costs = {"width": [16, 32, 64, 128, 256], "depth": [1, 2, 4, 8]}
    space = {name: CategoricalDistribution(values) for name, values in costs.items()}
    there = created(space=space, known=lambda p: {1: p["width"] * p["depth"]}, start=3)
    found = []
    for _ in range(3):
        trial = there.ask()
        point = {name: trial.suggest_categorical(name, values) for name, values in costs.items()}
        found.append(point["width"] * point["depth"])
        there.tell(trial, [0.5, found[-1]])
    assert found[0] in (128, 256)  # from 16 to 2048; the logarithm's middle is 181
    assert found[1] in (32, 64)
    assert found[2] in (512, 1024)


def test_nothing_is_proposed_twice_and_nothing_that_is_known_to_be_infeasible():
    there = created(known=lambda p: {1: cost(p)} if p["width"] <= 128 else None)
    there.optimize(objective, n_trials=14)
    assert all(t.params["width"] <= 128 for t in there.trials)
    assert len({tuple(sorted(t.params.items())) for t in there.trials}) == 14


def test_a_small_space_is_gone_through_without_a_repeat():
    space = {"a": CategoricalDistribution([1, 2, 3]), "b": CategoricalDistribution(["x", "y", "z"])}
    there = created(space=space, known=lambda p: {1: p["a"]}, start=3)
    seen = []
    for _ in range(9):
        trial = there.ask()
        seen.append((trial.suggest_categorical("a", [1, 2, 3]), trial.suggest_categorical("b", ["x", "y", "z"])))
        there.tell(trial, [seen[-1][0] / 3, seen[-1][0]])
    assert len(set(seen)) == 9


def test_points_that_mean_the_same_are_tried_once():
    there = created(identity=lambda p: (p["width"], p["depth"]), start=3)
    there.optimize(objective, n_trials=10)
    assert len({(t.params["width"], t.params["depth"]) for t in there.trials}) == 10


def test_proposals_of_one_moment_differ_before_their_parameters_are_asked_for():
    there = created()
    there.optimize(objective, n_trials=8)
    asked = [there.ask() for _ in range(4)]
    assert len({tuple(sorted(suggest(trial).items())) for trial in asked}) == 4


def test_threads_may_ask_at_once():
    there = created(start=3)
    there.optimize(objective, n_trials=12, n_jobs=3)
    assert len({tuple(sorted(t.params.items())) for t in there.trials}) == 12


def test_a_study_that_is_resumed_proposes_what_an_uninterrupted_one_would(tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    whole = created()
    whole.optimize(objective, n_trials=12)
    optuna.create_study(storage=storage, study_name="s", directions=["maximize", "minimize"])
    for _ in range(4):
        options = {"space": SPACE, "pool": 400, "start": 5}
        sampler = KnownCostSampler(lambda params: {1: cost(params)}, **options)
        part = optuna.load_study(study_name="s", storage=storage, sampler=sampler)
        cut = part.ask()  # a run that is killed in between
        suggest(cut)
        part.tell(cut, state=TrialState.FAIL)
        part.optimize(objective, n_trials=3)
    kept = [t.params for t in part.trials if t.state == TrialState.COMPLETE]
    assert kept == [t.params for t in whole.trials]


def test_another_seed_proposes_otherwise():
    first, second = created(seed=1), created(seed=2)
    for there in (first, second):
        there.optimize(objective, n_trials=7)
    assert [t.params for t in first.trials] != [t.params for t in second.trials]


def test_it_finds_more_than_random_points_do():
    def volume(there):
        return hypervolume([(-t.values[0], t.values[1]) for t in there.trials], (0.0, 1e6))

    there = created(reference=(0.0, 1e6))
    there.optimize(objective, n_trials=25)
    plain = optuna.create_study(directions=["maximize", "minimize"], sampler=optuna.samplers.RandomSampler(seed=0))
    plain.optimize(objective, n_trials=100)
    assert volume(there) > volume(plain)


def test_a_define_by_run_study_needs_no_space():
    there = created(space=None)
    there.optimize(objective, n_trials=16)
    proposed = [t for t in there.trials if "known_cost:proposed" in t.system_attrs]
    assert len(proposed) >= 8
    assert any("gates" in t.params for t in proposed)
    assert all(trial.params == json.loads(trial.system_attrs["known_cost:proposed"]) for trial in proposed)


def test_what_is_like_an_infeasible_trial_is_avoided():
    def diverges(trial):
        params = suggest(trial)
        broken = params["rate"] > 1e-2
        trial.set_constraint("trains", float(broken))
        if broken:
            raise optuna.TrialPruned
        return accuracy(params), cost(params)

    there = created()
    there.optimize(diverges, n_trials=30)
    late = there.trials[15:]
    assert sum(t.state == TrialState.PRUNED for t in late) <= len(late) // 4  # of random points a third


def test_a_point_that_fails_again_and_again_is_left_alone():
    there, seen = created(), []

    def fails(trial):
        seen.append(tuple(sorted(suggest(trial).items())))
        raise RuntimeError

    there.optimize(fails, n_trials=6, catch=RuntimeError)
    assert [seen.count(point) for point in dict.fromkeys(seen)] == [2, 2, 2]


def test_a_bounded_objective_is_learned_within_its_bounds():
    def known(params):
        return {1: (0.3 * cost(params), cost(params))}

    there = created(known=known)

    def halting(trial):
        params = suggest(trial)
        return accuracy(params), cost(params) * (0.5 if params["fusion"] == "gated" else 0.9)

    there.optimize(halting, n_trials=18)
    sampler = there.sampler
    from mmspec.study.known_cost.model import Model

    done = [sampler._pool.price(t.params) for t in there.trials]
    values = np.array([(-t.values[0], t.values[1]) for t in there.trials])
    model = Model(sampler._pool.structure.ordered, done, values, [], [])
    others = sampler._pool.base(60)
    mean, deviation = model.predict(others)
    truth = np.array([cost(c.point) * (0.5 if c.point["fusion"] == "gated" else 0.9) for c in others])
    full = np.array([cost(c.point) for c in others])
    assert ((mean[:, 1] >= 0.3 * full) & (mean[:, 1] <= full)).all()
    assert (deviation[:, 1] > 0).all()
    assert np.median(np.abs(mean[:, 1] - truth) / full) < 0.08  # of bounds that are 0.7 wide


def test_studies_of_one_and_of_three_objectives_work():
    single = optuna.create_study(
        direction="maximize", sampler=KnownCostSampler(lambda _: {}, space=SPACE, pool=200, start=4)
    )
    single.optimize(lambda trial: accuracy(suggest(trial)), n_trials=12)
    assert single.best_value > 0.8

    def known(params):
        return {1: cost(params), 2: params["depth"]}

    three = optuna.create_study(
        directions=["maximize", "minimize", "minimize"], sampler=KnownCostSampler(known, space=SPACE, pool=200, start=4)
    )
    three.optimize(lambda t: (accuracy(suggest(t)), cost(t.params), t.params["depth"]), n_trials=10)
    assert len({tuple(sorted(t.params.items())) for t in three.trials}) == 10


@pytest.mark.parametrize(
    ("known", "said"),
    [({5: 1.0}, "speaks of objective 5"), ({1: math.nan}, "says nan"), ({1: (2.0, 1.0)}, "a number or")],
)
def test_what_known_may_not_say_is_refused(known, said):
    with pytest.raises(ValueError, match=said):
        suggest(created(known=lambda _: known).ask())


def test_each_point_is_priced_once_and_a_proposal_takes_less_than_a_second():
    asked = []

    def known(params):
        asked.append(tuple(sorted(params.items())))
        return {1: cost(params)}

    there = created(known=known, pool=2000, start=8)
    there.optimize(objective, n_trials=20)
    assert len(asked) == len(set(asked)) >= 2000
    began = time.process_time()
    suggest(there.ask())
    assert time.process_time() - began < 1.0


# in a search


def test_a_search_knows_its_costs_by_default_and_trains_what_pays(tmp_path):
    front = search(study(tmp_path, STUDY.replace("trials: 8", "trials: 12")), tmp_path / "out", evaluate=formula)
    assert front.repeated == 0
    assert len({t.digest for t in front.trained}) == 12
    plain = STUDY.replace("trials: 8", "trials: 12") + "sampler: random\n"
    (tmp_path / "plain").mkdir()
    other = search(study(tmp_path / "plain", plain), tmp_path / "plain" / "out", evaluate=formula)

    def volume(found):
        return hypervolume([(-t.values["accuracy"], t.values["flops.total"]) for t in found.trained], (0.0, 1e6))

    assert volume(front) >= volume(other)


def test_what_is_infeasible_is_never_proposed(tmp_path):
    limited = STUDY.replace("recipe:", 'limits: ["parameters <= 20000"]\nrecipe:')
    front = search(study(tmp_path, limited), tmp_path / "out", evaluate=formula)
    assert not front.refused
    assert all(t.figures["parameters.total"] <= 20000 for t in front.trained)
