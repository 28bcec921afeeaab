import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, describe, expect, it } from 'vitest';

import { program } from './program.ts';

const BELFRY = fileURLToPath(new URL('../../bin/belfry', import.meta.url));

const folders: string[] = [];
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'belfry-cli-'));
  folders.push(folder);
  return folder;
}

interface Ended {
  readonly exit: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the real program in an empty folder, and in no surroundings that would lead it to a Belfry. */
function belfry(args: readonly string[], more: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): Promise<Ended> {
  const { BELFRY_NATS_URL: _url, BELFRY_NAMESPACE: _namespace, ...env } = process.env;
  const cwd = more.cwd ?? newFolder();
  const child = spawn(BELFRY, args, { cwd, env: { ...env, ...more.env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exit) => resolve({ exit, stdout, stderr }));
  });
}

describe('help', () => {
  it('lists every command and exits with 0', async () => {
    const { exit, stdout, stderr } = await belfry(['--help']);
    expect([exit, stderr]).toEqual([0, '']);
    const commands = program(async () => undefined, false).commands.map((command) => command.name());
    expect(commands).toEqual(expect.arrayContaining(['dev', 'schedule', 'history', 'drill']));
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command}( |$)`, 'm'));
    expect(stdout).not.toContain('\u001b');
  });

  it('of a command shows examples', async () => {
    const [direct, byName] = await Promise.all([belfry(['schedule', '--help']), belfry(['help', 'schedule'])]);
    expect(direct).toEqual(byName);
    expect(direct.stdout).toContain('Examples:');
  });

  it('does not load what only commands need', async () => {
    const trace = { env: { NODE_DEBUG: 'esm' } };
    const { stderr } = await belfry(['--help'], trace);
    expect(stderr).toMatch(/'file:[^']*cli\/program\.ts/);
    expect(stderr).not.toMatch(/'file:[^']*(libs\/sdk|libs\/timing|@nats-io)/);
  });
});

it('hands all of its output on, however slowly it is read', async () => {
  const { exit, stdout } = await belfry(['schedule', 'preview', '--every', '1m', '--count', '10000', '--json']);
  expect(exit).toBe(0);
  expect((JSON.parse(stdout) as { items: unknown[] }).items).toHaveLength(10_000);
});

describe('wrong usage', () => {
  it.each([
    [['lst'], /unknown command 'lst'\n\(Did you mean list\?\)/],
    [['list', '--jsno'], /unknown option '--jsno'\n\(Did you mean --json\?\)/],
    [['list', '--limit', '0'], /It must be a whole number from 1 to 1000/],
    [['list', '--label', 'x'], /It must look like name=value/],
    [['get'], /missing required argument 'task'/],
    [['schedule', '--in', '10m'], /^error usage: --handler is required\n/],
    [['schedule', '--handler', 'echo', '--in', 'soon'], /^error usage: --in soon: not a duration\n/],
    [['server', '--roles', 'gateway,bard'], /no role bard/],
    [['server', '--node-id', 'a.b'], /--node-id must be 1 to 64 characters/],
    [['import', 'crontab', '/no/such/file'], /^error usage: \/no\/such\/file: no such file\n/],
  ])('%j exits with 2 and says why', async (args, message) => {
    const { exit, stdout, stderr } = await belfry(args);
    expect(stderr).toMatch(/^error usage: /);
    expect(stderr).toMatch(message);
    expect([exit, stdout]).toEqual([2, '']);
  });

  it('is one JSON document on stderr with --json', async () => {
    const results = await Promise.all([
      belfry(['list', '--json', '--nope']),
      belfry(['schedule', '--json']),
      belfry(['--json', 'lst']),
    ]);
    for (const { exit, stdout, stderr } of results) {
      expect([exit, stdout]).toEqual([2, '']);
      expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'usage', message: expect.any(String) } });
    }
  });

  it('without a command shows help and exits with 2', async () => {
    const { exit, stderr } = await belfry([]);
    expect(exit).toBe(2);
    expect(stderr).toContain('Usage: belfry');
  });
});

describe('without a Belfry to talk with', () => {
  it('exits with 3 and says how to get one', async () => {
    const { exit, stderr } = await belfry(['list']);
    expect(exit).toBe(3);
    expect(stderr).toMatch(/^error cannot_connect: no running Belfry found from this folder upward\n.*belfry dev/);
  });

  it('exits with 3 when the process of dev.json is gone', async () => {
    const cwd = newFolder();
    mkdirSync(join(cwd, '.belfry'));
    mkdirSync(join(cwd, 'below'));
    writeFileSync(
      join(cwd, '.belfry', 'dev.json'),
      JSON.stringify({ natsUrl: 'nats://127.0.0.1:1', pid: 2 ** 22 + 1 }),
    );
    const { exit, stderr } = await belfry(['get', 'x', '--json'], { cwd: join(cwd, 'below') });
    expect(exit).toBe(3);
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'cannot_connect', message: expect.stringContaining('is not running') },
    });
  });

  it('exits with 3 when nothing listens', async () => {
    const port = await freePort();
    const { exit, stderr } = await belfry(['list', '--url', `nats://127.0.0.1:${port}`]);
    expect(stderr).toMatch(/^error cannot_connect: /);
    expect(stderr).not.toMatch(/^ {4}at /m);
    expect(exit).toBe(3);
  });
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
