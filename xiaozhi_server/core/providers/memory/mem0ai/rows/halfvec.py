"""Vectors in half precision between numpy and pgvector, in pgvector's binary form: exact, and far cheaper than text."""

import struct

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

from ..embedding.embed import Vectors

Halves = npt.NDArray[np.int16]  # the bits of half-precision numbers, as the machine orders them

_HEAD = struct.Struct(">HH")  # the number of dimensions, and a field without use
_HEAD_HALVES = _HEAD.size // 2
# A half's exponent and fraction, moved to where a float has them, are that half's value divided by 2 to the power of
# 112. In numpy this takes a quarter of the time of its own conversion.
_MOVED = 13
_KEPT_BITS = np.int32(-0x70000001)  # 0x8fffffff: without the copies of the sign
_SCALE = np.float32(2.0**112)
_CHUNK_ROWS = 256  # so that the intermediate result stays in the processor's cache


class HalfVector:
    """A vector as a parameter of a statement."""

    __slots__ = ("binary",)

    def __init__(self, vector: Vectors) -> None:
        self.binary = _HEAD.pack(len(vector), 0) + vector.astype(">f2").tobytes()


class _HalfVectorDumper(Dumper):
    # No oid: PostgreSQL takes the type from where the parameter stands, and it differs between databases.
    format = Format.BINARY

    def dump(self, obj: HalfVector) -> bytes:
        return obj.binary


psycopg.adapters.register_dumper(HalfVector, _HalfVectorDumper)


def rounded(vector: Vectors) -> Vectors:
    """The vector as the database would keep it."""
    return vector.astype(np.float16).astype(np.float32)


def no_vector(dimensions: int) -> bytes:
    """What stands in binary form for a vector that is not there."""
    return _HEAD.pack(dimensions, 0) + bytes(2 * dimensions)


def halves_of(binaries: bytes, dimensions: int) -> Halves:
    """Vectors that stand one behind the other in binary form, one row each."""
    sent = np.frombuffer(binaries, ">i2").reshape(-1, _HEAD_HALVES + dimensions)
    return sent[:, _HEAD_HALVES:].astype(np.int16)


def dot(halves: Halves, vector: Vectors) -> Vectors:
    """The product of each row with a vector."""
    scaled = vector * _SCALE
    products = np.empty(len(halves), np.float32)
    moved = np.empty((min(len(halves), _CHUNK_ROWS), halves.shape[1]), np.int32)
    for start in range(0, len(halves), _CHUNK_ROWS):
        chunk = halves[start : start + _CHUNK_ROWS]
        part = moved[: len(chunk)]
        part[:] = chunk
        part <<= _MOVED
        part &= _KEPT_BITS
        np.dot(part.view(np.float32), scaled, out=products[start : start + _CHUNK_ROWS])
    return products


def inverse_norms(halves: Halves) -> Vectors:
    """What a product is multiplied with to be a cosine; NaN for a row of zeros, which has no direction."""
    norms = np.empty(len(halves), np.float32)
    for start in range(0, len(halves), _CHUNK_ROWS):
        chunk = halves[start : start + _CHUNK_ROWS].view(np.float16).astype(np.float32)
        norms[start : start + _CHUNK_ROWS] = np.sqrt(np.einsum("ij,ij->i", chunk, chunk))
    norms[norms == 0] = np.nan
    return np.reciprocal(norms)
