"""Reads the reports of the Autobahn test suite, for scripts/autobahn.sh. It runs in Python 2.7, as the suite does.

  autobahn.py condense INDEX OUT              writes a report's index as case -> behaviour, a line for each
  autobahn.py compare NAME RESULTS EXPECTED   exit status 1 where they differ, or a case failed
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
    """One word where the messages and the closing were judged alike, else both."""
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
    counts = collections.Counter(results.values())
    print("%s: %d cases: %s" % (name, len(results), ", ".join("%d %s" % (n, word) for word, n in counts.most_common())))
    failed = False
    for case in sorted(results, key=number):
        came, wanted = results[case], expected.get(case, "not among the expected")
        if came != wanted or "FAILED" in came:
            failed = True
            print("  %s is %s, expected: %s" % (case, came, wanted))
    sys.exit(failed)


if __name__ == "__main__":
    {"condense": condense, "compare": compare}[sys.argv[1]](*sys.argv[2:])
