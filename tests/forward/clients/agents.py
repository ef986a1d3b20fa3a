"""Mocked agents: the APIs of OpenAI and Anthropic, and an AgentCore runtime."""

import http.server
import json
import ssl
import threading
import time

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS_KEY, SECRET_KEY, REGION = "AKIAFORWARDER", "forwarder-secret", "eu-west-1"


def completion(text):
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
    }


def chunks(texts):
    for text in texts:
        yield {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "gpt-4o-mini",
            "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
        }
    yield {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
    }


MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-6",
    "content": [{"type": "text", "text": "three trades"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 25, "output_tokens": 15},
}
EVENTS = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None, "usage": {"input_tokens": 25, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "three "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "trades"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 15}},
    {"type": "message_stop"},
]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_POST(self):
        if "chunked" in self.headers.get("transfer-encoding", ""):
            self.body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                self.body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.requests.append((self.path, dict(self.headers)))
        try:
            self.answer()
        except (BrokenPipeError, ConnectionResetError):
            self.server.left.append(self.path)
            self.close_connection = True

    def json(self, body, status=200):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin_stream(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def chunk(self, text):
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def is_overloaded(self):
        """Whether this is the first or the second call of a kind of client."""
        failures, client = self.server.failures, (self.path, self.headers["user-agent"])
        failures[client] = failures.get(client, 0) + 1
        return failures[client] <= 2

    def endless(self, text):
        self.begin_stream()
        while True:
            self.chunk(text)
            time.sleep(0.01)

    def answer(self):
        if self.path.startswith("/runtimes/"):
            return self.runtime()
        request = json.loads(self.body)
        model = request["model"]
        if model == "flaky" and self.is_overloaded():
            return self.json({"error": {"message": "overloaded", "type": "server_error"}}, 503)
        if model == "unknown":
            return self.json({"error": {"message": "no such model", "type": "invalid_request_error"}}, 404)
        if not request.get("stream"):
            return self.json(MESSAGE if self.path.endswith("/messages") else completion("three trades"))
        if model == "endless" and self.path.endswith("/messages"):
            self.endless(f"event: {EVENTS[0]['type']}\ndata: {json.dumps(EVENTS[0])}\n\n")
        if model == "endless":
            self.endless(f"data: {json.dumps(next(chunks(['x'])))}\n\n")
        self.begin_stream()
        if self.path.endswith("/messages"):
            for event in EVENTS:
                self.chunk(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n")
        else:
            for chunk in chunks(["three ", "trades"]):
                self.chunk(f"data: {json.dumps(chunk)}\n\n")
            self.chunk("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def runtime(self):
        if not self.is_signed():
            return self.json({"message": "The request signature does not match"}, 403)
        request = json.loads(self.body)
        if "flaky" in request and self.is_overloaded():
            return self.json({"message": "overloaded"}, 503)
        if "endless" in request:
            self.endless('data: {"event": "working"}\n\n')
        if "stream" in request:
            self.begin_stream()
            self.chunk('data: {"event": "working"}\n\n')
            self.chunk('data: {"result": "ok", "usage": {"input_tokens": 7, "output_tokens": 2}}\n\n')
            return self.wfile.write(b"0\r\n\r\n")
        return self.json({"success": True, "token_usage": {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}})

    def is_signed(self):
        """Computes the signature again, with the code of another SDK."""
        given = self.headers.get("authorization", "")
        if f"Credential={ACCESS_KEY}/" not in given or f"/{REGION}/bedrock-agentcore/aws4_request" not in given:
            return False
        names = given.split("SignedHeaders=")[1].split(",")[0].split(";")
        headers = {name: self.headers[name] for name in names}
        if "host" not in headers or headers["host"] != self.headers["host"]:
            return False
        request = AWSRequest("POST", f"http://{self.headers['host']}{self.path}", headers=headers, data=self.body)
        request.context["timestamp"] = self.headers["x-amz-date"]
        auth = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "bedrock-agentcore", REGION)
        text = auth.string_to_sign(request, auth.canonical_request(request))
        return given.endswith(f"Signature={auth.signature(text, request)}")


def start(certificate=None):
    """Serves on a free port until the process ends, over TLS if there is a certificate."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    server.requests, server.left, server.failures = [], [], {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
