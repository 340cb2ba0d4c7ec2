"""Duplicates: groups of images with the same bytes, the same picture, the same shot, or similar descriptors."""

from kindred.duplicates.copies import search_without_copies, without_copies
from kindred.duplicates.find import default_threshold, find_duplicates
from kindred.duplicates.groups import KINDS, DuplicateGroup, Kind, Member

__all__ = [
    "KINDS",
    "DuplicateGroup",
    "Kind",
    "Member",
    "default_threshold",
    "find_duplicates",
    "search_without_copies",
    "without_copies",
]
