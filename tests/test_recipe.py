"""Recipes: parsing, merging, and what image i is."""

from collections import Counter
from pathlib import Path

import pytest
import yaml
from fakes import FakeGenerator

from synthderm.core import InputError, image_seed
from synthderm.recipe import Recipe, Work, default_folder, load_recipe, shipped_recipes


def work(**flags):
    return Work(Recipe.from_flags({"class": "mel", **flags}), FakeGenerator())


def requests(work):
    return [request for family in work.families for request in family.requests]


def test_values_are_read_in_every_spelling():
    recipe = Recipe.from_flags(
        {"class": "Melanoma, mole", "fst": "4-6", "shard": "2/8", "masks": "hair, vessels", "format": "JPEG"}
    )
    assert recipe.diagnosis == ("mel", "nv")
    assert recipe.fst == (4, 5, 6)
    assert recipe.shard == (2, 8)
    assert recipe.masks == ("hair", "vessels")
    assert recipe.format == "jpg"
    assert Recipe(diagnosis=["MEL"], num_images=3) == Recipe.from_flags({"class": "mel", "n": 3})


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        (-20, ((-20, -20),)),
        ("55,-20", ((55, 55), (-20, -20))),
        ("-40..-10", ((-40, -10),)),
        ("-10:-40", ((-40, -10),)),
        ([[5, 10], 30], ((5, 10), (30, 30))),
    ],
)
def test_ita_is_an_angle_a_list_or_a_range(text, pairs):
    assert Recipe(diagnosis="mel", ita=text).ita == pairs


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"clas": "mel"}, "did you mean 'class'"),
        ({"num_image": 3}, "did you mean 'num_images'"),
        ({"class": "melanom"}, "did you mean 'melanoma'"),
        ({"fst": 7}, "fst must be 1 to 6"),
        ({"ita": "dark"}, "ita must be degrees"),
        ({"ita": 80}, "ita must be between -75 and 70"),
        ({"num_images": 0}, "num_images must be 1 or more, but got 0"),
        ({"num_images": 2.5}, "num_images must be a whole number"),
        ({"num_images": True}, "num_images must be a whole number"),
        ({"size": 32}, "size must be between 64 and 1024"),
        ({"modality": "dermoscopic"}, "did you mean 'dermoscopy'"),
        ({"format": "tiff"}, "unknown format"),
        ({"shard": "3/2"}, "shard must be k/n"),
        ({"set": "lesion.radius"}, "set must be NAME=VALUE"),
        ({"paired": "no"}, "paired must be true or false"),
        ({"fst": 1, "ita": 3}, "give one of the two"),
        ({"plan": "p.yaml", "num_images": 3}, "leave out class, fst, ita, n"),
        ({"plan": "p.yaml", "paired": True}, "cannot be combined"),
        ({"class": "mel", "diagnosis": "nv"}, "twice"),
    ],
)
def test_a_bad_flag_is_one_clear_line(flags, says):
    with pytest.raises(InputError, match=says) as caught:
        Recipe.from_flags(flags)
    assert "\n" not in str(caught.value)


def test_a_file_gives_flags_and_the_command_line_goes_over_it(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("class: nv\nfst: [5, 6]\nnum_images: 7\nset: {lesion.radius: 0.2, lesion.spots: 3}\n")
    recipe = load_recipe(path, {"ita": -20, "set": ["lesion.spots=5"], "size": None})
    assert (recipe.diagnosis, recipe.fst, recipe.num_images) == (("nv",), (), 7)
    assert recipe.ita == ((-20, -20),)
    assert recipe.set == {"lesion.radius": 0.2, "lesion.spots": "5"}


def test_a_plan_beside_the_recipe_is_found_and_a_class_replaces_it(tmp_path):
    (tmp_path / "plan.yaml").write_text("cells: [{class: mel, fst: 5, n: 2}]\n")
    (tmp_path / "r.yaml").write_text("plan: plan.yaml\n")
    assert load_recipe(tmp_path / "r.yaml").plan == tmp_path / "plan.yaml"
    assert load_recipe(tmp_path / "r.yaml", {"class": "mel"}).plan is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class: [", "not a YAML file"),
        ("- mel", "expected a YAML mapping"),
        ("clas: mel", "unknown key in .*r.yaml 'clas'; did you mean 'class'"),
        ("class: mel\nsize: 5000", "r.yaml: size must be between"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, says):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError, match=says):
        load_recipe(tmp_path / "r.yaml")


def test_a_missing_file_and_an_unknown_name_say_what_there_is(tmp_path):
    with pytest.raises(InputError, match="recipes ls"):
        load_recipe(tmp_path / "r.yaml")
    name = next(iter(shipped_recipes()))
    with pytest.raises(InputError, match=f"did you mean '{name}'"):
        load_recipe(name[:-1])


def test_flags_survive_yaml(tmp_path):
    recipe = Recipe.from_flags({"class": "mel,nv", "ita": "-40..-10,5.123456789", "num_images": 4, "masks": "all"})
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe.to_flags()))
    assert load_recipe(tmp_path / "r.yaml") == recipe


