"""The gRPC services that clients call, as the contract names them: what is asked becomes a broker's subscription.

Promise: raw bytes in and out; whatever is wrong with a request is answered with the status that the contract names.
Open first: `events_v0.py`, then `streams_v1.py` (ten methods of one shape) and `sms_v0.py` (what is sent appears).
May import: the sandbox's broker and what is below it; never web.
"""
