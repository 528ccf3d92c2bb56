"""Compares the alerts of the demo with those it must raise: rule, severity, number of events, summary."""

import json
import sys


def main() -> int:
    got_path, expected_path = sys.argv[1:3]
    with open(got_path, encoding="utf-8") as file:
        alerts = [json.loads(line) for line in file]
    got = [f'{a["rule_id"]} {a["severity"]} {a["event_count"]} {a["summary"]}' for a in alerts]
    with open(expected_path, encoding="utf-8") as file:
        expected = file.read().splitlines()
    for line in sorted(set(expected) - set(got)):
        print(f"missing:    {line}")
    for line in sorted(set(got) - set(expected)):
        print(f"unexpected: {line}")
    if sorted(got) != sorted(expected):
        print(f"the demo raised {len(got)} alerts, not the {len(expected)} of {expected_path}")
        return 1
    print(f"the demo raised the {len(expected)} alerts expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
