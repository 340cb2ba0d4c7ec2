"""Exchange: export of vectors to files for other programs, and import of vectors computed elsewhere.

`FORMATS` is the table of file formats, by extension; a new format is a reader, a writer and an entry.
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
