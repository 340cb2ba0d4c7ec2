"""Duplicates: groups of images with the same bytes, the same picture, the same shot, or similar descriptors."""

from kindred.duplicates.companions import Companions
from kindred.duplicates.copies import not_same_paths, search_without_copies, without_copies
from kindred.duplicates.find import default_threshold, find_duplicates, find_links
from kindred.duplicates.found import Found, grouped
from kindred.duplicates.groups import KINDS, DuplicateGroup, Kind, Member
from kindred.duplicates.keeping import COPIES, KEEP_RULES, check_rules, kept
from kindred.duplicates.listing import csv_of, write_csv
from kindred.duplicates.review import Listing, Review, key_of

__all__ = [
    "COPIES",
    "KEEP_RULES",
    "KINDS",
    "Companions",
    "DuplicateGroup",
    "Found",
    "Kind",
    "Listing",
    "Member",
    "Review",
    "check_rules",
    "csv_of",
    "default_threshold",
    "find_duplicates",
    "find_links",
    "grouped",
    "kept",
    "key_of",
    "not_same_paths",
    "search_without_copies",
    "without_copies",
    "write_csv",
]