def test_a_class_is_needed():
    with pytest.raises(InputError, match="which class"):
        Work(Recipe(), FakeGenerator())


@pytest.mark.parametrize(("classes", "fst"), [("mel,nv", "all"), ("mel,nv,bcc", "1,2"), ("all", "all"), ("mel", "5")])
def test_classes_and_tones_are_balanced_at_every_length(classes, fst):
    every = work(**{"class": classes, "fst": fst, "num_images": 84})
    recipe = every.recipe
    for n in range(1, 85):
        part = requests(every)[:n]
        by_class = Counter(r.diagnosis for r in part)
        by_tone = Counter(r.tone.fst for r in part)
        assert max(by_class.values()) - min(by_class[c] for c in recipe.diagnosis) <= 1
        assert max(by_tone.values()) - min(by_tone[t] for t in recipe.fst) <= 1
    if 84 % (len(recipe.diagnosis) * len(recipe.fst)) == 0:
        cells = Counter((r.diagnosis, r.tone.fst) for r in requests(every))
        assert set(cells.values()) == {84 // (len(recipe.diagnosis) * len(recipe.fst))}


def test_image_i_depends_on_seed_and_i_alone():
    small, large = (
        work(num_images=5, fst=5, seed=3),
        work(num_images=500, fst=5, seed=3, workers=4, batch_size=7),
    )
    assert small.digest == large.digest
    assert [small.jobs(f) for f in small.families] == [large.jobs(large.families[i]) for i in range(5)]
    job = small.jobs(small.families[4])[0]
    assert (job.index, job.seed, job.image_id) == (4, image_seed(3, 4), f"SYN_{small.digest}_000004")
    assert small.jobs(small.families[4], attempt=2)[0].seed == image_seed(3, 4, 2)


@pytest.mark.parametrize(
    "other",
    [
        {"class": "nv"},
        {"fst": 6},
        {"ita": -20},
        {"seed": 1},
        {"size": 128},
        {"modality": "clinical"},
        {"masks": "all"},
        {"maps": True},
        {"format": "jpg"},
        {"set": {"lesion.radius": 0.2}},
        {"paired": True, "num_images": 12},
        {"vary": "fst"},
    ],
)
def test_whatever_changes_the_output_changes_the_ids(other):
    base = {"fst": 5} if "ita" not in other and "paired" not in other and "vary" not in other else {}
    assert work(**base).digest != work(**{**base, **other}).digest
    assert work(**base).digest == work(**base, output="elsewhere", shard="1/3", overwrite=True).digest


def test_the_version_of_the_generator_changes_the_ids():
    newer = FakeGenerator()
    newer.version = "2"
    assert Work(Recipe(diagnosis="mel"), newer).digest != work().digest


def test_the_spelling_of_a_value_does_not():
    assert work(set=["lesion.radius=0.20"]).digest == work(set={"lesion.radius": 0.2}).digest


def test_shards_part_the_families():
    whole = [family.index for family in work(num_images=10).families]
    parts = [[f.index for f in work(num_images=10, shard=(k, 3)).shard()] for k in (1, 2, 3)]
    assert sorted(i for part in parts for i in part) == whole
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_pair_is_one_seed_on_every_tone():
    pairs = work(paired=True, fst="all", num_images=12)
    first, second = ([job for job in pairs.jobs(family)] for family in pairs.families)
    assert [job.condition.fst for job in first] == [1, 2, 3, 4, 5, 6]
    assert len({job.seed for job in first}) == 1
    assert first[0].seed != second[0].seed
    assert [job.index for job in first + second] == list(range(12))


def test_a_pair_needs_a_multiple_and_two_tones():
    with pytest.raises(InputError, match="try 6 or 12"):
        work(paired=True, num_images=10)
    with pytest.raises(InputError, match="two tones or more"):
        work(paired=True, fst=5)


@pytest.mark.parametrize(
    ("vary", "n", "values"),
    [
        ("lesion.radius", 4, [0.1, 0.2, 0.3, 0.4]),
        ("lesion.radius=0.2:0.3", 3, [0.2, 0.25, 0.3]),
        ("lesion.radius=0.15,0.4", None, [0.15, 0.4]),
        ("lesion.spots=1..3", 3, [1, 2, 3]),
        ("light.name", None, ["day", "lamp"]),
        ("hair.present", None, [False, True]),
    ],
)
def test_a_sweep_varies_one_parameter_only(vary, n, values):
    sweep = work(vary=vary, num_images=n)
    (family,) = sweep.families
    jobs = sweep.jobs(family)
    name = vary.split("=")[0]
    assert [job.condition.parameters[name] for job in jobs] == pytest.approx(values)
    assert len({(job.seed, job.condition.diagnosis, job.condition.fst) for job in jobs}) == 1


def test_a_sweep_over_tones_or_classes():
    assert [r.tone.fst for r in requests(work(vary="fst"))] == [1, 2, 3, 4, 5, 6]
    assert [r.tone.fst for r in requests(work(vary="fst=4:6"))] == [4, 5, 6]
    assert [r.tone.low_deg for r in requests(work(vary="ita=60:-60", num_images=3))] == [60, 0, -60]
    assert [r.diagnosis for r in requests(work(vary="class=mel,nv", fst=3))] == ["mel", "nv"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"vary": "lesion.radiu"}, "did you mean 'lesion.radius'"),
        ({"vary": "lesion.radius=0.2:0.9"}, "between 0.1 and 0.4"),
        ({"vary": "lesion.radius", "num_images": 101}, "at most 100"),
        ({"vary": "lesion.radius=0.2,0.3", "num_images": 3}, "makes 2 images, but n is 3"),
        ({"vary": "lesion.radius", "set": {"lesion.radius": 0.2}}, "set and varied"),
        ({"vary": "lesion.radius", "class": "mel,nv"}, "give one class"),
        ({"vary": "lesion.radius", "fst": "1,2"}, "give one tone"),
        ({"set": {"lesion.size": 1}}, "unknown parameter 'lesion.size'"),
        ({"set": {"lesion.radius": 1}}, "between 0.1 and 0.4"),
    ],
)
def test_a_bad_sweep_or_parameter_is_refused(flags, says):
    with pytest.raises(InputError, match=says):
        work(**flags)


