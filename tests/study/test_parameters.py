"""Every bad parameter has a message that says what to type."""

import pytest

from butterfly import notebooks, paths
from butterfly.experiments import butterfly_effect, common
from butterfly.experiments.butterfly_effect import Params
from butterfly.figures.common import TITLES
from butterfly.settings import SETTINGS
from butterfly.strict import ParameterError
from butterfly.train import Recipe

GOOD = Params().model_dump(mode="json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seedz": 3}, "'seedz' is not a parameter; did you mean 'seeds'?"),
        ({"nonsense": 3}, "'nonsense' is not a parameter; known: profile, device"),
        ({"seeds": "3"}, "'seeds' is the text '3', not a number; YAML wants 3"),
        ({"seeds": 2.5}, "'seeds' = 2.5: input should be a valid integer"),
        ({"seeds": 0}, "greater than or equal to 1"),
        ({"seeds": None}, "'seeds' = None"),
        ({"seeds": True}, "'seeds' = True"),
        ({"one_weight_size": "1e-3"}, "'one_weight_size' is the text '1e-3', not a number; YAML wants 0.001"),
        ({"one_weight_size": "1e-6"}, "YAML wants 1.0e-06"),
        ({"gaussian_sizes": [1e-6, "1e-5"]}, "'gaussian_sizes.1' is the text '1e-5'"),
        ({"gaussian_sizes": 1e-6}, "'gaussian_sizes' = 1e-06"),
        ({"gaussian_sizes": []}, "gaussian_sizes is empty"),
        ({"gaussian_sizes": [1e-2, 1e-6]}, "give rising sizes"),
        ({"gaussian_sizes": [0.0]}, "give rising sizes above 0"),
        ({"kick_times": [0.0, 100.0]}, "from 0 to below 100"),
        ({"kick_times": []}, "give rising percentages"),
        ({"kick_times": [0.0, float("nan")]}, "'kick_times.1' = nan"),
        ({"setting": "mnist2d"}, "unknown setting 'mnist2d'; known: mnist1d"),
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


def test_a_notebook_reads_its_own_cell_and_refuses_strays():
    namespace = GOOD | {"_hidden": 1, "In": [], "Out": {}, "Params": Params, "common": common}
    assert Params.of(namespace) == Params()
    with pytest.raises(ParameterError, match="did you mean 'seeds'"):
        Params.of(GOOD | {"seedz": 5})


def test_the_cell_can_be_run_again_after_the_others():
    """A reader changes a value and runs on: results of later cells are no parameters, a new misspelling still is."""
    cells = ["", "seeds = 3\nprofile = 'smoke'", "params = Params.of(globals())"]
    namespace = dict(GOOD) | {"In": cells}
    Params.of(namespace)
    namespace |= {"tables": {}, "ledger": [], "name": "digits"}
    cells += ["%matplotlib inline", "ledger = []\nname = 'digits'", "seeds = 4\nprofile = 'smoke'"]
    namespace["seeds"] = 4
    assert Params.of(namespace).seeds == 4
    namespace["seedz"] = 5
    cells.append("seedz = 5\nprofile = 'smoke'")
    with pytest.raises(ParameterError, match="did you mean 'seeds'"):
        Params.of(namespace)


def test_kick_times_must_be_different_updates_before_the_last():
    for times in ((0.0, 0.1), (0.0, 99.9)):
        with pytest.raises(ParameterError, match="fall on different updates before the last"):
            butterfly_effect.shards(Params(kick_times=times))


def test_a_gpu_that_is_not_there_is_explained(monkeypatch):
    monkeypatch.setattr(common.torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParameterError, match="torch sees no GPU"):
        butterfly_effect.shards(Params(device="cuda"))


def test_jobs_are_checked(monkeypatch):
    monkeypatch.setenv("BUTTERFLY_JOBS", "two")
    with pytest.raises(ParameterError, match="JOBS = 'two'"):
        common._jobs()


def test_every_setting_has_a_title():
    assert set(TITLES) == set(SETTINGS)


def test_profiles_are_read_from_files_and_faults_name_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PARAMS", tmp_path / "params")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "params" / "mine").mkdir(parents=True)
    file = tmp_path / "params" / "mine" / "01_butterfly_effect.yaml"
    file.write_text("seeds: 5\none_weight_size: 1.0e-3\n")
    params, values = notebooks.profile("01_butterfly_effect", "mine")
    assert (params.seeds, params.one_weight_size, params.profile) == (5, 0.001, "mine")
    assert values == {"seeds": 5, "one_weight_size": 0.001, "profile": "mine"}
    file.write_text("seeds: 5\none_weight_size: 1e-3\n")
    with pytest.raises(ParameterError, match=r"params/mine/01_butterfly_effect.yaml:\n.*YAML wants 0.001"):
        notebooks.profile("01_butterfly_effect", "mine")
    file.write_text("seeds: [5\n")
    with pytest.raises(ParameterError, match="is not YAML"):
        notebooks.profile("01_butterfly_effect", "mine")
    file.write_text("- seeds\n")
    with pytest.raises(ParameterError, match="name: value"):
        notebooks.profile("01_butterfly_effect", "mine")
    file.write_text("")
    assert notebooks.profile("01_butterfly_effect", "mine")[0].seeds == Params().seeds
    assert notebooks.profile("00_index", "mine")[1] == {"profile": "mine"}  # it has no parameters of its own
    with pytest.raises(ParameterError, match="there is no profile 'laptpo' of 01_butterfly_effect; there are: mine"):
        notebooks.profile("01_butterfly_effect", "laptpo")
    with pytest.raises(ParameterError, match="there is no notebook '01_butterfly'"):
        notebooks.experiment("01_butterfly")
