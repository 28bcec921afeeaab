/**
 * Loaded into a program under test before its own code (`node --import drill.ts main.ts`): it does to the process what nobody can do from
 * outside. Without its variables it does nothing, and the program knows nothing of it.
 *
 * - SIGUSR2: the event loop stands still for the ms in the file `CHAOS_BLOCK`.
 * - `CHAOS_FAILPOINT=<point>:<before|after>:<file>`: once the file is there, the process is killed at the point.
 */
import { existsSync, readFileSync } from 'node:fs';

import { NatsInbox, NatsWorkQueue } from '@belfry/adapter-nats';
import { PostgresCheckpointStore } from '@belfry/adapter-postgres';

/** The port methods that a promise hangs on. */
const POINTS: { readonly [point: string]: readonly [prototype: object, method: string] } = {
  /** A gateway has, or is about to have, requests on disk; nobody was answered. A scheduler, its ownership records. */
  ack: [NatsInbox.prototype, 'append'],
  publish: [NatsWorkQueue.prototype, 'publish'],
  checkpoint: [PostgresCheckpointStore.prototype, 'commit'],
  /** Work messages of cancelled tasks that nobody has been given are taken back. */
  purge: [NatsWorkQueue.prototype, 'withdraw'],
};

const block = process.env['CHAOS_BLOCK'];
if (block !== undefined) {
  process.on('SIGUSR2', () => {
    const untilMs = performance.now() + Number(readFileSync(block, 'utf8'));
    while (performance.now() < untilMs);
  });
}

const failpoint = process.env['CHAOS_FAILPOINT'];
if (failpoint !== undefined) arm(...(failpoint.split(':') as [string, string, string]));

function arm(point: string, when: string, file: string): void {
  const [prototype, method] = POINTS[point] as readonly [object, string];
  const methods = prototype as { [name: string]: (...args: unknown[]) => Promise<unknown> };
  const original = methods[method] as (...args: unknown[]) => Promise<unknown>;
  methods[method] = async function (this: unknown, ...args) {
    const armed = existsSync(file);
    if (armed && when === 'before') process.kill(process.pid, 'SIGKILL');
    const result = await original.apply(this, args);
    if (armed) process.kill(process.pid, 'SIGKILL');
    return result;
  };
}
