"""The ID service over gRPC: `ids.proto`, what answers its calls, and the server in each worker process.

`calls.py` knows no server: messages and metadata in, messages or a `Refusal` out. `server.py` is the shell.
"""

import os

# gRPC's Python server has no setting for the lowest TLS version. Its list of cipher suites counts for TLS 1.2
# alone, so it is given one that needs a pre-shared key, which nobody has: a handshake of TLS 1.2 finds no
# common suite, and TLS 1.3 has its own. gRPC reads the variable when it is first imported, so it is set here;
# at each start with TLS the server makes sure that it works (`tls.refuses_tls_1_2`).
os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-PSK-AES128-CBC-SHA"
