"""Media: files and bytes made usable.

Owns how a document, an image or any other file is found (`fetch`), kept (`store`), checked
and read (`images`, `documents`, `streams`) and cut (`chunking`). Must not know tables, plans or
backends; these modules do not know Ibis either.
"""
