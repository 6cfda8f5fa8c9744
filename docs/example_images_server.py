"""The smallest service for SynthReview's `http` generator; docs/generators-http.md tells more."""

import base64
import io
import json
import random
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from PIL import Image

ABLE = {"contract": 1, "title": "Example", "able": ["text", "variation"], "sizes_px": [256, 512]}
DONE: dict[str, bytes] = {}  # answers by key: asked again, the work is not done twice


def draw(asked: dict, seed: int) -> Image.Image:  # put your own model here
    colour = random.Random(f"{asked['prompt']}/{seed}").randbytes(3)
    image = Image.new("RGB", (asked["size_px"], asked["size_px"]), tuple(colour))
    for source in asked["images"]:  # a variation: half of what came
        given = Image.open(io.BytesIO(base64.b64decode(source))).convert("RGB")
        image = Image.blend(image, given.resize(image.size), 0.5)
    return image


def as_json(image: Image.Image, seed: int) -> dict:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"data": base64.b64encode(buffer.getvalue()).decode(), "seed": seed}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(200, json.dumps(ABLE).encode())

    def do_POST(self) -> None:  # one at a time, so that no key is worked on twice
        key = self.headers.get("Idempotency-Key", "")
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked["capability"] not in ABLE["able"] or asked["size_px"] not in ABLE["sizes_px"]:
            error = {"kind": "wrong", "message": f"I can do {ABLE['able']} at {ABLE['sizes_px']}"}
            self.answer(400, json.dumps({"error": error}).encode())
            return
        if key not in DONE:
            first = random.randrange(2**31) if asked["seed"] is None else asked["seed"]
            images = [as_json(draw(asked, first + n), first + n) for n in range(asked["count"])]
            DONE[key] = json.dumps({"images": images, "model": "flat", "cost_usd": "0"}).encode()
        self.answer(200, DONE[key])

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 8090), Handler)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
