import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { errnoOf } from './errors.ts';

/** How often a condition that no event announces is looked at. */
const POLL_MS = 20;

/** True while a process with this id exists, whoever owns it. A zombie counts as gone. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return errnoOf(error) === 'EPERM';
  }
  return stateOf(pid)?.state !== 'Z';
}

/**
 * What tells this process from a later one with the same id: its start time.
 * Undefined if there is no such process.
 */
export function startStamp(pid: number): string | undefined {
  if (process.platform === 'linux') return stateOf(pid)?.startTicks;
  try {
    const stamp = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    return stamp === '' ? undefined : stamp;
  } catch {
    return undefined;
  }
}

/** The fields of /proc/<pid>/stat that we use; the name before them may hold spaces and brackets. */
function stateOf(pid: number): { readonly state: string; readonly startTicks: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', startTicks: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}

/**
 * The processes that run `program` with `directory` as their working directory: what is left of a server of ours.
 * The servers are started with their data directory as working directory, so this finds them, and nobody else's,
 * without trusting a pid file. Where there is no /proc, `pidFile` is believed if the command line names the program.
 */
export function serversIn(directory: string, program: string, pidFile: string): number[] {
  if (process.platform !== 'linux') return fromPidFile(pidFile, program);
  const found: number[] = [];
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    if (linkOf(pid, 'cwd') === directory && path.basename(linkOf(pid, 'exe') ?? '').startsWith(program)) found.push(pid);
  }
  return found;
}

function linkOf(pid: number, name: 'cwd' | 'exe'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/${name}`);
  } catch {
    return undefined; // gone, or somebody else's
  }
}

function fromPidFile(pidFile: string, program: string): number[] {
  try {
    const pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
    const command = execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return command.includes(program) ? [pid] : [];
  } catch {
    return [];
  }
}

/** Looks until `condition` holds; false if it did not within `timeoutMs`. */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if (await condition()) return true;
    if (performance.now() >= deadline) return false;
    await delay(POLL_MS);
  }
}

export function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // Gone already; or not ours to signal, and then the wait for its end says so.
    }
  }
}

/** Asks the processes to end, waits, and kills what is left. Returns the ids that would not go. */
export async function stopAll(pids: readonly number[], signal: NodeJS.Signals, timeoutMs: number): Promise<number[]> {
  const alive = (): number[] => pids.filter(isAlive);
  signalAll(alive(), signal);
  if (await until(() => alive().length === 0, timeoutMs)) return [];
  signalAll(alive(), 'SIGKILL');
  await until(() => alive().length === 0, 5_000);
  return alive();
}
