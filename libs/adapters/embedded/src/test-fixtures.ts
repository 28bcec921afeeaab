import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import pg from 'pg';

import type { EmbeddedServers } from './embedded.ts';
import { isAlive, signalAll } from './processes.ts';

/** A folder that is removed at the end of the test. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'belfry-embedded-'));
  return { path: folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

export async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined); // the tests kill servers
  await client.connect();
  try {
    return (await client.query(text)).rows as unknown[];
  } finally {
    await client.end();
  }
}

/** One request over the NATS protocol, and its JSON reply: enough to try a server without a client library. */
export async function natsRequest(url: string, subject: string, body: string): Promise<Record<string, unknown>> {
  const { hostname, port, username, password } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  try {
    await once(socket, 'connect');
    const options = JSON.stringify({
      user: username,
      pass: password,
      verbose: false,
      pedantic: false,
      lang: 'test',
      version: '0',
    });
    socket.write(`CONNECT ${options}\r\nSUB reply 1\r\nPUB ${subject} reply ${Buffer.byteLength(body)}\r\n${body}\r\n`);
    let received = '';
    for await (const chunk of socket) {
      received += String(chunk);
      if (/^-ERR/m.test(received)) throw new Error(received);
      const reply = /^MSG reply 1 \d+\r\n(.*)\r\n/ms.exec(received);
      if (reply !== null) return JSON.parse(reply[1] ?? '') as Record<string, unknown>;
    }
    throw new Error(`the server closed the connection: ${received}`);
  } finally {
    socket.destroy();
  }
}

/** Puts one row and one message on disk. */
export async function storeSomething(servers: Pick<EmbeddedServers, 'natsUrl' | 'postgresUrl'>): Promise<void> {
  await query(servers.postgresUrl, 'CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)');
  await natsRequest(
    servers.natsUrl,
    '$JS.API.STREAM.CREATE.KEPT',
    JSON.stringify({ name: 'KEPT', subjects: ['kept.>'], storage: 'file' }),
  );
  await natsRequest(servers.natsUrl, 'kept.one', 'hello');
}

/** What is there of what `storeSomething` stored. */
export async function readStored(
  servers: Pick<EmbeddedServers, 'natsUrl' | 'postgresUrl'>,
): Promise<{ rows: unknown[]; messages: unknown }> {
  const rows = await query(servers.postgresUrl, 'SELECT n FROM kept');
  const info = await natsRequest(servers.natsUrl, '$JS.API.STREAM.INFO.KEPT', '');
  const state = info['state'] as { messages?: unknown } | undefined;
  return { rows, messages: state?.messages };
}

export const STORED = { rows: [{ n: 42 }], messages: 1 };

/** At the end of a test, whatever of it still runs is killed. */
export interface OtherProgram extends Disposable {
  readonly process: ChildProcess;
  readonly natsUrl: string;
  readonly postgresUrl: string;
  readonly pids: Required<EmbeddedServers['pids']>;
}

/** Starts the servers from another process, which can then be killed. Settles when they are ready. */
export async function startInOtherProgram(dataDir: string, ...flags: 'remove'[]): Promise<OtherProgram> {
  const program = fileURLToPath(new URL('test-program.ts', import.meta.url));
  const child = spawn(process.execPath, [program, dataDir, ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout })) {
    const ready = JSON.parse(line) as Omit<OtherProgram, 'process' | typeof Symbol.dispose>;
    const all = [...Object.values(ready.pids), child.pid ?? 0];
    return { ...ready, process: child, [Symbol.dispose]: () => signalAll(all.filter(isAlive), 'SIGKILL') };
  }
  throw new Error('the other program ended without starting its servers');
}
