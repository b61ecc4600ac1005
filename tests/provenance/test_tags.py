"""Metadata of origin: what is written can be read by others, and what others did to it is read without trust."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from synthderm.core import InputError
from synthderm.provenance.tags import (
    ALGORITHMIC,
    TRAINED,
    Tags,
    encode_chunk,
    png_chunks,
    read_tags,
    save_arguments,
    source_type_of,
)
from synthderm.provenance.tags.blocks import find_blocks
from synthderm.provenance.tags.exif import exif_block, read_exif
from synthderm.provenance.tags.xmp import SOURCE_TYPE, read_xmp, xmp_packet

TAGS = Tags(
    generator="flow",
    generator_version="1",
    digital_source_type=TRAINED,
    watermark="0f3a9c1b",
    run=123456789,
    seed=2**63 + 5,
    recipe_digest="ab" * 32,
    licence="CC-BY-4.0",
    software="synthderm 0.1.0",
)
PILLOW = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}
CARRIERS = {"png": ("png_text", "xmp", "exif"), "jpg": ("xmp", "exif"), "webp": ("xmp", "exif")}
XMP_HEAD = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
XMP_TAIL = "</rdf:RDF></x:xmpmeta>"
IPTC = 'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 255, (24, 32, 3), np.uint8))


def saved(image_format: str, tags: Tags | None = TAGS, **others) -> bytes:
    buffer = io.BytesIO()
    arguments = save_arguments(tags, image_format) if tags else {}
    picture().save(buffer, format=PILLOW[image_format], **arguments, **others)
    return buffer.getvalue()


@pytest.mark.parametrize("image_format", PILLOW)
def test_every_format_gives_back_the_whole_record(image_format):
    found = read_tags(saved(image_format))
    assert found.tags == TAGS
    assert found.carriers == CARRIERS[image_format]
    assert found.digital_source_type == TRAINED
    assert found.says_synthetic
    assert found.software == "synthderm 0.1.0"
    assert found.problems == ()


@pytest.mark.parametrize("image_format", PILLOW)
def test_pillow_sees_what_was_written(image_format):
    image = Image.open(io.BytesIO(saved(image_format)))
    exif = image.getexif()
    assert exif[0x0131] == "synthderm 0.1.0"
    assert exif[0x8298] == "CC-BY-4.0"
    assert exif[0x010E] == TAGS.description
    comment = exif.get_ifd(0x8769)[0x9286]
    assert comment[:8] == b"ASCII\0\0\0"
    assert Tags.from_json(comment[8:].decode()) == TAGS
    packet = image.info["xmp"]
    assert b"trainedAlgorithmicMedia" in packet
    if image_format == "png":
        image.load()
        assert image.text["Software"] == "synthderm 0.1.0"
        assert "not for diagnosis" in image.text["Description"]


def test_the_packet_is_rdf_that_a_general_parser_reads():
    from xml.etree import ElementTree

    text = xmp_packet(TAGS).decode().split("?>", 1)[1].rsplit("<?xpacket", 1)[0]
    description = next(ElementTree.fromstring(text).iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"))
    space = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
    assert description.get(space + "DigitalSourceType") == TRAINED
    assert description.get(space + "AISystemUsed") == "flow"
    assert description.get("{urn:synthderm:tags:1#}seed") == str(TAGS.seed)


@pytest.mark.parametrize("image_format", PILLOW)
def test_same_record_same_bytes_and_unchanged_pixels(image_format):
    assert saved(image_format) == saved(image_format)
    with_tags, without = (np.asarray(Image.open(io.BytesIO(saved(image_format, tags)))) for tags in (TAGS, None))
    assert np.array_equal(with_tags, without)


def test_chunks_put_into_any_png_by_hand_are_read_by_pillow_and_by_us():
    plain = saved("png", None)
    after_header = 8 + 25
    marked = plain[:after_header] + b"".join(encode_chunk(*chunk) for chunk in png_chunks(TAGS)) + plain[after_header:]
    assert read_tags(marked).carriers == CARRIERS["png"]
    image = Image.open(io.BytesIO(marked))
    image.load()  # checks the checksums
    assert image.getexif()[0x0131] == "synthderm 0.1.0"
    assert image.text["Copyright"] == "CC-BY-4.0"


def test_fields_left_out_and_signs_that_need_escaping_survive():
    tags = Tags('a<b&"c"', "", ALGORITHMIC, licence="Ünüblich <&>")
    for image_format in PILLOW:
        assert read_tags(saved(image_format, tags)).tags == tags


def test_files_without_a_word_on_their_origin_have_no_carriers():
    exif = Image.Exif()
    exif[0x010F], exif[0x0131] = "Camera", "Camera 1.0"
    found = read_tags(saved("jpg", None, exif=exif))
    assert found.carriers == ()
    assert found.tags is None
    assert not found.says_synthetic
    assert found.software == "Camera 1.0"
    assert read_tags(b"").carriers == ()


def test_resaves_lose_carriers_and_the_rest_is_named():
    png = Image.open(io.BytesIO(saved("png")))
    buffer = io.BytesIO()
    png.save(buffer, format="JPEG", xmp=png.info["xmp"])
    assert read_tags(buffer).carriers == ("xmp",)
    assert read_tags(buffer).tags == TAGS
    jpeg = Image.open(io.BytesIO(saved("jpg")))
    buffer = io.BytesIO()
    jpeg.save(buffer, format="TIFF", exif=jpeg.getexif())
    assert read_tags(buffer).tags == TAGS
    buffer = io.BytesIO()
    png.convert("L").save(buffer, format="BMP")
    assert read_tags(buffer).carriers == ()


def test_text_forms_of_other_programs_are_read():
    plain = saved("png", None)
    record = TAGS.to_json().encode()
    profile = exif_block(TAGS)
    lines = b"\nexif\n%8d\n%s\n" % (len(profile), profile.hex().encode())
    forms = {
        ("png_text", "tEXt"): b"synthderm\0" + record,
        ("png_text", "zTXt"): b"synthderm\0\0" + zlib.compress(record),
        ("png_text", "iTXt"): b"synthderm\0\1\0\0\0" + zlib.compress(record),
        ("xmp", "iTXt"): b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_packet(TAGS),
        ("exif", "zTXt"): b"Raw profile type exif\0\0" + zlib.compress(lines),
    }
    for (carrier, kind), content in forms.items():
        found = read_tags(plain[:33] + encode_chunk(kind.encode(), content) + plain[33:])
        assert found.carriers == (carrier,), kind
        assert found.tags == TAGS


@pytest.mark.parametrize(
    "body",
    [
        f'<rdf:Description rdf:about="" {IPTC} Iptc4xmpExt:DigitalSourceType="{TRAINED}"/>',
        f"<rdf:Description {IPTC}><Iptc4xmpExt:DigitalSourceType>{TRAINED}</Iptc4xmpExt:DigitalSourceType>"
        "</rdf:Description>",
        f'<rdf:Description {IPTC}><Iptc4xmpExt:DigitalSourceType rdf:resource="{TRAINED}"/></rdf:Description>',
        f"<rdf:Description {IPTC}><Iptc4xmpExt:DigitalSourceType><rdf:Bag><rdf:li>{TRAINED}</rdf:li>"
        "<rdf:li>other</rdf:li></rdf:Bag></Iptc4xmpExt:DigitalSourceType></rdf:Description>",
    ],
    ids=["attribute", "element", "resource", "list"],
)
def test_every_form_of_a_property_that_programs_write(body):
    assert read_xmp((XMP_HEAD + body + XMP_TAIL).encode()).values == {SOURCE_TYPE: TRAINED}


def test_source_types_of_other_programs_count():
    packet = XMP_HEAD + f'<rdf:Description {IPTC} Iptc4xmpExt:DigitalSourceType="{{}}"/>' + XMP_TAIL
    for value, synthetic in {
        TRAINED.replace("http:", "https:"): True,
        TRAINED.replace("trainedAlgorithmicMedia", "compositeSynthetic"): True,
        TRAINED.replace("trainedAlgorithmicMedia", "digitalCapture"): False,
    }.items():
        found = read_tags(saved("webp", None, xmp=packet.format(value).encode()))
        assert (found.digital_source_type, found.says_synthetic, found.tags) == (value, synthetic, None)


def test_entities_are_refused_and_cannot_grow():
    levels = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    bomb = (
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{levels}]>'
        + XMP_HEAD
        + f'<rdf:Description {IPTC} Iptc4xmpExt:DigitalSourceType="&l9;"/>'
        + XMP_TAIL
    )
    outside = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>'
    for packet in (bomb, outside, "<!DOCTYPE x><x/>"):
        found = read_xmp(packet.encode())
        assert found.values == {}
        assert "document type" in found.problem


def test_nesting_length_and_breaks_of_a_packet_are_problems_not_errors():
    assert "nested deeper" in read_xmp(b"<a>" * 5000).problem
    assert "longer than" in read_xmp(b" " * (3 << 20)).problem
    assert read_xmp(b"\xff\xfe\x00").problem
    whole = xmp_packet(TAGS)
    cut = read_xmp(whole[: whole.index(b"<dc:rights")])
    assert cut.values[SOURCE_TYPE] == TRAINED
    assert "damaged" in cut.problem


def test_a_compressed_text_that_grows_without_end_is_not_unpacked():
    plain = saved("png", None)
    bomb = b"synthderm\0\0" + zlib.compress(bytes(64 << 20))
    found = read_tags(plain[:33] + encode_chunk(b"zTXt", bomb) + plain[33:])
    assert found.tags is None
    assert any("more than 2 MiB" in problem for problem in found.problems)


def test_a_chunk_that_claims_two_gigabytes_is_not_read():
    found = read_tags(saved("png", None)[:33] + struct.pack(">I", 2**31 - 1) + b"iTXt" + b"x" * 40)
    assert any("longer than 4 MiB" in problem for problem in found.problems)


def test_exif_of_the_other_byte_order_and_unicode_comments():
    comment = b"UNICODE\0" + TAGS.to_json().encode("utf-16-be")
    head = b"MM\0*" + struct.pack(">IH", 8, 1) + struct.pack(">HHII", 0x8769, 4, 1, 26) + bytes(4)
    inner = struct.pack(">H", 1) + struct.pack(">HHII", 0x9286, 7, len(comment), 44) + bytes(4)
    assert read_exif(head + inner + comment).tags() == TAGS


def test_truncated_exif_says_so_and_keeps_what_is_whole():
    block = exif_block(TAGS)
    cut = read_exif(block[:-40])
    assert "outside the block" in cut.problem
    assert cut.text(0x0131) == "synthderm 0.1.0"
    assert cut.tags() is None
    for length in range(len(block)):
        read_exif(block[:length])


def test_a_directory_that_points_at_itself_ends():
    loop = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<I", 8)
    assert read_exif(loop).values == {}


@pytest.mark.parametrize("image_format", PILLOW)
def test_no_cut_or_flipped_byte_of_a_file_raises(image_format):
    data = saved(image_format)
    for length in range(0, len(data), 7):
        read_tags(data[:length])
    rng = random.Random(5)
    for _ in range(300):
        broken = bytearray(data)
        for _ in range(rng.randint(1, 20)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        found = read_tags(bytes(broken))
        assert all(problem.isprintable() and len(problem) <= 200 for problem in found.problems)


def test_contradictions_between_carriers_are_said():
    other = Tags("simulator", "2", ALGORITHMIC)
    arguments = {**save_arguments(TAGS, "jpg"), "xmp": xmp_packet(other)}
    buffer = io.BytesIO()
    picture().save(buffer, format="JPEG", **arguments)
    found = read_tags(buffer)
    assert "the carriers hold different records" in found.problems
    assert "the carriers name different digital source types" in found.problems


@pytest.mark.parametrize(
    "record",
    [
        '{"synthderm_tags":1,"generator":"\\u001b[31m","generator_version":"1","digital_source_type":"x"}',
        '{"synthderm_tags":1,"generator":"flow"}',
        '{"synthderm_tags":99}',
        '{"synthderm_tags":1,' + '"a":' + "[" * 3000,
        '{"synthderm_tags":1,"x":"' + "y" * 9000 + '"}',
        TAGS.to_json().replace(str(TAGS.seed), "-1"),
        TAGS.to_json().replace(str(TAGS.seed), "true"),
    ],
    ids=["control signs", "incomplete", "later version", "deep", "long", "negative seed", "boolean seed"],
)
def test_records_that_do_not_fit_are_named_and_not_taken(record):
    plain = saved("png", None)
    found = read_tags(plain[:33] + encode_chunk(b"tEXt", b"synthderm\0" + record.encode()) + plain[33:])
    assert found.tags is None
    assert found.carriers == ()
    assert found.problems[0].startswith("png_text: ")


def test_a_record_refuses_what_it_cannot_hold():
    with pytest.raises(InputError, match="generator must be printable text"):
        Tags("flow\n", "1", TRAINED)
    with pytest.raises(InputError, match="run must be a whole number"):
        Tags("flow", "1", TRAINED, run=2**32)
    with pytest.raises(InputError, match="digital_source_type must be one of"):
        Tags("flow", "1", "trained")
    with pytest.raises(InputError, match="unknown format 'gif'"):
        save_arguments(TAGS, "gif")


def test_source_types_of_the_generators():
    assert source_type_of("simulator") == ALGORITHMIC
    assert source_type_of("flow") == TRAINED
    assert source_type_of("tone").endswith("compositeWithTrainedAlgorithmicMedia")


def test_files_and_missing_files(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(saved("png"))
    assert read_tags(path) == read_tags(str(path)) == read_tags(path.read_bytes())
    with pytest.raises(InputError, match="missing or no regular file"):
        read_tags(tmp_path / "b.png")


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + bytes(17) + struct.pack(">I", 4) + b"caBX" + bytes(8),
        b"\xff\xd8\xff\xeb" + struct.pack(">H", 60) + b"JP\0\1" + bytes(20) + b"jumdc2pa" + bytes(26) + b"\xff\xd9",
        b"RIFF" + bytes(4) + b"WEBP" + b"C2PA" + struct.pack("<I", 4) + bytes(4),
    ],
    ids=["png", "jpeg", "webp"],
)
def test_content_credentials_are_noticed(data):
    assert find_blocks(io.BytesIO(data)).has_credentials
