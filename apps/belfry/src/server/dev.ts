import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { removeDevFile, startEmbedded, writeDevFile, type EmbeddedServers } from '@belfry/adapter-embedded';
import { createLog } from './log.ts';
import { DEFAULT_HTTP_PORT, ROLES, startServer, untilSignal, type RunningServer } from './server.ts';
import { startTracing } from './tracing.ts';
import { welcome } from './welcome.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const DEFAULT_DATA_DIR = '.belfry';
/** The same name at every start, so that a restart takes its own shards back without waiting for anybody. */
const DEV_NODE = 'dev';

export interface DevOptions {
  readonly dataDir?: string;
  readonly natsPort?: number;
  readonly postgresPort?: number;
  readonly httpPort?: number;
  readonly shards?: number;
  readonly concurrency?: number;
  readonly worker: boolean;
  readonly allowShell: boolean;
  readonly namespace: string;
  readonly json: boolean;
}

/** `belfry dev`: Postgres, NATS, all roles and a sample worker, until SIGINT or SIGTERM. */
export async function runDev(options: DevOptions): Promise<void> {
  const startedAt = performance.now();
  const say = (line: string): void => void process.stdout.write(options.json ? '' : `${line}\n`);
  const dataDir = options.dataDir ?? DEFAULT_DATA_DIR;
  const log = createLog(options.json || !process.stderr.isTTY ? 'json' : 'text');
  const signal = untilSignal();
  let ready = false;
  const stopping = new AbortController();
  void signal.then(() => {
    stopping.abort();
    if (!ready) say('Stopping as soon as what starts has started; Ctrl-C again ends at once.');
  });
  const given = { nats: process.env['BELFRY_NATS_URL'], postgres: process.env['BELFRY_POSTGRES_URL'] };
  const httpPort = options.httpPort ?? DEFAULT_HTTP_PORT;
  const servers = await startEmbedded({
    dataDir,
    servers: { nats: given.nats === undefined, postgres: given.postgres === undefined },
    ...(options.natsPort === undefined ? {} : { natsPort: options.natsPort }),
    ...(options.postgresPort === undefined ? {} : { postgresPort: options.postgresPort }),
    programPort: { port: httpPort, what: 'health and metrics', flag: '--http-port' },
    onProgress: say,
    onServerExit: ({ name, code, signal: by }) =>
      log.error(`${name} has ended by itself; it is started again`, { code, signal: by }),
    onServerRestart: (name, failure) => {
      if (failure === undefined) log.info(`${name} is up again`, {});
      else log.error(`${name} cannot be started; trying again`, { error: failure.message });
    },
  });
  const tracing = await startTracing('belfry', log);
  let server: RunningServer | undefined;
  let worker: ChildProcess | undefined;
  try {
    const natsUrl = given.nats ?? servers.natsUrl;
    const postgresUrl = given.postgres ?? servers.postgresUrl;
    server = await startServer({
      roles: ROLES,
      natsUrl,
      postgresUrl,
      nodeId: DEV_NODE,
      httpPort,
      log,
      ...(options.shards === undefined ? {} : { shards: options.shards }),
    });
    await Promise.race([server.ready(), signal]);
    if (stopping.signal.aborted) return;
    worker = options.worker ? startSampleWorker(natsUrl, options) : undefined;
    worker?.once('exit', (code, by) => {
      if (!stopping.signal.aborted)
        log.error('the sample worker has ended by itself; start another with `belfry worker`', { code, signal: by });
    });
    writeDevFile(dataDir, {
      natsUrl,
      postgresUrl,
      pid: process.pid,
      ports: { ...portsOf(servers), http: server.httpPort },
    });
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    if (options.json) {
      const pids = { ...servers.pids, ...(worker?.pid === undefined ? {} : { worker: worker.pid }) };
      const ready = { ready: true, dataDir, natsUrl, postgresUrl, http: server.httpPort, ...portsOf(servers), pids };
      process.stdout.write(`${JSON.stringify(ready)}\n`);
    } else {
      say(welcome({ ...options, dataDir, ports: servers.ports, httpPort: server.httpPort, seconds }));
    }
    ready = true;
    await signal;
    say('\nStopping: handing over and writing the last checkpoint.');
  } finally {
    if (worker !== undefined) await stopSampleWorker(worker);
    await server?.stop();
    await tracing.stop();
    removeDevFile(dataDir);
    await servers.stop();
  }
}

function portsOf(servers: EmbeddedServers): Record<string, number> {
  const { nats, natsMonitor, postgres } = servers.ports;
  return Object.fromEntries(
    Object.entries({ nats, natsMonitor, postgres }).filter(([, port]) => port !== undefined),
  ) as Record<string, number>;
}

/** The sample worker is a program of its own, as users' workers are. It stops when the channel to us closes, however we end. */
function startSampleWorker(natsUrl: string, options: DevOptions): ChildProcess {
  const args = [MAIN, 'worker', '--namespace', options.namespace];
  if (options.allowShell) args.push('--allow-shell');
  if (options.concurrency !== undefined) args.push('--concurrency', String(options.concurrency));
  return spawn(process.execPath, args, {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { ...process.env, BELFRY_NATS_URL: natsUrl },
  });
}

async function stopSampleWorker(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  worker.kill('SIGTERM');
  await once(worker, 'exit');
}
