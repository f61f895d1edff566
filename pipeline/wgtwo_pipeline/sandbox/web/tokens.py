"""The OAuth token endpoint: POST /oauth2/token, client credentials, plain HTTP."""

from urllib.parse import parse_qsl

from wgtwo_pipeline.sandbox.broker.core import Core
from wgtwo_pipeline.web import Answer, Request, json_answer


def answer_token_request(core: Core, request: Request) -> Answer:
    """Answers as RFC 6749 has it, or fails where a fault wants that."""
    if request.path != "/oauth2/token":
        return json_answer({"error": "the token endpoint is /oauth2/token"}, 404)
    if request.method != "POST":
        return json_answer({"error": "invalid_request", "error_description": "use POST"}, 405)
    core.counts["token_requests"] += 1
    if core.faults.fail_tokens < 0 or core.counts["token_requests"] <= core.faults.fail_tokens:
        core.counts["fail_tokens"] += 1
        return json_answer({"error": "temporarily_unavailable"}, 503)
    form = dict(parse_qsl(request.body.decode("ascii", "replace")))
    status, body = core.authority.token_answer(request.headers.get("authorization", ""), form)
    answer = json_answer(body, status)
    if status == 401:
        return Answer(answer.body, status, headers=(("www-authenticate", 'Basic realm="wgtwo-sandbox"'),))
    return answer
