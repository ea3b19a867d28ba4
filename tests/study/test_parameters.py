"""Every bad parameter has a message that says what to type."""

import pytest

from butterfly.papers.altintas2025.butterfly_effect import Params, study
from butterfly.strict import ParameterError
from butterfly.study import executors, folders, notebooks, parameters, profiles
from butterfly.study.settings import settings
from butterfly.train import Recipe

GOOD = Params().model_dump(mode="json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seedz": 3}, "'seedz' is not a parameter; did you mean 'seeds'?"),
        ({"nonsense": 3}, "'nonsense' is not a parameter; known: profile, device, first_seed"),
        ({"seeds": "3"}, "'seeds' is the text '3', not a number; write 3, without quotes"),
        ({"seeds": 2.5}, "'seeds' = 2.5: input should be a valid integer"),
        ({"seeds": 0}, "greater than or equal to 1"),
        ({"seeds": None}, "'seeds' = None"),
        ({"seeds": True}, "'seeds' = True"),
        (
            {"one_weight_size": "1e-3"},
            "'one_weight_size' is the text '1e-3', not a number; write 0.001, without quotes",
        ),
        ({"seeds": "010"}, "not a number; write 10, without quotes"),
        ({"one_weight_size": "1e-6"}, "write 1e-06, without quotes"),
        ({"gaussian_sizes": [1e-6, "1e-5"]}, "'gaussian_sizes.1' is the text '1e-5'"),
        ({"gaussian_sizes": 1e-6}, "'gaussian_sizes' = 1e-06"),
        ({"gaussian_sizes": []}, "gaussian_sizes is empty"),
        ({"gaussian_sizes": [1e-2, 1e-6]}, "give rising sizes"),
        ({"gaussian_sizes": [0.0]}, "give rising sizes above 0"),
        ({"kick_times": [0.0, 100.0]}, "from 0 to below 100"),
        ({"kick_times": []}, "give rising percentages"),
        ({"kick_times": [0.0, float("nan")]}, "'kick_times.1' = nan"),
        ({"setting": "mnist2d"}, "unknown setting 'mnist2d'; did you mean 'mnist1d'?"),
        ({"real_settings": ["digit"]}, "unknown setting 'digit'"),
        ({"real_settings": ["digits", "digits"]}, "name each once"),
        ({"device": "gpu"}, "'device' = 'gpu'"),
        ({"profile": "../elsewhere"}, "'profile' = '../elsewhere'"),
        ({"points": 2}, "greater than or equal to 3"),
        ({"steps": 0}, "greater than 0"),
    ],
)
def test_bad_values_are_explained(change, message):
    with pytest.raises(ParameterError) as error:
        Params.read(GOOD | change, "params/laptop/x.yaml")
    assert message in str(error.value)
    assert str(error.value).startswith("params/laptop/x.yaml:")


def test_all_faults_are_named_at_once():
    with pytest.raises(ParameterError) as error:
        Params.read(GOOD | {"seedz": 3, "points": 1})
    assert "seedz" in str(error.value)
    assert "points" in str(error.value)


def test_what_is_not_plain_data_is_refused():
    with pytest.raises(ParameterError, match="use numbers, text, lists"):
        Params.read(GOOD | {"seeds": object()})


def test_a_missing_field_is_named():
    with pytest.raises(ParameterError, match="'lr' is missing; add it"):
        Recipe.read({"steps": 3, "batch_size": 1})


def test_parameters_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Params().seeds = 4


def test_a_program_reads_its_own_names_and_refuses_strays():
    namespace = GOOD | {"_hidden": 1, "Params": Params, "profiles": profiles}
    assert Params.of(namespace) == Params()
    with pytest.raises(ParameterError, match="did you mean 'seeds'"):
        Params.of(GOOD | {"seedz": 5})


def test_a_notebook_reads_the_cells_that_hold_parameters():
    """Results of other cells, before and after, are no parameters; a misspelling beside one is found."""
    cells = ["", "task = 'x'\nlayers = {}", "seeds = 3\nprofile = 'smoke'", "study.open(globals())"]
    names = dict(GOOD) | {"In": cells, "task": "x", "layers": {}}
    cells[2] = "\n".join(f"{name} = {value!r}" for name, value in GOOD.items())
    assert Params.of(names) == Params()
    names |= {"tables": {}, "ledger": [], "name": "digits", "seeds": 4}
    cells += ["%matplotlib inline", "ledger = []\nname = 'digits'", "seeds = 4\nprofile = 'smoke'"]
    assert Params.of(names).seeds == 4
    names["seedz"] = 5
    cells.append("seedz = 5\nprofile = 'smoke'")
    with pytest.raises(ParameterError, match="did you mean 'seeds'"):
        Params.of(names)


def test_kick_times_must_be_different_updates_before_the_last():
    for times in ((0.0, 0.1), (0.0, 99.9)):
        with pytest.raises(ParameterError, match="fall on different updates before the last"):
            study.shards(Params(kick_times=times, count_times=(0.0,)))


def test_a_gpu_that_is_not_there_is_explained(monkeypatch):
    monkeypatch.setattr(parameters.torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match="torch sees no GPU"):
        study.shards(Params(device="cuda"))


