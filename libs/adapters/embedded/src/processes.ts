import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { errnoOf } from './errors.ts';

/** How often a condition that no event announces is looked at. */
const POLL_MS = 20;

/** True while a process has this id, whoever owns it, zombies included. */
export function pidExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === 'EPERM';
  }
}

/** True while a process with this id runs, whoever owns it. A zombie has ended. */
export function isAlive(pid: number): boolean {
  return pidExists(pid) && stateOf(pid)?.state !== 'Z';
}

/**
 * What tells this process from a later one with the same id: its start time.
 * Undefined if there is no such process.
 */
export function startStamp(pid: number): string | undefined {
  if (process.platform === 'linux') return stateOf(pid)?.startTicks;
  try {
    const stamp = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
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
 * The processes whose command line holds `mark`, arguments separated by spaces. The servers are started with marks
 * that name their data directory, so this finds what is left of a server of ours, and nobody else's, without
 * trusting a pid file; command lines can be read whoever a process belongs to.
 */
export function processesMarked(mark: string): number[] {
  return commandLines()
    .filter(([pid, line]) => pid !== process.pid && line.includes(mark))
    .map(([pid]) => pid);
}

function commandLines(): [pid: number, line: string][] {
  if (process.platform !== 'linux') {
    const table = execFileSync('ps', ['-axo', 'pid=,command='], { encoding: 'utf8', maxBuffer: 32 * 1024 * 1024 });
    return [...table.matchAll(/^\s*(\d+) (.*)$/gm)].map((match) => [Number(match[1]), match[2] ?? '']);
  }
  const lines: [number, string][] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      lines.push([Number(entry), readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ')]);
    } catch {
      // Ended meanwhile.
    }
  }
  return lines;
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
