"""Image files: find them in folders, decode them to upright sRGB, resize and crop.

Outside this package, images are uint8 (H, W, 3) RGB arrays; an unusable file raises `ImageError`.
"""

from kindred.images.decode import Decoded, ImageLike, decode
from kindred.images.find import EXTENSIONS, Found, ImageScan, LeftOut, find_images
from kindred.images.given import as_image
from kindred.images.remote import allow_remote
from kindred.images.resize import crop, resize, stretch, thumbnail_jpeg

__all__ = [
    "EXTENSIONS",
    "Decoded",
    "Found",
    "ImageLike",
    "ImageScan",
    "LeftOut",
    "allow_remote",
    "as_image",
    "crop",
    "decode",
    "find_images",
    "resize",
    "stretch",
    "thumbnail_jpeg",
]
