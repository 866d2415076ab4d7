"""A form with a file, as the standard library's reader of mail sees it."""

from email import message_from_bytes
from email.policy import HTTP

from xiaozhi_server.core.providers.form import FormFile, encode_form

SOUND = bytes(range(256)) + b"\r\n--\r\n\r\n--x--\r\n" + bytes(range(255, -1, -1))


def test_fields_and_file_come_back_as_they_were() -> None:
    fields = {"model": 'm/模型 "2"', "language": "zh", "empty": ""}
    content_type, body = encode_form(fields, FormFile("file", "utterance.wav", "audio/wav", SOUND))
    message = message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body, policy=HTTP)
    assert message.get_content_type() == "multipart/form-data"
    *plain, file = message.iter_parts()
    read = {part.get_param("name", header="Content-Disposition"): part.get_payload(decode=True) for part in plain}
    assert read == {name: value.encode() for name, value in fields.items()}
    assert file["Content-Disposition"] == 'form-data; name="file"; filename="utterance.wav"'
    assert file.get_content_type() == "audio/wav"
    assert file.get_payload(decode=True) == SOUND


def test_the_boundary_is_new_each_time_so_that_nobody_can_put_it_into_a_value() -> None:
    empty = FormFile("file", "f", "text/plain", b"")
    assert encode_form({}, empty)[0] != encode_form({}, empty)[0]
