import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { LIMITS } from '@belfry/protocol';

import type { Member } from './member.ts';

/** A program, as far as its memory goes. */
interface Watched {
  readonly name: string;
  /** Empty: a worker, which is not watched. */
  readonly roles: string;
  /** Undefined while it does not run. */
  readonly pid: number | undefined;
}

const SAMPLE_MS = 1_000;
const MIB = 1024 ** 2;
/** Node with Belfry's code, idle, and garbage that waits for its collector. */
const BASE_BYTES = 384 * MIB;
/** What a task may cost its owner: several times what it does (docs/benchmarks.md), since both owners may have had it. */
const TASK_BYTES = 1_536;

/** What a program may take: its own limits say how much it keeps. */
export function memoryBound(roles: string, tasks: number): number {
  const kept = roles.includes('gateway') ? LIMITS.gatewayPendingBytes : LIMITS.payloadCacheBytes;
  return BASE_BYTES + kept + tasks * TASK_BYTES;
}

/** The most resident memory that each program of Belfry has had since this was made, in bytes. */
export class MemoryWatch {
  readonly #members: readonly Watched[];
  readonly #peaks = new Map<Watched, number>();
  readonly #timer: NodeJS.Timeout;

  constructor({ members }: { readonly members: readonly Watched[] }) {
    this.#members = members;
    this.#timer = setInterval(() => void this.sample(), SAMPLE_MS);
  }

  /** Of one program. */
  get peak(): number {
    return Math.max(0, ...this.#peaks.values());
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async sample(): Promise<void> {
    const programs = this.#members.filter(({ roles, pid }) => roles !== '' && pid !== undefined);
    const bytes = await residentBytes(programs.map(({ pid }) => pid as number));
    for (const member of programs) {
      const now = bytes.get(member.pid ?? -1) ?? 0;
      this.#peaks.set(member, Math.max(this.#peaks.get(member) ?? 0, now));
    }
  }

  /** A sentence for each program that took more than it may. `tasks`: in the whole cluster. */
  problems(tasks: number, boundOf = memoryBound): string[] {
    return [...this.#peaks].flatMap(([{ name, roles }, bytes]) => {
      if (bytes === 0) return [`how much memory ${name} has taken is not known`];
      const bound = boundOf(roles, tasks);
      return bytes <= bound ? [] : [`${name} took ${mib(bytes)} of memory, and ${mib(bound)} is its bound`];
    });
  }
}

/** The ledgers of all owners miss no fire. */
export async function missedFires({
  schedulers,
}: {
  readonly schedulers: readonly Pick<Member, 'name' | 'metric'>[];
}): Promise<string[]> {
  const problems: string[] = [];
  for (const member of schedulers) {
    const missed = await member.metric('belfry_missed_fires');
    if (missed !== 0) problems.push(`belfry_missed_fires of ${member.name} is ${missed ?? 'not to be had'}`);
  }
  return problems;
}

async function residentBytes(pids: readonly number[]): Promise<ReadonlyMap<number, number>> {
  if (pids.length === 0) return new Map();
  try {
    const { stdout } = await promisify(execFile)('ps', ['-o', 'pid=,rss=', '-p', pids.join(',')]);
    const rows = stdout.trim().split('\n').map((line) => line.trim().split(/\s+/).map(Number)); // prettier-ignore
    return new Map(rows.map(([pid = 0, kib = 0]) => [pid, kib * 1024]));
  } catch {
    return new Map(); // all of them have ended
  }
}

function mib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`;
}
