"""The child process of the sphinx recogniser: sound in, words out, over its standard streams. Run as a script."""

import struct
import sys
from typing import BinaryIO

from pocketsphinx import Decoder

LENGTH = struct.Struct(">I")


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    decoder = Decoder(samprate=16_000, loglevel="FATAL")
    while len(head := requests.read(LENGTH.size)) == LENGTH.size:
        sound = requests.read(*LENGTH.unpack(head))
        text = recognise(decoder, sound).encode()
        answers.write(LENGTH.pack(len(text)) + text)
        answers.flush()


def recognise(decoder: Decoder, sound: bytes) -> str:
    decoder.start_utt()
    decoder.process_raw(sound, full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return found.hypstr if found else ""


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
