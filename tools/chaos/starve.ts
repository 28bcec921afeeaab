import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import type { Member } from './member.ts';

/** Of each cycle, a process runs for so long, and stands still for the rest. */
const RUNS_MS = 40;
const CYCLE_MS = 200;
/** Signals may be late, and threads run at the same time. */
const LEAST_STOPPED = 0.7;
const MOST_CPU = 0.3;
/** Ticks of /proc a second, on every Linux. */
const TICKS = 100;

/** What the system says of a process. */
export interface ProcessStat {
  /** `T`: stopped. */
  readonly state: string;
  /** Processor time of all its threads so far. */
  readonly cpuMs: number;
}

/** What a phase of starving came to. */
export interface Starved {
  readonly wallMs: number;
  readonly cpuMs: number;
  /** How long it stood still, as the system had it. */
  readonly stoppedMs: number;
}

/** Undefined where it can be done. */
export function starveObstacle(): string | undefined {
  return existsSync('/proc/self/stat')
    ? undefined
    : 'there is no /proc, which tells what processor time a process gets';
}

/** Reads `/proc/<pid>/stat`. A program's name stands in brackets, and may hold brackets and blanks. */
export function readStat(text: string): ProcessStat {
  const [state = '', ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state, cpuMs: ((Number(fields[10]) + Number(fields[11])) * 1_000) / TICKS };
}

/** Undefined: it has ended. */
export function statOf(pid: number | undefined): ProcessStat | undefined {
  try {
    return readStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined;
  }
}

/** A process gets a fifth of a processor, by signals. Whatever happens, it runs in the end. */
export async function starve(member: Pick<Member, 'pid' | 'signal'>, ms: number): Promise<Starved> {
  const before = statOf(member.pid)?.cpuMs ?? 0;
  const startedAt = performance.now();
  const until = (atMs: number): Promise<void> => delay(Math.max(0, startedAt + atMs - performance.now()));
  let [stoppedMs, cpuMs] = [0, 0];
  try {
    for (let atMs = 0; atMs < ms; atMs += CYCLE_MS) {
      await until(atMs + RUNS_MS);
      const stoppedAt = performance.now();
      member.signal('SIGSTOP');
      await until(atMs + CYCLE_MS);
      const stat = statOf(member.pid);
      if (stat?.state === 'T') stoppedMs += performance.now() - stoppedAt;
      cpuMs = (stat?.cpuMs ?? 0) - before;
      member.signal('SIGCONT');
    }
    return { wallMs: performance.now() - startedAt, cpuMs, stoppedMs };
  } finally {
    member.signal('SIGCONT');
  }
}

/** What the process got: of a processor, and of the time in which it ran. */
export function starvedText({ wallMs, cpuMs, stoppedMs }: Starved): string {
  return `${percent(cpuMs / wallMs)} of a processor, ${percent(cpuMs / (wallMs - stoppedMs))} of the time in which it might run`;
}

/** What such a phase has lacked to be one; undefined when a process was starved. */
export function starvedLacks({ wallMs, cpuMs, stoppedMs }: Starved): string | undefined {
  if (stoppedMs < wallMs * LEAST_STOPPED) return `it stood still for ${percent(stoppedMs / wallMs)} of the time`;
  if (cpuMs <= 0) return 'it did not run at all';
  return cpuMs <= wallMs * MOST_CPU ? undefined : `it got ${percent(cpuMs / wallMs)} of a processor`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
