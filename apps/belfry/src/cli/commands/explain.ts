import type { ExplainedFire, ExplainReply, Reason, Verdict } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import { usageError } from '../exit.ts';
import { printable } from '../table.ts';
import { instantFlag } from '../task-flags.ts';
import { taskRef } from '../task-ref.ts';
import { instant } from '../time.ts';

export interface ExplainOptions {
  readonly key?: boolean;
  readonly at?: string;
  readonly from?: string;
  readonly to?: string;
  readonly limit?: number;
}

/** Why a task did or did not run at an instant, or in a span of time. */
export async function explain(cli: Cli, word: string, options: ExplainOptions): CommandResult {
  const { at, from, to, limit } = options;
  if (at !== undefined && (from !== undefined || to !== undefined))
    throw usageError('--at goes with neither --from nor --to');
  const read = (flag: string, text: string | undefined): { [name: string]: number } => {
    if (text === undefined) return {};
    return { [flag]: Date.parse(instantFlag(flag, text, cli.clock.utc)) };
  };
  const request = {
    ...taskRef(word, options.key),
    ...read('at', at),
    ...read('from', from),
    ...read('to', to),
    ...(limit === undefined ? {} : { limit }),
  };
  const reply = await (await cli.connect()).explain(request);
  if (cli.json) return cli.out.json(reply);
  for (const line of prose(reply, cli)) cli.out.line(line);
}

const GOOD: ReadonlySet<Verdict> = new Set(['ran', 'coming', 'running', 'waiting']);
const BAD: ReadonlySet<Verdict> = new Set(['missed', 'failed']);

const WORDS: { readonly [V in Verdict]: string } = {
  ran: 'ran',
  failed: 'failed',
  cancelled: 'cancelled',
  running: 'is running',
  retrying: 'waits for its next attempt',
  waiting: 'is due, and waits',
  coming: 'is to come',
  skipped: 'was skipped',
  withdrawn: 'was taken back',
  unknown: 'is not known',
  missed: 'WAS MISSED',
};

function* prose(reply: ExplainReply, cli: Cli): IterableIterator<string> {
  const { paint } = cli;
  const when = (text: string): string => instant(Date.parse(text), cli.clock, true);
  yield `${reply.key ?? reply.id} (${reply.state}), from ${when(reply.from)} to ${when(reply.to)} ${cli.clock.zone}`;
  for (const { at, text } of lifeAndOwners(reply)) yield paint('dim', `  ${when(at)}  ${text}`);
  if (reply.more) yield paint('dim', `  … earlier fires of the span are left out: --limit`);
  for (const fire of reply.fires) yield* ofFire(fire, cli, when);
  const { absence } = reply;
  if (absence === undefined) return;
  yield `No fire then${absence.reasons.length > 0 ? ':' : '.'}`;
  yield* ofReasons(absence.reasons, cli);
  if (absence.previous !== undefined) yield `  The one before is that of ${when(absence.previous)}.`;
  yield absence.next === undefined ? '  There is none after.' : `  The next one is that of ${when(absence.next)}.`;
}

/** What befell the task and its shard, in the order of time. */
function lifeAndOwners({ life, owners }: ExplainReply): { readonly at: string; readonly text: string }[] {
  return [
    ...life.map(({ at, what, schedule }) => ({
      at,
      text: schedule === undefined ? what : `${what}: ${JSON.stringify(schedule)}`,
    })),
    ...owners.map(({ at, node, epoch }) => ({ at, text: `its shard went to ${node}, epoch ${epoch}` })),
  ].toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at));
}

function* ofFire(
  { scheduledAt, verdict, reasons, execution }: ExplainedFire,
  cli: Cli,
  when: (text: string) => string,
): IterableIterator<string> {
  const word = GOOD.has(verdict) ? 'green' : BAD.has(verdict) ? 'red' : 'yellow';
  yield `${when(scheduledAt)}  ${cli.paint(word, WORDS[verdict])}${execution === undefined ? '' : cli.paint('dim', `  ${execution}`)}`;
  yield* ofReasons(reasons, cli);
}

const INSTANT = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g;

function* ofReasons(reasons: readonly Reason[], cli: Cli): IterableIterator<string> {
  for (const { text, at } of reasons) {
    const when = at === undefined ? '' : cli.paint('dim', `${instant(Date.parse(at), cli.clock, true)}  `);
    yield `    ${when}${printable(text).replaceAll(INSTANT, (told) => instant(Date.parse(told), cli.clock, true))}`;
  }
}
