"""Exchange: descriptors out of a library into files that other programs read, and vectors made elsewhere into one.

`FORMATS` is the table of file formats, by extension: a new one is a reader, a writer and a line.
"""

from kindred.exchange.formats import FORMATS, Format
from kindred.exchange.rows import ExchangeRecord, VectorRows
from kindred.exchange.vectors_in import ImportReport, import_vectors
from kindred.exchange.vectors_out import export_vectors

__all__ = [
    "FORMATS",
    "ExchangeRecord",
    "Format",
    "ImportReport",
    "VectorRows",
    "export_vectors",
    "import_vectors",
]
