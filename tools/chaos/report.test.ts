import { expect, it } from 'vitest';

import { reportMarkdown, reportText, summarize } from './report.ts';
import type { RunResult } from './runner.ts';

const GOOD: RunResult = {
  case: 'kill-owner',
  seed: 1,
  account: { fires: 700, runs: 701, late: 55, worstMs: 3_000, again: 1, findings: [] },
  requests: { acknowledged: 80, slowestMs: 900, unanswered: 0 },
  measured: { 'all shards were owned again after': 3_400 },
  notes: [],
  memory: 200 * 2 ** 20,
  problems: [],
};
const BAD: RunResult = {
  ...GOOD,
  seed: 2,
  measured: { 'all shards were owned again after': 3_600 },
  account: { ...GOOD.account, worstMs: 4_000, findings: [{ kind: 'lost', execution: 'e1', what: 'never ran' }] },
};

it('shows all runs of a case in a row, its own figures below, and what was wrong with its seed', () => {
  expect(reportText(summarize([GOOD, BAD]))).toBe(`\
case        runs  gap p50  gap p99  fires  lost  doubled  early  late  again  refused  slowest   memory  verdict
kill-owner     2   3.00 s   4.00 s   1400     1        0      0   110      2        0   0.90 s  200 MiB  BAD

kill-owner: all shards were owned again after 3.40 / 3.60 s
kill-owner: BAD: seed 2: lost 1: e1: never ran
`);
});

it('is good when nothing is found', () => {
  expect(summarize([GOOD])).toMatchObject([{ ok: true, runs: 1, lost: 0, doubled: 0 }]);
  expect(summarize([BAD])).toMatchObject([{ ok: false, lost: 1 }]);
});

it('is a table of a page, with what each case does and has measured', () => {
  const cases = [{ name: 'kill-owner', what: 'kill -9 of a scheduler' }];
  expect(reportMarkdown(summarize([GOOD, BAD]), cases)).toBe(`\
| case | what is done | runs | gap | fires | lost | doubled | early | late | again | refused | slowest | memory | verdict |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| \`kill-owner\` | kill -9 of a scheduler (all shards were owned again after 3.40 / 3.60 s) | 2 | 3.00 / 4.00 s | 1400 | 1 | 0 | 0 | 110 | 2 | 0 | 0.90 s | 200 MiB | **bad** |
`);
  expect(reportMarkdown(summarize([GOOD]), cases)).toContain('again after 3.40 s) | 1 | 3.00 s | 700 | 0 |');
});
