from __future__ import annotations

import pytest

from kindred.images.formats import sniff
from kindred.images.reasons import Refused


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG"),
        (b"GIF89a\1\0\1\0", "GIF"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"MM\0+\0\x08\0\0", "TIFF"),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "BMP"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B", "AVIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\xff\x0a\xff\xff", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"IIRO\x08\0\0\0", "RAW"),
        (b"IIU\0\x18\0\0\0", "RAW"),
        (b"FUJIFILMCCD-RAW 0201", "RAW"),
        (b"FOVb\1\0", "RAW"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "RAW"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafheix", "HEIC"),
    ],
)
def test_formats_are_detected_by_their_first_bytes(head: bytes, name: str) -> None:
    assert sniff(head) == name


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "empty file"),
        (b"hello, I am a text", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"BM is how this text begins", "not an image"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "not an image"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp41isom", "not an image"),
        (bytes(64), "not an image"),
        (b"%PDF-1.7", "unsupported format: PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "unsupported format: PostScript"),
        (b"8BPS\0\1", "unsupported format: Photoshop"),
        (b"\0\0\1\0\1\0\x10\x10", "unsupported format: icon"),
        (b"\0\0\0\x0cjP  \r\n", "unsupported format: JPEG 2000"),
    ],
)
def test_other_formats_are_refused_with_a_reason(head: bytes, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        sniff(head)
    assert caught.value.reason == reason
