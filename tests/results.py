#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
#
# results.py LOG COUNTS: prints what meson wrote about a suite into LOG.json and
# adds the line "passed failed skipped" to the file COUNTS. Of a test that failed all output is
# shown, of one that was skipped the reason.

import json
import re
import sys

OUTCOMES = {
    'OK': 'ok',
    'EXPECTEDFAIL': 'ok',
    'SKIP': 'skip',
}


def read_tests(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as log:
            return [json.loads(line) for line in log]
    except FileNotFoundError:
        return []


def output_of(test):
    return (test.get('stdout') or '') + (test.get('stderr') or '')


def skip_reasons(test, outcome):
    reasons = re.findall(r'# SKIP +(.*)', output_of(test))
    if outcome == 'skip' and not reasons:
        reasons = output_of(test).split('\n')[-2:-1] or ['no reason given']
    return reasons


# What is looked for first: who reads a log may not get all of it.
def digest_of(test):
    lines = output_of(test).rstrip().split('\n')
    wrong = [line for line in lines if line.startswith('not ok')]
    return '\n'.join(wrong[:5] + ['...'] + lines[-8:])


def quoted(text):
    return re.sub('^', '  | ', text.rstrip(), flags=re.MULTILINE)


def show(test, outcome):
    name = test['name'].split(' / ')[-1]
    checks = len(re.findall(r'^(?:not )?ok ', test.get('stdout') or '', re.MULTILINE))
    print(f"{outcome:8} {test['duration']:6.1f} s  {name}" + (checks > 1) * f' ({checks} checks)')
    for reason in skip_reasons(test, outcome):
        print(f'             skipped: {reason}')
    if outcome == 'FAILED':
        print(f"  {test['result']}: {' '.join(test['command'])}")
        print(quoted(digest_of(test)), quoted(output_of(test)), sep='\n  |\n')


def main():
    log, counts = sys.argv[1:]
    sums = {'ok': 0, 'FAILED': 0, 'skip': 0}
    for test in read_tests(log + '.json'):
        outcome = OUTCOMES.get(test['result'], 'FAILED')
        sums[outcome] += 1
        show(test, outcome)
    with open(log + '.out', encoding='utf-8', errors='replace') as out:
        text = out.read()
    if '\nOk: ' not in text:
        sums['FAILED'] += 1
        print('FAILED   the suite did not run to its end:')
        print(text[-4000:])
    with open(counts, 'a', encoding='utf-8') as out:
        print(sums['ok'], sums['FAILED'], sums['skip'], file=out)


main()
