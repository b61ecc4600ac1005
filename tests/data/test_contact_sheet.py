import numpy as np
import pytest
from made_up import TOLD, made_up_row, made_up_sample, make_images
from PIL import Image

from synthderm.core import DIAGNOSES, InputError
from synthderm.data import contact_sheet, journal_rows
from synthderm.data.contact_sheet import OUTLINE, outline
from synthderm.data.layout import arrange, caption, spread


def indices(layout):
    return [[None if row is None else row["index"] for row in line] for _, line in layout.lines]


def test_classes_go_down_and_tones_across():
    codes = list(DIAGNOSES)
    rows = [made_up_row(i, codes[i % 3], 1 + (i // 3) % 2) for i in range(12)]
    layout = arrange(rows, limit=6)
    assert layout.columns == ("FST 1", "FST 2")
    assert [label for label, _ in layout.lines] == [DIAGNOSES[code].name for code in codes[:3]]
    assert indices(layout) == [[0, 3], [1, 4], [2, 5]]


def test_a_class_without_a_tone_leaves_its_place_empty():
    rows = [made_up_row(0, "nv", 1), made_up_row(1, "nv", 6), made_up_row(2, "mel", 6)]
    assert indices(arrange(rows)) == [[0, 1], [None, 2]]


def test_more_room_gives_more_lines_for_each_class():
    rows = [made_up_row(i, ("nv", "mel")[i % 2], 1 + (i // 2) % 2) for i in range(16)]
    layout = arrange(rows, limit=8)
    assert [label for label, _ in layout.lines] == ["melanocytic nevus", "", "melanoma", ""]
    assert indices(layout) == [[0, 2], [4, 6], [1, 3], [5, 7]]


def test_paired_tones_stand_side_by_side_light_to_dark():
    rows = [made_up_row(i, "mel", fst, lesion=i // 6) for i, fst in enumerate([6, 5, 4, 3, 2, 1] * 2)]
    layout = arrange(rows)
    assert indices(layout) == [[5, 4, 3, 2, 1, 0], [11, 10, 9, 8, 7, 6]]
    assert layout.columns == tuple(f"FST {fst}" for fst in range(1, 7))


def test_a_sweep_is_in_order_and_its_captions_say_the_value():
    rows = [made_up_row(i, lesion=0, parameters={"lesion.asymmetry": i / 4, "hair.on": True}) for i in range(5)]
    flat = [{**row, **row["parameters"]} for row in rows]
    layout = arrange(flat, columns=3)
    assert indices(layout) == [[0, 1, 2], [3, 4]]
    assert layout.varied == "lesion.asymmetry"
    assert caption(flat[3], layout.varied) == ("mel  ITA -9° (type 5)", "lesion.asymmetry 0.75")


def test_one_class_on_several_tones_has_a_line_for_each_tone():
    layout = arrange([made_up_row(i, "mel", 1 + i % 2) for i in range(6)], columns=8, limit=4)
    assert [label for label, _ in layout.lines] == ["FST 1", "FST 2"]
    assert indices(layout) == [[0, 2], [1, 3]]


def test_spread_takes_as_many_of_each_class_and_keeps_families_whole():
    rows = [made_up_row(i, "nv" if i < 90 else "mel", 3) for i in range(100)]
    chosen = spread(rows, 10)
    assert [row["dx"] for row in chosen].count("mel") == 5
    assert [row["index"] for row in chosen] == sorted(row["index"] for row in chosen)
    paired = [made_up_row(i, "mel", 1 + i % 6, lesion=i // 6) for i in range(60)]
    assert [row["index"] for row in spread(paired, 14)] == list(range(12))
    assert spread(rows, 100) == rows


def test_a_row_without_tone_or_class_has_a_caption():
    assert caption({"index": 3, "ita_deg": None}) == ("", "3")
    assert arrange([{"index": 0, "file_name": "a.png"}]).lines[0][0] == "no class"
    assert arrange([]).lines == []


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("sheet") / "out"
    make_images(root, [made_up_row(i, ("nv", "mel")[i % 2], 1 + i // 2) for i in range(4)])
    return root, list(journal_rows(root).values())


def find_tile(sheet, tile):
    """Row and column of the top left corner of ``tile`` on ``sheet``."""
    height, width = tile.shape[:2]
    for y in range(sheet.shape[0] - height + 1):
        for x in range(sheet.shape[1] - width + 1):
            if (sheet[y, x] == tile[0, 0]).all() and (sheet[y : y + height, x : x + width] == tile).all():
                return y, x
    return None


def test_every_image_is_on_the_sheet_where_the_layout_says(images):
    root, rows = images
    sheet = np.asarray(contact_sheet(rows, root, tile=64))
    places = [find_tile(sheet, made_up_sample(i).image.permute(1, 2, 0).numpy()) for i in range(4)]
    (y0, x0), (y1, x1), (y2, x2), (y3, x3) = places
    assert y0 == y2 < y1 == y3  # nevi above melanomas
    assert x0 == x1 < x2 == x3  # type 1 left of type 2


def test_outlines_run_along_the_inner_edge_of_the_mask(images):
    root, rows = images
    plain, lined = (np.asarray(contact_sheet(rows, root, tile=64, outlines=o)) for o in (False, True))
    y, x = find_tile(plain, made_up_sample(1).image.permute(1, 2, 0).numpy())
    changed = (plain != lined).any(axis=2)[y : y + 64, x : x + 64]
    mask = made_up_sample(1).masks["lesion"].numpy()
    assert changed.any()
    assert not (changed & ~mask).any()
    assert changed.sum() < mask.sum()
    assert (lined[y : y + 64, x : x + 64][changed] == OUTLINE).all()


def test_outline_of_a_square():
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    expected = mask.copy()
    expected[3:6, 3:6] = False
    np.testing.assert_array_equal(outline(mask, 1), expected)
    assert not outline(np.zeros((4, 4), bool)).any()
    assert not outline(np.ones((4, 4), bool)).any()  # a lesion beyond the frame has no edge there


def test_the_sheet_is_bounded(images):
    root, rows = images
    many = [rows[i % 4] | {"index": i} for i in range(500)]
    sheet = contact_sheet(many, root, tile=40, limit=64)
    assert sheet.width * sheet.height < 64 * 40 * 40 * 4


def test_missing_images_are_named(images):
    root, rows = images
    with pytest.raises(InputError, match=r"nowhere\.png"):
        contact_sheet([rows[0] | {"file_name": "images/nowhere.png"}], root)
    with pytest.raises(InputError, match="no images"):
        contact_sheet([], root)


def test_sheets_of_a_finished_folder_open(tmp_path):
    from synthderm.data import finish_folder

    make_images(tmp_path, [made_up_row(0)])
    finish_folder(tmp_path, **TOLD)
    for name in ("contact_sheet.png", "contact_sheet_masks.png"):
        with Image.open(tmp_path / name) as image:
            assert image.mode == "RGB"
            image.verify()
