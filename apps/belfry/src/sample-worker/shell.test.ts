import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { isAlive } from '../cli/connection.ts';
import { SAFE_HANDLERS } from './handlers.ts';
import { readShellPayload, runShell } from './shell.ts';

const never = new AbortController().signal;

describe('a shell command', () => {
  it('gives what it printed, with its input and environment', async () => {
    const result = await runShell(
      { command: 'cat; echo "$GREETING"; echo oops >&2', stdin: 'in\n', env: { GREETING: 'hi' } },
      never,
    );
    expect(result).toMatchObject({ exitCode: 0, stdout: 'in\nhi\n', stderr: 'oops\n', printedBytes: 11 });
  });

  it('inherits PATH, but not the credentials of the worker', async () => {
    process.env['BELFRY_NATS_URL'] = 'nats://user:secret@host';
    const { stdout } = await runShell({ command: 'echo "$PATH"; env' }, never).finally(() => {
      delete process.env['BELFRY_NATS_URL'];
    });
    expect(stdout.startsWith(`${process.env['PATH']}\n`)).toBe(true);
    expect(stdout).not.toContain('secret');
  });

  it('runs in the shell that it names', async () => {
    await expect(runShell({ command: 'true', shell: '/no/such/shell' }, never)).rejects.toThrow(
      'cannot start /no/such/shell',
    );
    expect((await runShell({ command: 'echo ${BASH_VERSION:+bash}', shell: '/bin/bash' }, never)).stdout).toBe(
      'bash\n',
    );
  });

  it('that fails is told with its exit code and the end of its stderr', async () => {
    await expect(runShell({ command: 'echo no such thing >&2; exit 3' }, never)).rejects.toMatchObject({
      message: 'exit code 3: no such thing',
      exitCode: 3,
    });
  });

  it('that is killed is told with the signal', async () => {
    await expect(runShell({ command: 'kill -KILL $$' }, never)).rejects.toThrow('ended by SIGKILL');
  });

  it('keeps the last 4 KB of a long output', async () => {
    const result = await runShell({ command: 'seq 1 20000' }, never);
    expect(result.stdout.length).toBe(4_097);
    expect(result.stdout.endsWith('19999\n20000\n')).toBe(true);
    expect(result.printedBytes).toBe(108_894);
  });

  it('need not read its input', async () => {
    expect((await runShell({ command: 'true', stdin: 'x'.repeat(1_000_000) }, never)).exitCode).toBe(0);
  });

  it('dies with everything that it started when the signal aborts', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'belfry-shell-'));
    const pidFile = join(folder, 'pid');
    const abort = new AbortController();
    const command = `trap '' TERM; (trap '' TERM; echo $$ > ${pidFile}.sh; exec sleep 60) & echo $! > ${pidFile}; wait`;
    const running = runShell({ command }, abort.signal, 50);
    const ended = expect(running).rejects.toThrow('stopped: its time was up, or it was cancelled');
    await expect.poll(() => existsSync(`${pidFile}.sh`) && readFileSync(pidFile, 'utf8').trim()).toMatch(/^\d+$/);
    const pid = Number(readFileSync(pidFile, 'utf8'));
    abort.abort();
    await ended;
    await expect.poll(() => isAlive(pid) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')).toBe(false);
    rmSync(folder, { recursive: true });
  });
});

describe('the payload of a shell task', () => {
  it.each([
    [null, /must be an object/],
    [{}, /command/],
    [{ command: ' ' }, /command/],
    [{ command: 'a\0b' }, /NUL/],
    [{ command: 'a', stdin: 1 }, /stdin/],
    [{ command: 'a', shell: 'bash' }, /full path/],
    [{ command: 'a', env: { A: 1 } }, /env/],
    [{ command: 'a', env: ['A'] }, /env/],
  ])('%j is refused', (payload, message) => expect(readShellPayload(payload)).toMatch(message));

  it('is read', () => {
    const payload = { command: 'a', stdin: 'b', shell: '/bin/sh', env: { A: '1' } };
    expect(readShellPayload({ ...payload, more: 1 })).toEqual(payload);
  });
});

describe('the sample handlers', () => {
  const context = { signal: never, attempt: 1 };

  it('echo gives back, noop nothing, sleep how long', async () => {
    expect(await SAFE_HANDLERS['echo']!({ ...context, payload: { a: 1 } })).toEqual({ a: 1 });
    expect(await SAFE_HANDLERS['noop']!({ ...context, payload: { a: 1 } })).toBeNull();
    expect(await SAFE_HANDLERS['sleep']!({ ...context, payload: { ms: 1 } })).toEqual({ sleptMs: 1 });
  });

  it('fail fails, as often as asked', async () => {
    await expect(SAFE_HANDLERS['fail']!({ ...context, payload: { message: 'boom' } })).rejects.toThrow('boom');
    await expect(SAFE_HANDLERS['fail']!({ ...context, payload: { times: 2 }, attempt: 2 })).rejects.toThrow(
      'attempt 2',
    );
    expect(await SAFE_HANDLERS['fail']!({ ...context, payload: { times: 2 }, attempt: 3 })).toEqual({
      succeededInAttempt: 3,
    });
  });
});
