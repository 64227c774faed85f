"""Verifies webhooks with the published library of Standard Webhooks, as any receiver does.

Reads a JSON list from standard input: key, headers and body of each. Prints how many are genuine, and ends badly if one is not, or
if one passes whose body was changed.
"""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

received = json.load(sys.stdin)
for message in received:
    webhook = Webhook(message["key"])
    webhook.verify(message["body"], message["headers"])
    try:
        webhook.verify(message["body"] + " ", message["headers"])
    except WebhookVerificationError:
        continue
    sys.exit(f"a changed body passes: {message}")
print(len(received))
