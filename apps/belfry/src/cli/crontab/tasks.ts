import { createHash } from 'node:crypto';
import { basename } from 'node:path';

import type { TaskSpec } from '@belfry/protocol';

import type { CheckedEntry } from './check.ts';
import type { CrontabEntry } from './parse.ts';

/** What all tasks of one import share. */
export interface ImportTarget {
  /** Name that tasks are remembered by. */
  readonly source: string;
  readonly queue: string;
  readonly handler: string;
  readonly attempts: number;
  readonly timeoutMs: number;
}

/** Payload of the shell handler. */
export interface ShellPayload {
  readonly command: string;
  readonly stdin?: string;
  /** Default /bin/sh. */
  readonly shell?: string;
  readonly env?: { readonly [name: string]: string };
}

export interface CrontabTask extends CheckedEntry {
  readonly spec: TaskSpec & { readonly key: string };
}

/**
 * A task for each line that fires. Its key is made of the source, the user and the command, not of the schedule: so an
 * edited schedule updates its task, and a moved line keeps it. The same command on several lines is told apart by its
 * count among all of `entries`, so that a line whose schedule is wrong today does not give its key to the next one.
 */
export function crontabTasks(
  entries: readonly CrontabEntry[],
  checked: readonly CheckedEntry[],
  target: ImportTarget,
): CrontabTask[] {
  const keys = new Map<CrontabEntry, string>();
  const counts = new Map<string, number>();
  for (const entry of entries) {
    const identity = JSON.stringify([target.source, entry.user ?? null, entry.command, entry.stdin ?? null]);
    const nth = (counts.get(identity) ?? 0) + 1;
    counts.set(identity, nth);
    keys.set(entry, keyOf(target.source, identity, nth));
  }
  return checked.map((item) => ({ ...item, spec: taskOf(item, target, keys.get(item.entry) as string) }));
}

function keyOf(source: string, identity: string, nth: number): string {
  const hash = createHash('sha256').update(identity).digest('hex').slice(0, 20);
  return `crontab:${basename(source).slice(0, 100)}:${hash}${nth === 1 ? '' : `.${nth}`}`;
}

function taskOf(item: CheckedEntry, target: ImportTarget, key: string): CrontabTask['spec'] {
  const { entry, timezone } = item;
  const payload: ShellPayload = {
    command: entry.command,
    ...(entry.stdin === undefined ? {} : { stdin: entry.stdin }),
    ...(entry.shell === undefined ? {} : { shell: entry.shell }),
    ...(Object.keys(entry.env).length === 0 ? {} : { env: entry.env }),
  };
  return {
    key,
    cron: entry.schedule,
    timezone,
    queue: target.queue,
    handler: target.handler,
    payload: { ...payload },
    retry: { attempts: target.attempts },
    timeoutMs: target.timeoutMs,
    metadata: {
      source: target.source,
      line: String(entry.line),
      ...(entry.user === undefined ? {} : { user: entry.user }),
    },
  };
}
