"""Reads the reports of the Autobahn test suite, for scripts/autobahn.sh. Runs in Python 2.7, like the suite.

  autobahn.py condense INDEX OUT              writes the index of a report, one line per case: its behaviour
  autobahn.py compare NAME RESULTS EXPECTED   exit status 1 if a case differs or failed
"""
from __future__ import print_function

import collections
import json
import sys


def number(case):
    return [int(part) for part in case.split(".")]


def load(path):
    with open(path) as file:
        return json.load(file)


def behaviour(result):
    """Returns the verdicts on messages and on the closing handshake, as one word if they agree."""
    words = [result["behavior"], result["behaviorClose"]]
    return words[0] if words[0] == words[1] else ", closing ".join(words)


def condense(index, out):
    (results,) = load(index).values()
    lines = ['"%s": "%s"' % (case, behaviour(results[case])) for case in sorted(results, key=number)]
    with open(out, "w") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


def compare(name, results, expected):
    results, expected = load(results), load(expected)
    if not results:
        sys.exit(name + ": no case ran")
    counts = collections.Counter(results.values()).most_common()
    print("%s: %d cases: %s" % (name, len(results), ", ".join("%d %s" % (n, word) for word, n in counts)))
    failed = False
    for case in sorted(results, key=number):
        got, wanted = results[case], expected.get(case, "no expected result")
        if got != wanted or "FAILED" in got:
            failed = True
            print("  %s is %s, expected: %s" % (case, got, wanted))
    sys.exit(failed)


if __name__ == "__main__":
    {"condense": condense, "compare": compare}[sys.argv[1]](*sys.argv[2:])
