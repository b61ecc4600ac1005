"""Data sets of every layout, small and made up, and hostile ones."""

import json
import os
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from synthderm.core import InputError
from synthderm.data import RealSet, read_dataset
from synthderm.data.readers.labels import label_to_diagnosis, parse_modality, parse_skin_type
from synthderm.data.tree import ZipTree

SKIN = (224, 172, 140)


def put_image(path, colour=SKIN, size=(12, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def put_mask(path, size=(12, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros(size[::-1], np.uint8)
    values[2:6, 3:9] = 255
    Image.fromarray(values).save(path)


def put_text(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def zipped(folder):
    """A zip of a folder, with the folder's name inside, as people make them."""
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return target


def ham(root):
    put_text(
        root / "HAM10000_metadata.csv",
        "lesion_id,image_id,dx,dx_type,age,sex,localization",
        "HAM_1,ISIC_1,bkl,histo,80.0,male,scalp",
        "HAM_1,ISIC_2,bkl,histo,80.0,male,scalp",
        "HAM_2,ISIC_3,mel,histo,,female,Unknown",
    )
    put_text(root / "hmnist_8_8_RGB.csv", "pixel0000,pixel0001,label", "1,2,3")
    put_image(root / "HAM10000_images_part_1" / "ISIC_1.jpg")
    put_image(root / "HAM10000_images_part_1" / "ISIC_2.jpg")
    put_image(root / "HAM10000_images_part_2" / "ISIC_3.jpg")
    put_mask(root / "HAM10000_segmentations_lesion_tschandl" / "ISIC_1_segmentation.png")


def isic_archive(root):
    put_text(
        root / "metadata.csv",
        "isic_id,attribution,copyright_license,age_approx,anatom_site_general,diagnosis_1,diagnosis_2,diagnosis_3,"
        "diagnosis_4,fitzpatrick_skin_type,image_type,lesion_id,patient_id,sex",
        'ISIC_1,A,CC-0,55,torso,Benign,Benign melanocytic proliferations,Nevus,"Nevus, Atypical",II,dermoscopic,IL_1,'
        "IP_1,male",
        "ISIC_2,A,CC-BY,60,,Malignant,Malignant epidermal proliferations,"
        '"Squamous cell carcinoma, Invasive",,,clinical: close-up,IL_2,,female',
        "ISIC_3,A,CC-BY,60,,Indeterminate,Indeterminate epidermal proliferations,"
        "Solar or actinic keratosis,,V,TBP tile: close-up,,,female",
        "ISIC_4,A,CC-BY,60,,,,,,,dermoscopic,,,female",
    )
    for i in range(1, 5):
        put_image(root / "images" / f"ISIC_{i}.jpg")


def isic_2019(root):
    put_text(
        root / "ISIC_2019_Training_GroundTruth.csv",
        "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK",
        "ISIC_1,1.0,0,0,0,0,0,0,0,0",
        "ISIC_2,0,0,0,1.0,0,0,0,0,0",
        "ISIC_3,0,0,0,0,0,0,0,1.0,0",
        "ISIC_4,0,0,0,0,0,0,0,0,1.0",
    )
    put_text(
        root / "ISIC_2019_Training_Metadata.csv",
        "image,age_approx,anatom_site_general,lesion_id,sex",
        "ISIC_1,55.0,anterior torso,BCN_7,female",
    )
    for i in range(1, 5):
        put_image(root / "ISIC_2019_Training_Input" / f"ISIC_{i}.jpg")


def isic_2017(root):
    put_text(
        root / "ISIC-2017_Training_Part3_GroundTruth.csv",
        "image_id,melanoma,seborrheic_keratosis",
        "ISIC_1,1.0,0.0",
        "ISIC_2,0.0,1.0",
        "ISIC_3,0.0,0.0",
    )
    for i in range(1, 4):
        put_image(root / "ISIC-2017_Training_Data" / f"ISIC_{i}.jpg")
        put_image(root / "ISIC-2017_Training_Data" / f"ISIC_{i}_superpixels.png")


def padufes(root):
    put_text(
        root / "metadata.csv",
        "patient_id,lesion_id,smoke,age,gender,fitspatrick,region,diagnostic,img_id,biopsed",
        "PAT_1,10,False,55,FEMALE,3.0,NECK,BCC,PAT_1_10_1.png,True",
        "PAT_1,11,False,55,FEMALE,3.0,FACE,SCC,PAT_1_11_2.png,True",
        "PAT_2,12,,8,,,ARM,NEV,PAT_2_12_3.png,False",
    )
    put_image(root / "imgs_part_1" / "PAT_1_10_1.png")
    put_image(root / "imgs_part_1" / "PAT_1_11_2.png")
    put_image(root / "imgs_part_2" / "PAT_2_12_3.png")


def fitzpatrick17k(root):
    put_text(
        root / "fitzpatrick17k.csv",
        "md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,nine_partition_label,three_partition_label,qc,url,"
        "url_alphanum",
        "aa11,5,4,malignant melanoma,malignant melanoma,malignant,,http://x,y.jpg",
        "bb22,-1,-1,basal cell carcinoma morpheiform,malignant epidermal,malignant,,http://x,y.jpg",
        "cc33,2,2,epidermal nevus,benign epidermal,benign,,http://x,y.jpg",
    )
    for name in ("aa11", "bb22", "cc33"):
        put_image(root / "data" / "finalfitz17k" / f"{name}.jpg")


def ddi(root):
    put_text(
        root / "ddi_metadata.csv",
        ",DDI_ID,DDI_file,skin_tone,malignant,disease",
        "0,1,000001.png,56,True,melanoma-in-situ",
        "1,2,000002.png,12,False,seborrheic-keratosis-irritated",
        "2,3,000003.png,34,True,mycosis-fungoides",
    )
    put_image(root / "images" / "000001.png", (120, 80, 55))
    put_image(root / "images" / "000002.png", (120, 80, 55))
    put_image(root / "images" / "000003.png", (90, 90, 90))


def imagefolder(root):
    for split in ("train", "val"):
        put_image(root / split / "melanoma" / f"{split}_1.jpg")
        put_image(root / split / "Seborrheic_Keratosis" / f"{split}_2.jpg")
        put_image(root / split / "warts" / f"{split}_3.jpg")
    put_image(root / "train" / "stray.jpg")


def own_output(root):
    rows = [
        {
            "file_name": f"images/{i}.png",
            "mask_file_name": f"masks/{i}_segmentation.png",
            "isic_id": f"{i}",
            "lesion_id": f"SYNL_{i // 2}",
            "dx": code,
            "image_type": "dermoscopic",
            "is_synthetic": True,
            "ita_deg": ita,
            "fst_proxy": 5,
        }
        for i, (code, ita) in enumerate([("mel", -12.0), ("mel", -12.5), ("nv", 48.0)])
    ]
    put_text(root / "metadata.jsonl", *map(json.dumps, rows))
    for i in range(3):
        put_image(root / "images" / f"{i}.png")
        put_mask(root / "masks" / f"{i}_segmentation.png")
    put_image(root / ".synthderm" / "work" / "unfinished.png")


def pack(root):
    put_text(
        root / "metadata.csv",
        "file,dataset,label,diagnosis,malignant,fitzpatrick,ita_est,mask,mask_area,group,split,age,sex,site,modality,"
        "src_px,licence,source_id",
        "images/a.webp,ham10000,nv,melanocytic nevus,0,,40.2,masks/a.png,0.4,HAM_1,train,45.0,male,trunk,dermoscopy,"
        "224,CC BY-NC 4.0,ISIC_1",
        "images/b.webp,padufes20,ACK,actinic keratosis,0,4,12.4,,,PAT_1,val,20,,back,smartphone clinical,300,"
        "CC BY 4.0,PAT_1_1",
    )
    put_image(root / "images" / "a.webp")
    put_mask(root / "masks" / "a.png")
    put_image(root / "images" / "b.webp", (150, 110, 90))


def any_table(root):
    put_text(root / "list.csv", "path;class;fst;ita;mask", "a.png;mole;;-40.0;", "sub\\b.png;bowen;II;;m/b.png")
    put_image(root / "a.png")
    put_image(root / "sub" / "b.png")
    put_mask(root / "m" / "b.png")


# layout -> (maker, reader, [(file name, diagnosis, group, split, fst, tone source, modality, has a mask)])
LAYOUTS = {
    "ham": (ham, "ham10000", [
        ("ISIC_1.jpg", "bkl", "HAM_1", None, 2, "pixels", "dermoscopy", True),
        ("ISIC_2.jpg", "bkl", "HAM_1", None, 2, "pixels", "dermoscopy", False),
        ("ISIC_3.jpg", "mel", "HAM_2", None, 2, "pixels", "dermoscopy", False)]),
    "isic_archive": (isic_archive, "isic_archive", [
        ("ISIC_1.jpg", "nv", "IP_1", None, 2, "fitzpatrick column", "dermoscopy", False),
        ("ISIC_2.jpg", None, "IL_2", None, 2, "pixels", "clinical", False),
        ("ISIC_3.jpg", "akiec", None, None, 5, "fitzpatrick column", "clinical", False)]),
    "isic_2019": (isic_2019, "isic_one_hot", [
        ("ISIC_1.jpg", "mel", "BCN_7", None, 2, "pixels", "dermoscopy", False),
        ("ISIC_2.jpg", "akiec", None, None, 2, "pixels", "dermoscopy", False),
        ("ISIC_3.jpg", None, None, None, 2, "pixels", "dermoscopy", False)]),
    "isic_2017": (isic_2017, "isic_2017", [
        ("ISIC_1.jpg", "mel", None, None, 2, "pixels", "dermoscopy", False),
        ("ISIC_2.jpg", "bkl", None, None, 2, "pixels", "dermoscopy", False),
        ("ISIC_3.jpg", "nv", None, None, 2, "pixels", "dermoscopy", False)]),
    "padufes": (padufes, "padufes20", [
        ("PAT_1_10_1.png", "bcc", "PAT_1", None, 3, "fitzpatrick column", "clinical", False),
        ("PAT_1_11_2.png", None, "PAT_1", None, 3, "fitzpatrick column", "clinical", False),
        ("PAT_2_12_3.png", "nv", "PAT_2", None, 2, "pixels", "clinical", False)]),
    "fitzpatrick17k": (fitzpatrick17k, "fitzpatrick17k", [
        ("aa11.jpg", "mel", None, None, 5, "fitzpatrick column", "clinical", False),
        ("bb22.jpg", "bcc", None, None, 2, "pixels", "clinical", False),
        ("cc33.jpg", None, None, None, 2, "fitzpatrick column", "clinical", False)]),
    "ddi": (ddi, "ddi", [
        ("000001.png", "mel", None, None, 5, "pixels within the stated pair", "clinical", False),
        ("000002.png", "bkl", None, None, 2, "pixels within the stated pair", "clinical", False),
        ("000003.png", None, None, None, 3, "lighter of the stated pair", "clinical", False)]),
    "imagefolder": (imagefolder, "imagefolder", [
        ("train_2.jpg", "bkl", None, "train", 2, "pixels", None, False),
        ("train_1.jpg", "mel", None, "train", 2, "pixels", None, False),
        ("train_3.jpg", None, None, "train", 2, "pixels", None, False),
        ("val_2.jpg", "bkl", None, "val", 2, "pixels", None, False),
        ("val_1.jpg", "mel", None, "val", 2, "pixels", None, False),
        ("val_3.jpg", None, None, "val", 2, "pixels", None, False)]),
    "own_output": (own_output, "synthderm", [
        ("0.png", "mel", "SYNL_0", None, 5, "ita column", "dermoscopy", True),
        ("1.png", "mel", "SYNL_0", None, 5, "ita column", "dermoscopy", True),
        ("2.png", "nv", "SYNL_1", None, 2, "ita column", "dermoscopy", True)]),
    "pack": (pack, "pack", [
        ("a.webp", "nv", "HAM_1", "train", 2, "pixels", "dermoscopy", True),
        ("b.webp", "akiec", "PAT_1", "val", 4, "fitzpatrick column", "clinical", False)]),
    "any_table": (any_table, "table", [
        ("a.png", "nv", None, None, 6, "ita column", None, False),
        ("b.png", "akiec", None, None, 2, "fitzpatrick column", None, True)]),
}  # fmt: skip


def make(tmp_path, name):
    root = tmp_path / name
    LAYOUTS[name][0](root)
    return root


@pytest.mark.parametrize("as_zip", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_recognised_and_read(tmp_path, name, as_zip):
    path = make(tmp_path, name)
    read = read_dataset(zipped(path) if as_zip else path)
    _, reader, expected = LAYOUTS[name]
    assert read.reader == reader
    assert [
        (os.path.basename(r.file), r.diagnosis, r.group, r.split, r.fst, r.tone_source, r.modality, r.mask is not None)
        for r in read
    ] == expected
    for record in read:
        image = read.open_image(record)
        assert image.size == (12, 8)
        mask = read.open_mask(record, image.size)
        assert (mask is None) == (record.mask is None)
        if mask is not None:
            assert mask[2:6, 3:9].all()
            assert mask.sum() == 24


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_reader_can_be_named_and_a_wrong_one_says_what_it_found(tmp_path, name):
    path = make(tmp_path, name)
    reader = LAYOUTS[name][1]
    assert len(read_dataset(path, reader=reader)) == len(LAYOUTS[name][2])
    other = "ddi" if reader != "ddi" else "padufes20"
    with pytest.raises(InputError) as caught:
        read_dataset(path, reader=other)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    if name != "imagefolder":
        assert "has the columns" in str(caught.value)
        assert ("DDI_file" if other == "ddi" else "img_id") in str(caught.value)


def test_an_unknown_reader_or_option_is_answered_with_near_matches(tmp_path):
    path = make(tmp_path, "ham")
    with pytest.raises(InputError, match=r"unknown reader 'ham1000'; did you mean 'ham10000'"):
        read_dataset(path, reader="ham1000")
    with pytest.raises(InputError, match="unknown tone_from 'pixel'"):
        read_dataset(path, tone_from="pixel")
    with pytest.raises(InputError, match="unknown check_images"):
        read_dataset(path, check_images="all")


def test_details_of_a_record(tmp_path):
    first, _, third = read_dataset(make(tmp_path, "ham"))
    assert (first.label, first.age, first.sex, first.site) == ("bkl", 80.0, "male", "scalp")
    assert (first.source_id, first.dataset, first.licence) == ("ISIC_1", "ham10000", "CC BY-NC 4.0")
    assert first.metadata["dx_type"] == "histo"
    assert third.age is None
    assert first.group_key != third.group_key
    own = read_dataset(make(tmp_path, "own_output"))
    assert all(record.is_synthetic for record in own)
    assert not any(record.is_synthetic for record in read_dataset(make(tmp_path, "pack")))


def test_an_estimate_of_ita_counts_only_when_asked_for(tmp_path):
    path = make(tmp_path, "pack")
    assert [(r.ita_deg, r.ita_is_estimate) for r in read_dataset(path)] == [(40.2, True), (12.4, True)]
    assert [r.tone_source for r in read_dataset(path, tone_from="ita")] == ["ita column"] * 2
    assert [r.fst for r in read_dataset(path, tone_from="ita")] == [3, 4]
    assert [r.fst for r in read_dataset(path, tone_from="column")] == [None, 4]
    assert [r.tone_source for r in read_dataset(path, tone_from="pixels")] == ["pixels"] * 2


def test_rows_without_a_label_and_files_without_a_row_are_told(tmp_path):
    read = read_dataset(make(tmp_path, "isic_archive"))
    assert [(item.file, item.reason) for item in read.left_out] == [
        ("images/ISIC_4.jpg", "has no label (metadata.csv line 5)")
    ]
    root = make(tmp_path, "ham")
    put_image(root / "extra.jpg")
    read = read_dataset(root)
    assert ("extra.jpg", "in no row of the table, and so not read; 1 such images in all") in [
        (note.file, note.text) for note in read.notes
    ]
    assert any(note.file == "hmnist_8_8_RGB.csv" and "not used" in note.text for note in read.notes)
    stray = read_dataset(make(tmp_path, "imagefolder")).left_out
    assert [(item.file, item.reason) for item in stray] == [("train/stray.jpg", "lies in no class folder")]


def test_an_unreadable_table_beside_the_right_one_is_a_note(tmp_path):
    root = make(tmp_path, "own_output")
    (root / "rejected.jsonl").touch()
    read = read_dataset(root)
    assert len(read) == 3
    assert read.left_out == ()
    assert any(note.file == "rejected.jsonl" and "is empty" in note.text for note in read.notes)


def hostile(root):
    pack(root)
    names = ["missing.png", "../outside.png", "/etc/hostname", "empty.png", "text.png", "short.png", "bomb.png",
             "gif.gif", "pipe.png", "good.jpg", "good.jpg"]  # fmt: skip
    lines = (root / "metadata.csv").read_text().splitlines()
    for name in names:
        lines.append(lines[1].replace("images/a.webp", name).replace("masks/a.png", ""))
    lines += ["one,field", lines[1].replace("images/a.webp", ""), '"unclosed']
    put_text(root / "metadata.csv", *lines)
    (root.parent / "outside.png").write_bytes((root / "images" / "a.webp").read_bytes())
    (root / "empty.png").touch()
    (root / "text.png").write_text("hello")
    put_image(root / "short.png", size=(200, 200))
    (root / "short.png").write_bytes((root / "short.png").read_bytes()[:-200])
    put_image(root / "bomb.png", size=(2000, 1000))
    Image.new("RGB", (4, 4), "red").save(
        root / "gif.gif", save_all=True, append_images=[Image.new("RGB", (4, 4), "blue")]
    )
    os.mkfifo(root / "pipe.png")
    Image.new("RGB", (12, 8), SKIN).save(root / "good.jpg", format="PNG")


def test_hostile_files_are_listed_and_the_rest_is_read(tmp_path):
    root = tmp_path / "hostile"
    hostile(root)
    read = read_dataset(root, max_pixels=1_000_000)
    assert [record.file for record in read] == ["images/a.webp", "images/b.webp", "good.jpg"]
    reasons = {item.file: item.reason for item in read.left_out}
    for name, reason in {
        "missing.png": "is missing",
        "../outside.png": "points outside the set",
        "/etc/hostname": "points outside the set",
        "empty.png": "is empty",
        "text.png": "is not an image",
        "short.png": "is truncated",
        "bomb.png": "is too large: 2,000 x 1,000 px",
        "gif.gif": "has 2 frames",
        "pipe.png": "is no regular file",
        "good.jpg": "is listed a second time",
        "metadata.csv line 15": "has 2 fields, expected 18",
        "metadata.csv line 16": "has no file",
        "metadata.csv line 17": "has 1 fields",
    }.items():
        assert reason in reasons.pop(name), name
    assert not reasons
    assert [(n.file, n.text) for n in read.notes if n.file == "good.jpg"] == [
        ("good.jpg", "holds PNG under the suffix '.jpg'")
    ]
    summary = json.loads(json.dumps(read.summary()))
    assert summary["records"] == 3
    assert len(summary["left_out"]) == len(read.left_out)


def test_the_header_check_lets_truncated_files_pass_and_none_touches_nothing(tmp_path):
    root = tmp_path / "hostile"
    hostile(root)
    by_header = {r.file for r in read_dataset(root, check_images="header", tone_from="stated", max_pixels=10**6)}
    assert "short.png" in by_header
    assert not by_header & {"text.png", "empty.png", "bomb.png", "gif.gif"}
    untouched = {r.file for r in read_dataset(root, check_images="none", tone_from="stated")}
    assert untouched == {"images/a.webp", "images/b.webp", *map("{}".format, (
        "empty.png", "text.png", "short.png", "bomb.png", "gif.gif", "good.jpg"))}  # fmt: skip


def test_a_bad_mask_costs_the_mask_not_the_image(tmp_path):
    for content, says in ((b"nonsense", "is not an image"), (None, "is missing")):
        root = tmp_path / says.replace(" ", "_")
        pack(root)
        if content is None:
            (root / "masks" / "a.png").unlink()
        else:
            (root / "masks" / "a.png").write_bytes(content)
        read = read_dataset(root)
        assert [record.mask for record in read] == [None, None]
        assert any(note.file == "images/a.webp" and says in note.text for note in read.notes)
    root = tmp_path / "shape"
    pack(root)
    put_mask(root / "masks" / "a.png", size=(12, 12))
    assert any("not the shape" in note.text for note in read_dataset(root).notes)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("metadata.csv", b"a,b,c\n1,2,3\n", "metadata.csv has the columns a, b, c. Expected one of"),
        ("metadata.csv", b"", "is empty"),
        ("metadata.csv", "image_id,dx\nä,nv\n".encode("latin-1"), "is not UTF-8 text"),
        ("metadata.csv", b"image_id,dx,dx\na,nv,nv\n", "columns of the same name: 'dx'"),
        ("metadata.csv", b"\x00\x01\x02\xff" * 30, "is not UTF-8 text"),
        ("metadata.jsonl", b"{'not': 'json'}\n", "has the columns"),
        ("readme.txt", b"hello", "holds no table (.csv, .jsonl) and no images"),
    ],
)
def test_foreign_metadata_is_an_error_that_says_what_was_found(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_dataset(tmp_path)
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_images_without_any_known_folder_are_an_error(tmp_path):
    put_image(tmp_path / "cats" / "a.png")
    with pytest.raises(InputError, match="holds 1 images, but no table"):
        read_dataset(tmp_path)
    assert [record.diagnosis for record in read_dataset(tmp_path, reader="imagefolder")] == [None]


def test_what_is_no_data_set_at_all(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_dataset(tmp_path / "none")
    file = tmp_path / "a.zip"
    file.write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(InputError, match="neither a folder nor a readable zip"):
        read_dataset(file)


def test_damaged_and_unsafe_zip_members(tmp_path):
    root = make(tmp_path, "pack")
    path = zipped(root)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../escape.png", b"x")
        archive.writestr("__MACOSX/pack/images/._a.webp", b"x")
    data = bytearray(path.read_bytes())
    at = data.find((root / "images" / "b.webp").read_bytes()[:20])
    data[at + 8] ^= 0xFF  # the checksum no longer holds
    path.write_bytes(data)
    read = read_dataset(path)
    assert [record.file for record in read] == ["pack/images/a.webp"]
    reasons = {item.file: item.reason for item in read.left_out}
    assert "points outside" in reasons["../../escape.png"]
    assert "cannot unpack" in reasons["pack/images/b.webp"]
    assert not (tmp_path.parent / "escape.png").exists()


def test_an_encrypted_member_is_told_so(tmp_path):
    path = zipped(make(tmp_path, "pack"))
    data = bytearray(path.read_bytes())
    at = data.rfind(b"pack/images/b.webp") - 46  # its entry in the central directory
    assert data[at : at + 4] == b"PK\x01\x02"
    data[at + 8] |= 1
    path.write_bytes(data)
    reasons = {item.file: item.reason for item in read_dataset(path).left_out}
    assert "is encrypted" in reasons["images/b.webp"]


def test_a_forked_process_opens_the_zip_anew(tmp_path, monkeypatch):
    """A fork shares the position in the file with its parent; reading through both would mix the members up."""
    tree = ZipTree(zipped(make(tmp_path, "pack")))
    first = tree._open_archive()
    assert tree._open_archive() is first
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert tree._open_archive() is not first


def test_a_zip_is_read_in_place_and_survives_pickling(tmp_path):
    path = zipped(make(tmp_path, "pack"))
    before = sorted(tmp_path.rglob("*"))
    read = read_dataset(path)
    copy: RealSet = pickle.loads(pickle.dumps(read))
    assert np.array_equal(np.asarray(copy.open_image(copy[0])), np.asarray(read.open_image(read[0])))
    assert sorted(tmp_path.rglob("*")) == before


def test_links_that_lead_back_end(tmp_path):
    root = make(tmp_path, "imagefolder")
    (root / "train" / "loop").symlink_to(root)
    (root / "train" / "nv").symlink_to(root / "train" / "melanoma")
    assert len(read_dataset(root)) == 6


def test_the_result_does_not_depend_on_the_number_of_workers(tmp_path):
    root = make(tmp_path, "imagefolder")
    calls = []
    one = read_dataset(root, workers=1, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 6) for i in range(1, 7)]
    assert one.records == read_dataset(root, workers=4).records


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("Nevus, NOS", "nv"), ("melanoma-acral-lentiginous", "mel"), ("SEK", "bkl"), ("ACK", "akiec"),
        ("squamous-cell-carcinoma-in-situ", "akiec"), ("squamous cell carcinoma", None), ("SCC", None),
        ("epidermal nevus", None), ("Melanoma metastasis", None), ("becker nevus", None), ("psoriasis", None),
    ],
)  # fmt: skip
def test_labels_of_public_sets(label, code):
    assert label_to_diagnosis(label) == code


def test_skin_types_and_modalities_in_words():
    texts = ("3", "3.0", "III", "Type IV", "fst_5", "vi", "-1", "", None, "7", "2.5", "unknown", "12")
    assert [parse_skin_type(t) for t in texts] == [3, 3, 3, 4, 5, 6] + [None] * 7
    words = ("dermoscopic", "clinical: close-up", "smartphone clinical", "TBP tile: close-up", "histology", None)
    assert [parse_modality(w) for w in words] == ["dermoscopy", "clinical", "clinical", "clinical", None, None]


def test_the_small_real_set(ci_fixture):
    read = read_dataset(ci_fixture)
    assert (read.reader, len(read), read.left_out) == ("pack", 108, ())
    assert sum(record.diagnosis is None for record in read) == 12  # squamous cell carcinoma
    stated = [record for record in read if record.tone_source == "fitzpatrick column"]
    assert len(stated) == 72
    assert all(record.fst == int(record.metadata["fitzpatrick"]) for record in stated)