def test_an_ita_range_is_drawn_by_the_image():
    ranged = work(ita="-40..-10", num_images=50)
    angles = [job.condition.ita_deg for family in ranged.families for job in ranged.jobs(family)]
    assert all(-40 <= angle <= -10 for angle in angles)
    assert len(set(angles)) == 50
    assert max(angles) - min(angles) > 20


def test_a_plan_is_filled_exactly(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("modality: clinical\ncells: [{class: mel, fst: 5, n: 2}, {class: nv, fst: 6, n: 3}]\n")
    planned = Work(Recipe(plan=path), FakeGenerator())
    assert Counter((r.diagnosis, r.tone.fst) for r in requests(planned)) == {("mel", 5): 2, ("nv", 6): 3}
    assert planned.num_images == 5
    assert planned.jobs(planned.families[4])[0].condition.modality == "clinical"
    assert Work(Recipe(plan=path, modality="dermoscopy"), FakeGenerator()).digest != planned.digest


def test_an_empty_plan_says_so(tmp_path):
    (tmp_path / "plan.yaml").write_text("cells: []\n")
    with pytest.raises(InputError, match="nothing is missing"):
        Work(Recipe(plan=tmp_path / "plan.yaml"), FakeGenerator())


def test_a_million_images_cost_nothing():
    huge = work(**{"class": "all", "num_images": 10**6})
    assert huge.families[999_999].first == 999_999


def test_the_default_folder_is_named_after_the_request():
    assert default_folder(work(fst=5).recipe, 1000) == Path("synthderm-mel-fst5-n1000-seed0")
    names = {
        str(default_folder(work(**flags).recipe, 4))
        for flags in (
            {},
            {"ita": -20},
            {"size": 128},
            {"modality": "clinical"},
            {"paired": True, "num_images": 6},
            {"vary": "fst"},
            {"vary": "lesion.radius=0.1,0.2"},
            {"vary": "lesion.radius=0.1,0.3"},
            {"set": {"lesion.radius": 0.2}},
            {"format": "jpg"},
        )
    }
    assert len(names) == 10
    assert not any("/" in name or " " in name for name in names)


def test_every_shipped_recipe_can_be_read():
    for path in shipped_recipes().values():
        load_recipe(path)
