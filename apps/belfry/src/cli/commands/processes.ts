import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { isName } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import { CliError, EXIT, usageError } from '../exit.ts';

export interface DevFlags {
  readonly dataDir?: string;
  readonly natsPort?: number;
  readonly postgresPort?: number;
  readonly httpPort?: number;
  readonly shards?: number;
  readonly concurrency?: number;
  readonly allowShell?: boolean;
  readonly worker: boolean;
}

export interface ServerFlags {
  readonly roles?: readonly string[];
  readonly natsUrl?: string;
  readonly postgresUrl?: string;
  readonly httpPort?: number;
  readonly nodeId?: string;
  readonly shards?: number;
  readonly replicas?: number;
  readonly httpHost?: string;
  /** Seconds. */
  readonly connectTimeout?: number;
}

export interface WorkerFlags {
  readonly queue?: string;
  readonly allowShell?: boolean;
  readonly shellQueue?: string;
  readonly concurrency?: number;
}

const ROLES = ['gateway', 'scheduler', 'supervisor'] as const;
type Role = (typeof ROLES)[number];
const BENCH = fileURLToPath(new URL('../../../../../tools/bench/main.ts', import.meta.url));

/** Those of `options` that are set: absent and undefined are not the same to `exactOptionalPropertyTypes`. */
function set<T extends object>(options: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

export async function dev(cli: Cli, flags: DevFlags): CommandResult {
  // Its worker would end at once with this, and everything else would go on.
  if (!isName(cli.namespace))
    throw new CliError(EXIT.refused, 'invalid_name', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -', {
      path: 'namespace',
    });
  const { runDev } = await import('../../server/dev.ts');
  const { dataDir, natsPort, postgresPort, httpPort, shards, concurrency, allowShell, worker: withWorker } = flags;
  await runDev({
    ...set({ dataDir, natsPort, postgresPort, httpPort, shards, concurrency }),
    worker: withWorker,
    allowShell: allowShell ?? false,
    namespace: cli.namespace,
    json: cli.json,
  });
}

function isRole(name: string): name is Role {
  return (ROLES as readonly string[]).includes(name);
}

export async function server(cli: Cli, flags: ServerFlags): CommandResult {
  const strange = flags.roles?.find((role) => !isRole(role));
  if (strange !== undefined) throw usageError(`--roles: no role ${strange}; known: ${ROLES.join(', ')}`);
  if (flags.nodeId !== undefined && !isName(flags.nodeId))
    throw usageError('--node-id must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -');
  const natsUrl = flags.natsUrl ?? process.env['BELFRY_NATS_URL'] ?? cli.natsUrl();
  const postgresUrl = flags.postgresUrl ?? process.env['BELFRY_POSTGRES_URL'];
  if (postgresUrl === undefined) throw usageError('--postgres-url or BELFRY_POSTGRES_URL is required');
  const { runServer } = await import('../../server/server.ts');
  const { httpPort, httpHost, nodeId, shards, replicas, connectTimeout } = flags;
  const connectMs = connectTimeout === undefined ? undefined : connectTimeout * 1_000;
  await runServer({
    roles: flags.roles?.filter(isRole) ?? [...ROLES],
    natsUrl,
    postgresUrl,
    ...set({ httpPort, httpHost, nodeId, shards, replicas, connectMs }),
    json: cli.json,
  });
}

export async function worker(cli: Cli, flags: WorkerFlags): CommandResult {
  // When `belfry dev`, whose worker this may be, has ended without a word. Before the start is done, we hold nothing.
  const leave = () => process.exit(EXIT.ok);
  process.once('disconnect', leave);
  if (process.connected === false) leave(); // it is undefined for a program that was started by hand
  const { startSampleWorker } = await import('../../sample-worker/sample-worker.ts');
  const { startTracing } = await import('../../server/tracing.ts');
  const { queue, shellQueue, concurrency, allowShell } = flags;
  const tracing = await startTracing('belfry-worker');
  const running = await startSampleWorker({
    url: cli.natsUrl(),
    namespace: cli.namespace,
    allowShell: allowShell ?? false,
    ...set({ queue, shellQueue, concurrency }),
  });
  if (cli.json) cli.out.json({ worker: 'started', queues: running.queues, handlers: running.handlers });
  else
    cli.out.note(
      `worker of queues ${running.queues.join(', ')}; handlers ${running.handlers.join(', ')}; Ctrl-C stops it`,
    );
  await new Promise<void>((resolve) => {
    const stop = () => resolve();
    process.once('SIGINT', stop);
    process.once('SIGTERM', stop);
    process.off('disconnect', leave).once('disconnect', stop);
  });
  if (!cli.json) cli.out.note('stopping: finishing what runs; Ctrl-C again ends at once');
  process.once('SIGINT', () => process.exit(EXIT.interrupted));
  await running.stop();
  await tracing.stop();
  if (process.connected) process.disconnect();
}

/** Hands everything to the benches, in a process of their own. */
export async function bench(_cli: Cli, args: readonly string[]): CommandResult {
  if (!existsSync(BENCH)) throw new CliError(EXIT.refused, 'failed', `no benches here: ${BENCH} is missing`);
  const child = spawn(process.execPath, [BENCH, ...args], { stdio: 'inherit' });
  const forward = (signal: NodeJS.Signals) => child.kill(signal);
  process.on('SIGTERM', forward);
  // The terminal sends Ctrl-C to the child too.
  process.on('SIGINT', () => undefined);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? EXIT.interrupted : EXIT.refused)));
  });
}
