"""Media: files and bytes made usable, and the column methods that ask for it.

Owns how a document, an image or any other file is found (`fetch`), kept (`store`), checked
and read (`images`, `documents`) and cut (`chunking`), and in `values` the methods of media
columns. Must not know tables, plans or backends; apart from `values` these modules do not
know Ibis either.
"""
