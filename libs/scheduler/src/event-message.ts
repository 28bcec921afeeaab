import { subjects } from '@belfry/protocol';
import type { ShardEvent } from '@belfry/shard';

let lastAt = NaN;
let lastText = '';

/** The instant as text; events of one message of the inbox share it. */
function instant(at: number): string {
  if (at !== lastAt) [lastAt, lastText] = [at, new Date(at).toISOString()];
  return lastText;
}

/** The subject and body of a lifecycle event. Written by hand: there is one for each creation and each end. */
export function eventMessage(event: ShardEvent): [string, string] {
  const { type, namespace, task, at, execution, attempt, error, skipped } = event;
  const what = execution === undefined ? '' : `,"execution":"${execution}"`;
  const which = attempt === undefined ? '' : `,"attempt":${attempt}`;
  const why = error === undefined ? '' : `,"error":${JSON.stringify(error)}`;
  const past = skipped === undefined ? '' : `,${skippedFields(skipped)}`;
  return [
    subjects.event(namespace, type, task),
    `{"type":"${type}","task":"${task}","at":"${instant(at)}"${what}${which}${why}${past}}`,
  ];
}

function skippedFields({ policy, firstMs, lastMs, count, atLeast }: NonNullable<ShardEvent['skipped']>): string {
  const span = `"first":"${new Date(firstMs).toISOString()}","last":"${new Date(lastMs).toISOString()}"`;
  return `"policy":"${policy}",${span},"count":${count}${atLeast ? ',"atLeast":true' : ''}`;
}
