"""Duplicates: groups of images with the same bytes, the same picture, the same shot, or similar descriptors."""

from kindred.duplicates.companions import companions
from kindred.duplicates.copies import search_without_copies, without_copies
from kindred.duplicates.find import default_threshold, find_duplicates, find_links
from kindred.duplicates.found import Found, grouped
from kindred.duplicates.groups import KINDS, DuplicateGroup, Kind, Member
from kindred.duplicates.keeping import COPIES, KEEP_RULES, check_rules, kept
from kindred.duplicates.listing import csv_of, write_csv

__all__ = [
    "COPIES",
    "KEEP_RULES",
    "KINDS",
    "DuplicateGroup",
    "Found",
    "Kind",
    "Member",
    "check_rules",
    "companions",
    "csv_of",
    "default_threshold",
    "find_duplicates",
    "find_links",
    "grouped",
    "kept",
    "search_without_copies",
    "without_copies",
    "write_csv",
]
