"""A twin of the course's chats, for tests to drive.

    twin.py udpchat PORT [IP:PORT ...]
    twin.py tcpchat [-prefix N] server PORT
    twin.py tcpchat [-prefix N] client IP:PORT

It listens on 127.0.0.1; PORT 0 is any free one. As a TCP server it serves one
client after the other.

Orders come on standard input, one JSON object a line. The end of the input is
the order "close".

    {"do": "say", "sender": NAME, "text": TEXT}   a chat message, to all peers
        "slowly": true    TCP: one byte at a time
        "to": "IP:PORT"   UDP: to this endpoint only, a peer or not
    {"do": "send", "hex": BYTES}                  any payload, also an empty one;
                                                  "slowly" and "to" as above
    {"do": "leave", "sender": NAME}               UDP: says goodbye, but goes on
                                                  listening
    {"do": "close"}                               ends politely

What happens is told on standard output, one JSON object a line.

    {"event": "bound", "port": PORT}
    {"event": "connect", "peer": "IP:PORT"}       TCP
    {"event": "message", "peer": "IP:PORT", "time": ISO, "sender": NAME, "text": TEXT}
    {"event": "leave", ...}                       UDP: a message that says goodbye;
                                                  its sender is no peer any more
    {"event": "payload", "peer": "IP:PORT", "hex": BYTES}
                                                  what is not a chat message
    {"event": "end", "peer": "IP:PORT"}           TCP: the stream ended after a
                                                  whole message
    {"event": "error", "reason": TEXT}
"""

import datetime
import json
import os
import re
import socket
import sys
import threading
import time

GOODBYE = "<LEAVES THE CHAT>"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?"
CHAT_MESSAGE = re.compile(r"\[(" + TIME + r")\] ([^\n]*?):\n\t(.*)", re.DOTALL)
BYTE_PAUSE = 0.002  # seconds: long enough for each byte to arrive alone
CLOSE_PATIENCE = 10  # seconds

telling = threading.Lock()


def tell(event, **details):
    with telling:
        print(json.dumps({"event": event, **details}), flush=True)


def endpoint(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def spelled(address):
    return f"{address[0]}:{address[1]}"


def chat_message(sender, text):
    return f"[{datetime.datetime.now().isoformat()}] {sender}:\n\t{text}".encode()


def described(payload):
    """The event that a payload is, and its details."""
    try:
        time_text, sender, text = CHAT_MESSAGE.fullmatch(payload.decode()).groups()
        moment = datetime.datetime.fromisoformat(time_text)
    except (AttributeError, ValueError):
        return "payload", {"hex": payload.hex()}
    return "message", {"time": moment.isoformat(), "sender": sender, "text": text}


class UDPChat:
    def __init__(self, port, *peers):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", int(port)))
        self.guard = threading.Lock()  # of peers
        self.peers = {endpoint(peer) for peer in peers}
        tell("bound", port=self.socket.getsockname()[1])
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                payload, peer = self.socket.recvfrom(1 << 16)
            except ConnectionResetError:  # Windows: an earlier datagram found nobody
                continue
            except OSError:
                return
            event, details = described(payload)
            goodbye = event == "message" and details["text"] == GOODBYE
            with self.guard:
                if goodbye:
                    self.peers.discard(peer)
                else:
                    self.peers.add(peer)
            tell("leave" if goodbye else event, peer=spelled(peer), **details)

    def send(self, payload, to=None, slowly=False):
        if slowly:
            raise ValueError("a datagram has only one speed")
        with self.guard:
            peers = [endpoint(to)] if to else sorted(self.peers)
        for peer in peers:
            self.socket.sendto(payload, peer)

    def close(self):
        self.socket.close()


class TCPChat:
    def __init__(self, mode, where, prefix):
        self.prefix = prefix
        self.stream = None
        self.over = threading.Event()  # set while there is no stream
        self.over.set()
        if mode == "server":
            listener = socket.create_server(("127.0.0.1", int(where)))
            tell("bound", port=listener.getsockname()[1])
            serve, argument = self.accept, listener
        elif mode == "client":
            serve, argument = self.listen, socket.create_connection(endpoint(where))
        else:
            sys.exit(__doc__)
        threading.Thread(target=serve, args=[argument], daemon=True).start()

    def accept(self, listener):
        while True:
            stream, _ = listener.accept()
            self.listen(stream)

    def listen(self, stream):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = spelled(stream.getpeername())
        self.stream = stream
        self.over.clear()
        tell("connect", peer=peer)
        try:
            while (header := self.receive(self.prefix, may_end=True)) is not None:
                payload = self.receive(int.from_bytes(header, "big"))
                event, details = described(payload)
                tell(event, peer=peer, **details)
            tell("end", peer=peer)
        except OSError as error:
            tell("error", reason=str(error))
        finally:
            stream.close()
            self.over.set()

    def receive(self, size, may_end=False):
        """Exactly size bytes, or None if the stream ends where it may."""
        arrived = b""
        while len(arrived) < size:
            part = self.stream.recv(min(size - len(arrived), 1 << 16))
            if not part:
                if may_end and not arrived:
                    return None
                raise OSError(f"the stream ended after {len(arrived)} of {size} bytes")
            arrived += part
        return arrived

    def send(self, payload, slowly=False):
        frame = len(payload).to_bytes(self.prefix, "big") + payload
        if not slowly:
            self.stream.sendall(frame)
            return
        for byte in frame:
            self.stream.sendall(bytes([byte]))
            time.sleep(BYTE_PAUSE)

    def close(self):
        if not self.over.is_set():
            self.stream.shutdown(socket.SHUT_WR)
            self.over.wait(CLOSE_PATIENCE)


def obey(chat, order):
    """Does what the order says, and reports whether there may be another one."""
    do = order.pop("do")
    if do == "say":
        chat.send(chat_message(order.pop("sender"), order.pop("text")), **order)
    elif do == "send":
        chat.send(bytes.fromhex(order.pop("hex")), **order)
    elif do == "leave":
        chat.send(chat_message(order.pop("sender"), GOODBYE), **order)
    elif do == "close":
        return False
    else:
        raise ValueError(f"what is {do!r}?")
    return True


def main(scenario, *arguments):
    prefix = 4
    if arguments[:1] == ("-prefix",):
        prefix, arguments = int(arguments[1]), arguments[2:]
    if scenario == "udpchat":
        chat = UDPChat(*arguments)
    elif scenario == "tcpchat":
        chat = TCPChat(*arguments, prefix=prefix)
    else:
        sys.exit(__doc__)
    for line in sys.stdin.buffer:
        try:
            if not obey(chat, json.loads(line)):
                break
        except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
            tell("error", reason=f"{type(error).__name__}: {error}")
    try:
        chat.close()
    except OSError:
        pass  # the stream ended meanwhile
    with telling:
        os._exit(0)  # without waiting for the threads that listen


if __name__ == "__main__":
    main(*sys.argv[1:])
