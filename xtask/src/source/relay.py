"""relay.py SOCKET PROGRAM ARGUMENT...

Runs PROGRAM where there is no network: whoever connects to 127.0.0.1:3128 meanwhile talks to
the Unix socket, behind which xtask answers from the vault. Exits as PROGRAM does.
"""

import socket
import subprocess
import sys
import threading


def pump(source, sink):
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the other side hung up: that is its affair


def serve(client, path):
    with client, socket.socket(socket.AF_UNIX) as gateway:
        gateway.connect(path)
        there = threading.Thread(target=pump, args=(client, gateway), daemon=True)
        there.start()
        pump(gateway, client)
        there.join()


def accept(listener, path):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, path), daemon=True).start()


listener = socket.create_server(("127.0.0.1", 3128), backlog=64)
threading.Thread(target=accept, args=(listener, sys.argv[1]), daemon=True).start()
code = subprocess.call(sys.argv[2:])
sys.exit(code if code >= 0 else 128 - code)
