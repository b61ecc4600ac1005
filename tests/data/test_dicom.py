"""Folders as DICOM: the same pixels, and no way to take them for a patient's."""

import io
import sys

import numpy as np
import pytest
from made_up import MASKS, made_up_row, made_up_sample, make_folder
from PIL import Image

from synthderm.core import InputError, MissingExtraError
from synthderm.data.dicom import to_dicom
from synthderm.provenance.check import check
from synthderm.provenance.dicom_tags import is_dicom, read_dicom
from synthderm.provenance.tags import ALGORITHMIC, Tags, save_arguments
from synthderm.provenance.watermark import Key, Payload, Watermark

TAGS = Tags("simulator", "2", ALGORITHMIC, run=77, seed=5, licence="CC0-1.0", software="synthderm 0.1.0")
ROWS = [made_up_row(i, code=code, lesion=0 if i < 2 else i) for i, code in enumerate(("mel", "mel", "nv"))]


@pytest.fixture(scope="module")
def pydicom():
    return pytest.importorskip("pydicom", reason="needs pydicom: pip install 'synthderm[dicom]'")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Three images of two lesions; the last file carries a record and the mark."""
    root = tmp_path_factory.mktemp("dicom") / "out"
    make_folder(root, ROWS, masks=MASKS)
    last = root / "images" / "SYN_0123abcd_000002.png"
    rng = np.random.default_rng(3)
    noise = Image.fromarray(rng.integers(90, 170, (256, 256, 3), np.uint8))
    marked = Watermark(Key.public()).embed(noise, Payload(generator="simulator", run=77))
    marked.save(last, **save_arguments(TAGS, "png"))
    return root


@pytest.fixture(scope="module")
def written(finished, pydicom, tmp_path_factory):
    return to_dicom(finished, tmp_path_factory.mktemp("written"))


def test_pixels_are_the_very_pixels(written, pydicom):
    assert [path.name for path in written] == [f"SYN_0123abcd_{i:06d}.dcm" for i in range(3)]
    expected = made_up_sample(0).image.permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(pydicom.dcmread(written[0]).pixel_array, expected)


def test_every_mark_of_a_synthetic_image_is_there(written, pydicom):
    for path in written:
        dataset = pydicom.dcmread(path)
        assert (dataset.SyntheticData, dataset.ConversionType, dataset.QualityControlSubject) == ("YES", "SYN", "YES")
        assert list(dataset.ImageType) == ["DERIVED", "SECONDARY"]
        assert dataset.BurnedInAnnotation == "NO"
        assert "not for diagnosis" in dataset.DerivationDescription
        (equipment,) = dataset.ContributingEquipmentSequence
        assert equipment.Manufacturer == "synthderm"
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert dataset.PatientID.startswith("SYNTHETIC-")
        assert (dataset.PatientBirthDate, dataset.StudyDate, dataset.LossyImageCompression) == ("", "", "00")


def test_files_are_valid_and_equal_every_time(written, finished, pydicom, tmp_path):
    again = to_dicom(finished, tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]
    datasets = [pydicom.dcmread(path) for path in written]
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == 3
    assert datasets[0].StudyInstanceUID == datasets[1].StudyInstanceUID != datasets[2].StudyInstanceUID
    for dataset in datasets:
        assert dataset.SOPInstanceUID.is_valid
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert dataset.SOPClassUID.name == "Secondary Capture Image Storage"


def test_the_record_comes_from_the_file_or_else_from_the_manifest(written):
    tags = [read_dicom(path.open("rb"), 10**6)[1] for path in written]
    assert tags[2].tags == TAGS
    assert (tags[0].tags.generator, tags[0].tags.seed) == ("made up", ROWS[0]["seed"])
    assert tags[0].carriers == ("dicom",)
    assert tags[0].says_synthetic


def test_the_check_reads_marks_and_pixels_of_dicom(written):
    results = list(check([written[0].parent], Key.public(), search="fast"))
    assert [result.says_synthetic for result in results] == [True] * 3
    assert [result.verdict == "synthetic" for result in results] == [False, False, True]
    assert results[2].payload["run"] == results[2].tags.tags.run == 77


def test_dicom_of_others_is_told_apart_and_decoded(pydicom, written, tmp_path):
    dataset = pydicom.dcmread(written[0])
    for name in ("SyntheticData", "ConversionType"):
        delattr(dataset, name)
    dataset.remove_private_tags()
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME1"
    del dataset.PlanarConfiguration
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.NumberOfFrames = 16, 12, 11, 2
    values = np.arange(2 * 64 * 64, dtype=np.uint16).reshape(2, 64, 64) % 4096
    dataset.PixelData = values.tobytes()
    dataset.save_as(tmp_path / "other.dcm")
    opened, found = read_dicom((tmp_path / "other.dcm").open("rb"), 10**6)
    assert not found.says_synthetic
    assert found.carriers == ()
    np.testing.assert_array_equal(np.asarray(opened.image)[..., 0], 255 - (values[0] >> 4))
    assert opened.notes == (
        "the first of 2 frames",
        "12 bit, the upper 8 taken",
        "greyscale, repeated in three channels",
    )


def test_damaged_and_large_files_are_reported(written, tmp_path):
    data = written[0].read_bytes()
    assert is_dicom(data[:132])
    with pytest.raises(InputError, match="more than the limit of 4,095 px"):
        read_dicom(io.BytesIO(data), 4095)
    rng = np.random.default_rng(1)
    for length in rng.integers(132, len(data), 20):
        with pytest.raises(InputError):
            read_dicom(io.BytesIO(data[:length]), 10**6)
    for i in range(30):
        broken = bytearray(data)
        for place in rng.integers(132, 2200, 5):
            broken[place] = rng.integers(256)
        (tmp_path / f"{i}.dcm").write_bytes(broken)
    verdicts = [result.verdict for result in check(tmp_path, Key.public(), search="fast", max_pixels=10**6)]
    assert len(verdicts) == 30


def test_a_deflated_file_is_not_inflated(pydicom, written, tmp_path):
    dataset = pydicom.dcmread(written[0])
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "deflated.dcm")
    with pytest.raises(InputError, match="is deflated"):
        read_dicom((tmp_path / "deflated.dcm").open("rb"), 10**6)


def test_without_the_extra_it_says_what_to_install(finished, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'synthderm\[dicom\]'"):
        to_dicom(finished, tmp_path)
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + bytes(50))
    (result,) = check(tmp_path, Key.public())
    assert (result.verdict, result.is_image) == ("error", True)
    assert "synthderm[dicom]" in result.error