def test_jobs_are_checked(monkeypatch):
    monkeypatch.setenv("BUTTERFLY_JOBS", "two")
    with pytest.raises(ParameterError, match="JOBS = 'two'"):
        executors.jobs()


def test_every_setting_has_a_title():
    assert all(setting.title for setting in settings().values())


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "PARAMS", tmp_path)
    return tmp_path


def read(name="mine", **more):
    return profiles.parameters("01_butterfly_effect", Params, name, **more)


def test_profiles_are_read_from_files_and_faults_name_the_file(files):
    file = files / "mine.yaml"
    file.write_text("01_butterfly_effect:\n  seeds: 5\n  one_weight_size: 1e-3\n")
    params, values = read()
    assert (params.seeds, params.one_weight_size, params.profile) == (5, 0.001, "mine")
    assert values == {"seeds": 5, "one_weight_size": 0.001, "profile": "mine"}
    file.write_text("02_four_measures:\n  seeds: 5\n")
    assert read()[0].seeds == Params().seeds
    for text, message in (
        ("01_butterfly_effect:\n  one_weight_size: '1e-3'\n", r"params/mine.yaml, 01_butterfly_effect:\n.*write 0.001"),
        ("seeds: [5\n", "params/mine.yaml is not YAML"),
        ("- seeds\n", "expected a section a notebook"),
        ("seeds: 5\n", "expected a section a notebook"),
        ("23: {seeds: 5}\n", "there is no notebook '23'"),
        ("01_butterfly_effect:\n  profile: mine\n", "the profile is named by the file; leave 'profile' out"),
        ("01_butterfly:\n  seeds: 5\n", "there is no notebook '01_butterfly'; did you mean '01_butterfly_effect'"),
        ("base: nobody\n", "there is no params/nobody.yaml"),
        ("base: mine\n", "base = 'mine'; name another profile"),
        ("base: 3\n", "base = 3; name another profile"),
    ):
        file.write_text(text)
        with pytest.raises(ParameterError, match=message):
            read()
    with pytest.raises(ParameterError, match=r"there is no params/mein.yaml; did you mean 'mine'"):
        read("mein")
    with pytest.raises(ParameterError, match="there is no notebook '01_butterfly'"):
        notebooks.study("01_butterfly")


def test_a_profile_of_ones_own_is_two_lines(files):
    (files / "base.yaml").write_text("01_butterfly_effect:\n  seeds: 5\n  points: 7\n02_four_measures:\n  seeds: 9\n")
    (files / "mine.yaml").write_text("base: base\n01_butterfly_effect:\n  points: 9\n")
    params, values = read()
    assert (params.seeds, params.points) == (5, 9)
    assert values["profile"] == "mine"
    assert profiles.sections("mine")["02_four_measures"] == {"seeds": 9}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("-3", -3),
        ("010", "010"),
        ("1:30", "1:30"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
    ],
)
def test_numbers_mean_what_they_look_like(text, value):
    found = profiles.parse(f"x: {text}", "here")["x"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "line 2: 'a' is given twice; keep one"),
        ("s:\n  a: 1\n  a: 2", "line 3: 'a' is given twice"),
        ("a: &x [1]\nb: [*x, *x]", "aliases"),
        ("a: !!python/object:os.system x", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("a: !!map [b]", "is not YAML"),
        ("a: !!bool b", "is not YAML"),
        ("a: !!timestamp b", "is not YAML"),
        ("a: " + "1" * 2_000_000, "a parameter file is a few lines"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, message):
    with pytest.raises(ParameterError, match=message):
        profiles.parse(text, "here")


def test_the_command_line_changes_fields_and_gets_a_folder_of_its_own(files):
    (files / "mine.yaml").write_text("01_butterfly_effect:\n  seeds: 5\n")
    params, values = read(changes="recipe.lr=0.1 points=7 kick_times=[0.0,20.0,50.0]")
    assert (params.recipe, params.points, params.seeds) == ({"lr": 0.1}, 7, 5)
    assert params.kick_times == (0.0, 20.0, 50.0)
    assert params.profile == values["profile"] != "mine"
    assert read(changes="points=7 recipe.lr=0.1 kick_times=[0.0,20.0,50.0]")[0].profile == params.profile
    assert read(changes="points=9")[0].profile != params.profile
    assert read(device="cuda:1")[0].device == "cuda:1"


def test_units_are_counted_from_the_first_seed():
    params = Params(seeds=5, seeds_per_shard=2, first_seed=1_000_000)
    assert params.few() == [[1_000_000, 1_000_001], [1_000_002, 1_000_003], [1_000_004]]
    assert params.few(count=3) == [[1_000_000, 1_000_001], [1_000_002]]


def test_data_are_drawn_anew_for_every_unit_and_never_again_for_the_confirmation():
    main = Params().chosen("mnist1d")
    explored = {Params().redrawn(main, seed).data for seed in range(20)}
    confirmed = {Params(first_seed=1_000_000).redrawn(main, 1_000_000 + seed).data for seed in range(20)}
    assert len(explored) == len(confirmed) == 20
    assert not explored & confirmed
    with pytest.raises(ParameterError, match="data are drawn anew 4000 times at most"):
        Params(first_seed=9_000_000).redrawn(main, 9_000_000)
    with pytest.raises(ParameterError, match="digits cannot be drawn anew"):
        Params().redrawn(Params().chosen("digits"), 0)
