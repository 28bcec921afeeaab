import { mkdirSync } from 'node:fs';
import path from 'node:path';

import { writePrivate } from './data-dir.ts';
import type { Credentials, DataDir } from './data-dir.ts';
import { LOOPBACK } from './ports.ts';
import { ServerProcess } from './server-process.ts';

/** SIGTERM is a clean stop without the lame duck phase: whoever is connected is our own program, and goes too. */
export const NATS_STOP_SIGNAL = 'SIGTERM';

/** Bytes of one message, as in the protocol's limits. */
const MAX_PAYLOAD_BYTES = 1_048_576;
/** Bytes that may wait for one slow connection: replays and batches come in bursts. */
const MAX_PENDING_BYTES = 256 * 1024 * 1024;

export interface NatsStart {
  readonly dir: DataDir;
  readonly credentials: Credentials;
  readonly binary: string;
  readonly port: number;
  readonly monitorPort: number;
  readonly timeoutMs: number;
  readonly onSpawn: (server: ServerProcess) => void;
}

/** Starts nats-server on its data; when this settles, JetStream has recovered and serves. */
export async function startNats(start: NatsStart): Promise<ServerProcess> {
  const { dir } = start;
  mkdirSync(path.join(dir.nats, 'store'), { recursive: true, mode: 0o700 });
  writePrivate(dir.natsConf, configuration(start));
  const server = await ServerProcess.launch({
    name: 'nats-server',
    command: start.binary,
    args: ['--config', dir.natsConf],
    cwd: dir.nats,
    env: process.env,
    logFile: dir.natsLog,
    stopSignal: NATS_STOP_SIGNAL,
  });
  start.onSpawn(server);
  await server.waitReady(() => isHealthy(start.monitorPort), start.timeoutMs);
  return server;
}

function configuration(start: NatsStart): string {
  const quoted = (text: string): string => JSON.stringify(text);
  return `# Written by Belfry at each start; changes here are lost.
server_name: belfry-embedded
host: ${quoted(LOOPBACK)}
port: ${start.port}
http: ${quoted(`${LOOPBACK}:${start.monitorPort}`)}
pid_file: ${quoted(start.dir.natsPid)}
max_payload: ${MAX_PAYLOAD_BYTES}
max_pending: ${MAX_PENDING_BYTES}
authorization {
  user: ${quoted(start.credentials.user)}
  password: ${quoted(start.credentials.natsPassword)}
}
jetstream {
  store_dir: ${quoted(path.join(start.dir.nats, 'store'))}
  # An acknowledged message is on disk. The default fsyncs every two minutes.
  sync_interval: always
}
`;
}

async function isHealthy(monitorPort: number): Promise<boolean> {
  try {
    const response = await fetch(`http://${LOOPBACK}:${monitorPort}/healthz`, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false; // not listening yet
  }
}

/** What tells a nats-server on this data from all other processes. */
export function natsMark(dir: DataDir): string {
  return `--config ${dir.natsConf}`;
}
