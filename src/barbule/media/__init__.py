"""Media: files of images, audio, videos and documents.

Owns how a file is downloaded (`fetch`), stored (`store`), checked and read (`images`, `documents`,
`streams`) and split into chunks (`chunking`). Must not know tables, plans or backends; these
modules do not know Ibis either.
"""
