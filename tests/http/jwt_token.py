#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""JSON Web Tokens and sets of keys, made by openssl(1).

jwt_token.py sign ALG KEY [KID] CLAIMS [HEADER]   a token: claims, and more of its header, as JSON
jwt_token.py jwks KID=KEY...                      the public halves as a set of RFC 7517; KEY: PEM,
                                              or a file of random bytes that is a secret
"""
import base64
import hashlib
import hmac
import json
import re
import subprocess
import sys


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def openssl(*args, data=b""):
    return subprocess.run(["openssl", *args], input=data, capture_output=True, check=True).stdout


def raw(der):
    """ECDSA's r and s of 32 bytes each, from DER."""
    at, parts = 2, []
    for _ in range(2):
        n = der[at + 1]
        parts.append(der[at + 2:at + 2 + n].lstrip(b"\0").rjust(32, b"\0"))
        at += 2 + n
    return b"".join(parts)


def sign(alg, key, data):
    if alg == "none":
        return b""
    if alg.startswith("HS"):
        return hmac.new(open(key, "rb").read(), data, hashlib.sha256).digest()
    if alg == "EdDSA":
        with open(key + ".data", "wb") as f:
            f.write(data)
        return openssl("pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", key + ".data")
    signature = openssl("dgst", "-sha" + alg[2:], "-sign", key, data=data)
    return raw(signature) if alg == "ES256" else signature


def token(alg, key, kid, claims, more):
    header = {"typ": "JWT", "alg": alg, **({"kid": kid} if kid else {}), **more}
    data = f"{b64(json.dumps(header).encode())}.{b64(claims.encode())}"
    return f"{data}.{b64(sign(alg, key, data.encode()))}"


def jwk(kid, key):
    data = open(key, "rb").read()
    if b"PRIVATE KEY" not in data:
        return {"kty": "oct", "kid": kid, "k": b64(data)}
    text = openssl("pkey", "-in", key, "-noout", "-text_pub").decode()
    pub = bytes.fromhex("".join(re.findall(r"^ {4,}([0-9a-f:]+)$", text, re.M)).replace(":", ""))
    if "ED25519" in text:
        return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(pub)}
    if "prime256v1" in text:
        return {"kty": "EC", "crv": "P-256", "kid": kid, "x": b64(pub[1:33]), "y": b64(pub[33:])}
    return {"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": b64(pub.lstrip(b"\0")), "e": "AQAB"}


def main():
    what, args = sys.argv[1], sys.argv[2:]
    if what == "jwks":
        print(json.dumps({"keys": [jwk(*a.split("=", 1)) for a in args]}))
        return
    alg, key, kid, claims = args[:4]
    print(token(alg, key, kid, claims, json.loads(args[4]) if len(args) > 4 else {}))


main()
